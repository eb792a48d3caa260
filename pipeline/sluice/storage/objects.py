"""The common part of object stores: a create that resolves an uncertain answer by reading the object's writer."""

from __future__ import annotations

import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sluice.errors import StorageError
from sluice.retry import RetryPolicy
from sluice.storage.base import Names, Rooted, failure, is_visible


class WriteConflictError(StorageError):
    """The service reported a conflict, but there is no object: another conditional write was under way, and failed."""


CONFLICT_RETRY = RetryPolicy(
    10, errors=(WriteConflictError,), first_pause=0.05, longest_pause=1, log_level=logging.DEBUG
)
"""S3 answers such a request with 409 and says to repeat it. Conflicts are usual, so they are not warned about."""

CONTENT_TYPE = "application/x-ndjson"

WRITER = "sluice-writer"
"""Key of the user metadata that holds the token of the call that made an object."""

CREATED_AT = "sluice-created-at"
"""Key of the user metadata that holds when an object was created. The services' own times are coarser, S3's a second,
and a copy of an object gets a new one."""


def metadata_of(token: str) -> dict[str, str]:
    """Return the user metadata of an object that is created now by the call with this token."""
    return {WRITER: token, CREATED_AT: datetime.now(UTC).isoformat()}


class ObjectStore(Rooted, ABC):
    """A prefix of a bucket; the common part of GCS and S3."""

    def __init__(self, root: str) -> None:
        """Take `<scheme>://<bucket>/<prefix>` apart; the prefix may be missing."""
        super().__init__(root)
        self._bucket_name, _, prefix = self.root.partition("://")[2].partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @abstractmethod
    def _errors(self) -> tuple[type[Exception], ...]:
        """Return what the client raises when the service, the network or the credentials fail."""

    @abstractmethod
    def _names(self, prefix: str, delimiter: str | None, after: str = "") -> Iterator[str]:
        """Yield the names below `prefix` without it; with the delimiter only those directly below.

        Names that are not greater than `after` may be left out.
        """

    @abstractmethod
    def _get(self, key: str) -> bytes: ...

    @abstractmethod
    def _put(self, key: str, data: bytes, token: str) -> bool:
        """Request a create-only write; False: an object exists, or another writer is creating it."""

    @abstractmethod
    def _writer(self, key: str) -> str | None:
        """Return the token of the call that created the object, '' if it has none, None if there is no object."""

    @abstractmethod
    def _created_at(self, key: str) -> datetime:
        """Return when the object was created, in UTC."""

    @contextmanager
    def _reporting(self, action: str, path: str) -> Iterator[None]:
        errors = self._errors()
        try:
            yield
        except errors as error:
            raise failure(self, action, path, error) from error

    def list(self, folder: str) -> Names:
        """Return the sorted names of the objects directly below `folder`."""
        prefix = f"{folder}/" if folder else ""
        with self._reporting("list", prefix):
            names = [name for name in self._names(self._prefix + prefix, "/") if name]
        return sorted(name for name in names if "/" not in name and is_visible(name))

    def walk(self, folder: str = "", after: str = "") -> Iterator[str]:
        """Yield the paths of the objects below `folder`, as the service pages through them."""
        prefix = f"{folder}/" if folder else ""
        with self._reporting("list", prefix):
            for name in self._names(self._prefix + prefix, None, after):
                if name > after and not name.endswith("/") and is_visible(name):
                    yield prefix + name

    def read(self, path: str) -> bytes:
        """Return the whole content of an object."""
        with self._reporting("read", path):
            return self._get(self._prefix + path)

    def created_at(self, path: str) -> datetime:
        """Return the time in the object's metadata, which copies keep, or else the service's own."""
        with self._reporting("read", path):
            return self._created_at(self._prefix + path)

    def create(self, path: str, data: bytes) -> bool:
        """Put an object if there is none; if the answer is uncertain, read whose token the object carries."""
        token = secrets.token_hex(16)
        return CONFLICT_RETRY(lambda: self._create(path, data, token))

    def _create(self, path: str, data: bytes, token: str) -> bool:
        key, error = self._prefix + path, None
        try:
            with self._reporting("write", path):
                if self._put(key, data, token):
                    return True
        except StorageError as failed:
            error = failed
        with self._reporting("write", path):
            writer = self._writer(key)
        if writer is not None:
            return writer == token
        if error is not None:
            raise error
        message = f"{self.url(path)}: cannot create: the service says that it exists, but it cannot be found"
        raise WriteConflictError(message)
