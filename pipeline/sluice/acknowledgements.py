"""Acknowledgements of a streaming run whose source and steps share one process.

On Prism, the runner of streaming jobs on one machine, all workers are threads of the launcher, so a plain object counts
which records are not stored yet. On other runners sources issue no ack tokens, and there is nothing to count.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from sluice.elements import Acks

MAX_OUTSTANDING_RECORDS = 1_000_000
MAX_OUTSTANDING_BYTES = 512 << 20
"""Records and bytes that a source emits before it waits for their storage: about ten seconds at the highest rate, since
events wait for `flush`. Meanwhile they are compressed in the runner."""


@dataclass(slots=True)
class _Batch:
    records: int
    size: int
    issued: float
    on_complete: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What sources have emitted and is not stored yet; `seconds` is the age of the oldest batch."""

    records: int
    bytes: int
    seconds: float


class PendingAcks:
    """Which batches of records are not stored yet, and how each is acknowledged at its source once it is.

    A batch is acknowledged when every record of it is in the log and the warehouse, as an event, as a duplicate or as a
    dead letter, and never before. A source issues an ack token with each batch; the last steps of the graph
    complete what they have stored.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` returns seconds; it measures the age of what is outstanding."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._batches: dict[int, _Batch] = {}
        self._completed = monotonic()
        self._records = 0
        self._bytes = 0

    def issue(self, records: int, size: int, on_complete: Callable[[], None]) -> int:
        """Return the ack token of a batch of `records`, at least 1, with `size` bytes.

        `on_complete` is called once, in a worker's thread, when all of them are stored; it must be quick.
        """
        with self._lock:
            ack_token = next(self._numbers)
            self._batches[ack_token] = _Batch(records, size, self._monotonic(), on_complete)
            self._records += records
            self._bytes += size
        return ack_token

    def complete(self, acks: Acks) -> None:
        """Record that so many records of these batches are stored."""
        completed: list[_Batch] = []
        with self._lock:
            self._completed = self._monotonic()
            for ack_token, records in acks.items():
                batch = self._batches[ack_token]
                batch.records -= records
                self._records -= records
                if not batch.records:
                    del self._batches[ack_token]
                    self._bytes -= batch.size
                    completed.append(batch)
        for batch in completed:
            batch.on_complete()

    def outstanding(self) -> Outstanding:
        """Return what is not stored yet."""
        with self._lock:
            oldest = next(iter(self._batches.values()), None)
            seconds = self._monotonic() - oldest.issued if oldest is not None else 0.0
            return Outstanding(self._records, self._bytes, seconds)

    def unmoved(self) -> float:
        """Return for how many seconds records have been outstanding without any of them being stored."""
        with self._lock:
            oldest = next(iter(self._batches.values()), None)
            return self._monotonic() - max(oldest.issued, self._completed) if oldest is not None else 0.0

    def is_full(self) -> bool:
        """Return whether so much is outstanding that a source must wait."""
        outstanding = self.outstanding()
        return outstanding.records >= MAX_OUTSTANDING_RECORDS or outstanding.bytes >= MAX_OUTSTANDING_BYTES
