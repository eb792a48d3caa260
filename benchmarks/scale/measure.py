"""Measure what a pane costs as its folder grows: appends to a log on this machine's disk, by the product's own code.

A folder gets its events in six panes of equal size, as a `flush` of ten seconds makes them in a minute. Measured is the
last one: in the worker that appended the others, and in a new worker, which has to read them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import xxhash
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.storage import Names
from sluice.storage.local import LocalStore
from sluice.validation.deduplication_keys import KeyFunction

PANES = 6
MINUTE = 1_739_020_020
"""2025-02-08T13:07:00Z."""


class CountedStore(LocalStore):
    """A folder that counts what an object store would bill: requests, and the bytes that were read."""

    lists = reads = creates = bytes_read = 0

    def list(self, folder: str) -> Names:
        """Count a list."""
        self.lists += 1
        return super().list(folder)

    def read(self, path: str) -> bytes:
        """Count a read, and its bytes."""
        data = super().read(path)
        self.reads += 1
        self.bytes_read += len(data)
        return data

    def create(self, path: str, data: bytes) -> bool:
        """Count a create."""
        self.creates += 1
        return super().create(path, data)


class Pane(NamedTuple):
    """What one append took."""

    lists: int
    reads: int
    creates: int
    bytes_read: int
    cpu_seconds: float


def hash_of_line() -> KeyFunction:
    """Return the deduplication key of the contracts whose identity is `content`."""
    key: KeyFunction = xxhash.xxh3_128_digest
    return key


def open_log(store: CountedStore) -> EventLog:
    """Return a new worker's log of one event type in `store`, with nothing in its cache."""
    return EventLog(store, {"order": TypeLog("order", "order", "content", hash_of_line)})


def append_pane(log: EventLog, lines: Sequence[bytes]) -> Pane:
    """Append lines that the folder does not have; return what it took."""
    store = log.store
    assert isinstance(store, CountedStore)
    store.lists = store.reads = store.creates = store.bytes_read = 0
    start = time.process_time()
    appended = log.append("order", MINUTE, 0, lines).appended
    seconds = time.process_time() - start
    assert appended == len(lines)
    return Pane(store.lists, store.reads, store.creates, store.bytes_read, seconds)


def lines_of(first: int, number: int, size: int) -> list[bytes]:
    """Return `number` different lines of `size` bytes, with their line feeds."""
    rest = b'","note":"' + b"x" * (size - 44) + b'"}'
    return [b'{"order_id":"%018d%b' % (at, rest) for at in range(first, first + number)]


def measure(events: int, line_bytes: int) -> tuple[Pane, Pane]:
    """Return the last pane of a folder of `events`: in the worker that has the folder, and in a new one."""
    of_pane = events // PANES
    with TemporaryDirectory(prefix="scale") as name:
        store = CountedStore(str(Path(name) / "files"))
        log = open_log(store)
        for pane in range(PANES - 1):
            append_pane(log, lines_of(pane * of_pane, of_pane, line_bytes))
        last = lines_of((PANES - 1) * of_pane, of_pane, line_bytes)
        same = append_pane(log, last)
        Path(name, "files/order/2025/02/08/13/07", "order_2025020813070006.json").unlink()
        return same, append_pane(open_log(store), last)
