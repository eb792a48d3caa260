"""Where event logs are stored: a folder, a GCS bucket or an S3 bucket behind one small protocol.

Every guarantee about files depends on `create`: atomic, durable and create-only. A store never
overwrites and never deletes, and a file that is only half written cannot be seen.

Whether a create has happened can become uncertain: the connection breaks after the request was sent, the
vendor's client repeats a request whose answer was lost, an NFS server repeats a link. Then a bare "it exists"
may mean the caller's own file, and a bare error may hide a success. So each object carries the token of
the call that made it (a local file is identified by its inode). After an uncertain answer the token is read: the
caller's own token means success, another token is another writer's file. If the token cannot be read, StorageError
is raised and the caller's next attempt resolves it, because an event log removes stored lines before it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol

from sluice.addresses import split_credentials
from sluice.config.urls import Url
from sluice.errors import ConfigError
from sluice.storage.base import Names

__all__ = ["STORES", "SUPPORTED", "Names", "Store", "open_store"]

SUPPORTED = "a local path, file:///path, gs://bucket/prefix or s3://bucket/prefix"


class Store(Protocol):
    """A tree of immutable files. Paths are relative to the store's url and separated by '/'.

    Stores are picklable and connect on first use. Every method raises StorageError, with one line that names
    the file and the reason, when the store fails after the vendor client's own retries.
    """

    root: str

    def url(self, path: str) -> str:
        """Return the full address of `path`, as messages and `Segment.path` quote it."""

    def list(self, folder: str) -> Names:
        """Return the sorted names of the files directly in `folder`, without hidden ones; [] if none."""

    def walk(self, folder: str = "", after: str = "") -> Iterator[str]:
        """Yield the paths of all files below `folder` in order of name, without hidden ones.

        With `after`, only those whose path below `folder` is greater; object stores do not list the others at all.
        """

    def read(self, path: str) -> bytes:
        """Return the whole content of a file; StorageError if there is none."""

    def created_at(self, path: str) -> datetime:
        """Return when a file was created, in UTC; StorageError if there is none."""

    def create(self, path: str, data: bytes) -> bool:
        """Create a file with all of `data`, and the folders it needs.

        True: it was created by this call and is durable. False: another file has the name, and was not changed.
        StorageError: it was not created, or, if the connection broke, possibly it was: list to find out.
        """


def _local(path: str) -> Store:
    from sluice.storage.local import LocalStore

    return LocalStore(path)


def _gcs(url: str) -> Store:
    from sluice.storage.gcs import GcsStore

    return GcsStore(url)


def _s3(url: str) -> Store:
    from sluice.storage.s3 import S3Store

    return S3Store(url)


STORES: dict[str, Callable[[str], Store]] = {"file": _local, "gs": _gcs, "s3": _s3}
"""Scheme -> function that opens such a store at a URL or local path; it imports only that store's module."""


def open_store(address: str | Url) -> Store:
    """Return the store at a relative or absolute path, file://, gs:// or s3:// address. Connects to nothing yet.

    Raises:
        ConfigError: the scheme is none of these, a bucket or path is missing, or the address has a user or password.

    """
    url = Url.of(address)
    scheme, separator, rest = url.reveal().partition("://")
    if not separator:
        scheme, rest = "file", url.reveal()
    if scheme not in STORES or not (rest if scheme == "file" else rest.partition("/")[0]):
        message = f"{url.prefix}expected {SUPPORTED}, got {str(url)!r}"
        raise ConfigError(message)
    if separator and split_credentials(rest).user and scheme != "file":
        message = f"{url.label}: expected no user or password in the URL; they come from the environment"
        raise ConfigError(message)
    if str(url) != url.reveal():
        message = f"{url.prefix}expected {SUPPORTED}, without options, got {str(url)!r}"
        raise ConfigError(message)
    if scheme == "file":
        return STORES[scheme](rest)
    return STORES[scheme](url.reveal())
