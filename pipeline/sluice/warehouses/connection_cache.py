"""One connection for each process, open from one segment to the next."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from sluice.errors import TableError, WarehouseError


class Closable(Protocol):
    """A connection; `close` may raise WarehouseError."""

    def close(self) -> None:
        """End it, and with it a transaction that is open."""
        ...


Connection = TypeVar("Connection", bound=Closable)
Result = TypeVar("Result")


class ConnectionCache(Generic[Connection]):
    """At most one connection of this process, opened when first needed. A copy in another process opens its own."""

    def __init__(self) -> None:
        """Start without a connection."""
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._process = 0
        self._finalizer: weakref.finalize[..., ConnectionCache[Connection]] | None = None

    def __reduce__(self) -> tuple[type[ConnectionCache[Connection]], tuple[()]]:
        """Pickle as one without a connection."""
        return ConnectionCache, ()

    def use(self, connect: Callable[[], Connection], work: Callable[[Connection], Result]) -> Result:
        """Do `work`, which must be safe to repeat: once more if the connection has died since its last use."""
        with self._lock:
            if self._process != os.getpid():  # a forked process must not touch its parent's connection
                self._connection = None
            if self._connection is not None:
                try:
                    return work(self._connection)
                except TableError:  # the connection works
                    raise
                except WarehouseError:
                    self._drop()
                except BaseException:
                    self._drop()
                    raise
            self._connection, self._process = connect(), os.getpid()
            self._finalizer = weakref.finalize(self, _close, self._connection, os.getpid())
            try:
                return work(self._connection)
            except BaseException:
                self._drop()
                raise

    def _drop(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._connection = self._finalizer = None


def _close(connection: Closable, process: int) -> None:
    if os.getpid() == process:
        with suppress(WarehouseError):  # it may be closed already
            connection.close()
