"""One connection for each process, kept from one segment to the next."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from sluice.errors import WarehouseError


class Closable(Protocol):
    """A connection; `close` may raise WarehouseError."""

    def close(self) -> None:
        """End it, and with it a transaction that is open."""
        ...


Connection = TypeVar("Connection", bound=Closable)
Result = TypeVar("Result")


class Held(Generic[Connection]):
    """At most one connection of this process, opened when first needed; sent elsewhere, it goes without it."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._process = 0
        self._finalizer: weakref.finalize[..., Held[Connection]] | None = None

    def __reduce__(self) -> tuple[type[Held[Connection]], tuple[()]]:
        """Pickle as one that holds nothing."""
        return Held, ()

    def use(self, connect: Callable[[], Connection], work: Callable[[Connection], Result]) -> Result:
        """Do `work`, which may be repeated: once more if the connection had died since it was last used."""
        with self._lock:
            if self._process != os.getpid():  # a process that was forked leaves its parent's alone
                self._connection = None
            if self._connection is not None:
                try:
                    return work(self._connection)
                except WarehouseError:
                    self._drop()
                except BaseException:
                    self._drop()
                    raise
            self._connection, self._process = connect(), os.getpid()
            self._finalizer = weakref.finalize(self, _close_quietly, self._connection, os.getpid())
            try:
                return work(self._connection)
            except BaseException:
                self._drop()
                raise

    def _drop(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._connection = self._finalizer = None


def _close_quietly(connection: Closable, process: int) -> None:
    if os.getpid() == process:
        try:
            connection.close()
        except WarehouseError:
            pass  # it is gone, as it should be
