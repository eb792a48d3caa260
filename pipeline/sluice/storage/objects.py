"""What object stores have in common: a create whose uncertain answer is settled by a look at the object."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from sluice.errors import StorageError
from sluice.storage.base import Names, Rooted, failure, is_visible

CREATE_ATTEMPTS = 5
"""S3 answers 409 while another conditional write is under way, and says to try again."""

CONTENT_TYPE = "application/x-ndjson"

WRITER = "sluice-writer"
"""Key of the user metadata that holds the token of the call that made an object."""


class ObjectStore(Rooted, ABC):
    """A prefix of a bucket; what GCS and S3 have in common."""

    def __init__(self, root: str) -> None:
        """Take `<scheme>://<bucket>/<prefix>` apart; the prefix may be missing."""
        super().__init__(root)
        self._bucket_name, _, prefix = self.root.partition("://")[2].partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @abstractmethod
    def _errors(self) -> tuple[type[Exception], ...]:
        """Return what the client raises when the service, the network or the credentials fail."""

    @abstractmethod
    def _names(self, prefix: str, delimiter: str | None) -> Iterator[str]:
        """Yield the names below `prefix` without it; with the delimiter only those directly below."""

    @abstractmethod
    def _get(self, key: str) -> bytes: ...

    @abstractmethod
    def _put(self, key: str, data: bytes, token: str) -> bool:
        """Request a create-only write; False: something is there, or somebody is writing it just now."""

    @abstractmethod
    def _writer(self, key: str) -> str | None:
        """Return the token of the call that made the object, '' if it has none, None if nothing is there."""

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

    def walk(self, folder: str = "") -> Iterator[str]:
        """Yield the paths of all objects below `folder`, as the service pages through them."""
        prefix = f"{folder}/" if folder else ""
        with self._reporting("list", prefix):
            for name in self._names(self._prefix + prefix, None):
                if name and not name.endswith("/") and is_visible(name):
                    yield prefix + name

    def read(self, path: str) -> bytes:
        """Return the whole content of an object."""
        with self._reporting("read", path):
            return self._get(self._prefix + path)

    def create(self, path: str, data: bytes) -> bool:
        """Put an object if there is none; where the answer is in doubt, look whose token it carries."""
        key, token = self._prefix + path, secrets.token_hex(16)
        for _ in range(CREATE_ATTEMPTS):
            failed = None
            try:
                with self._reporting("write", path):
                    if self._put(key, data, token):
                        return True
            except StorageError as error:
                failed = error
            with self._reporting("write", path):
                writer = self._writer(key)
            if writer is not None:
                return writer == token
            if failed is not None:
                raise failed
        message = f"{self.url(path)}: cannot create: the service says that it exists, but it cannot be found"
        raise StorageError(message)
