"""What the source, the steps and the launcher of a live run share when they are one process.

On Prism, the runner of live jobs on one machine, all workers are threads of the launcher, so plain objects
will do. Elsewhere these objects are there in every worker and mean nothing: no source issues tickets there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from sluice.elements import Acks


@dataclass(slots=True)
class _Batch:
    records: int
    size: int
    issued: float
    settled: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What sources have handed over and is not stored yet; `seconds` is the age of the oldest of it."""

    records: int
    bytes: int
    seconds: float


class PendingAcks:
    """Which batches of records are not stored yet, and what to do when one is: acknowledge it at its source.

    Nothing is acknowledged before every record of its batch is in the log and the warehouse, as an event, as a
    repeat, or as a dead letter. A source issues a ticket with each batch; the last steps of the graph settle
    what they have stored.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` tells seconds, for the age of what is outstanding."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._batches: dict[int, _Batch] = {}
        self._records = 0
        self._bytes = 0

    def issue(self, records: int, size: int, settled: Callable[[], None]) -> int:
        """Return the ticket of a batch of `records`, at least 1, with `size` bytes.

        `settled` is called once, in a worker's thread, when all of them are stored; it must be quick.
        """
        with self._lock:
            ack_token = next(self._numbers)
            self._batches[ack_token] = _Batch(records, size, self._monotonic(), settled)
            self._records += records
            self._bytes += size
        return ack_token

    def settle(self, acks: Acks) -> None:
        """Take note that so many records of these batches are stored."""
        done: list[_Batch] = []
        with self._lock:
            for ack_token, records in acks.items():
                batch = self._batches[ack_token]
                batch.records -= records
                self._records -= records
                if not batch.records:
                    del self._batches[ack_token]
                    self._bytes -= batch.size
                    done.append(batch)
        for batch in done:
            batch.settled()

    def outstanding(self) -> Outstanding:
        """Return what is not stored yet."""
        with self._lock:
            oldest = next(iter(self._batches.values()), None)
            seconds = self._monotonic() - oldest.issued if oldest is not None else 0.0
            return Outstanding(self._records, self._bytes, seconds)


PENDING_ACKS = PendingAcks()
"""Those of this process."""

MAX_OUTSTANDING_RECORDS = 1_000_000
MAX_OUTSTANDING_BYTES = 512 << 20
"""What sources hand over before they wait for it to be stored: some ten seconds of the highest rate, since events
wait for `flush`. It lies compressed in the runner meanwhile."""


def is_full() -> bool:
    """Tell whether a source is to wait, because too much is outstanding."""
    outstanding = PENDING_ACKS.outstanding()
    return outstanding.records >= MAX_OUTSTANDING_RECORDS or outstanding.bytes >= MAX_OUTSTANDING_BYTES


MAX_BEHIND_WATERMARK = 31 * 86400.0
"""Seconds that a record's arrival may lie behind its source's watermark: as long as Pub/Sub keeps a message. The
runner's windows are kept that much longer than `allowed_lateness`, so that only our own age rule rejects anything;
what a source delivers even later counts as arrived just then."""

DRAINING = threading.Event()
"""Set when the run is to end: sources finish, everything on its way is stored and acknowledged."""


class Closing:
    """What sources want done in the launcher when nothing is on its way any more, such as a last commit."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._actions: list[Callable[[], None]] = []

    def add(self, action: Callable[[], None]) -> None:
        """Have `action` called at the end of the run."""
        self._actions.append(action)

    def close(self) -> None:
        """Do it all, once."""
        while self._actions:
            self._actions.pop()()


CLOSING = Closing()
"""That of this process."""


class Backlog:
    """How many records wait at their source, unread: as each part of a source, such as a partition, last saw it."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._lock = threading.Lock()
        self._parts: dict[tuple[str, int], int] = {}

    def set(self, uri: str, part: int, records: int) -> None:
        """Take note of what waits in one part of the source at `uri`."""
        with self._lock:
            self._parts[uri, part] = records

    def total(self) -> int | None:
        """Return what waits in all parts; None if the source cannot tell."""
        with self._lock:
            return sum(self._parts.values()) if self._parts else None


BACKLOG = Backlog()
"""That of this process."""
