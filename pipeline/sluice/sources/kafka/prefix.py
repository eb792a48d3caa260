"""How far the offsets of a partition are stored without a gap, which is as far as they may be committed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec

from sluice.elements import OffsetSpan


class CommitUpdate(NamedTuple):
    """Either that a batch was read, or how many of its records are stored.

    `end` is the offset behind the batch and names it. `offset_span` is None for stored records. `topic_id` is that of
    the topic that a batch was read from.
    """

    end: int
    records: int
    offset_span: OffsetSpan | None
    topic_id: str = ""


class ContiguousPrefix(msgspec.Struct, array_like=True):
    """The offset below which all records of a partition are stored; updates may come in any order, each once.

    Its fields are a Beam state: their order and types must not change.
    """

    offset: int = -1
    """All records below this offset are stored; -1 before the first batch is known."""
    ends: dict[int, int] = msgspec.field(default_factory=dict)
    """Batches that were read and are not in the prefix yet: start -> end."""
    outstanding: dict[int, int] = msgspec.field(default_factory=dict)
    """End of a batch -> records that are not stored yet; below 0 if some were stored before the batch was known."""
    topic_id: str = ""
    """Of the topic that the offsets belong to."""

    def add(self, update: CommitUpdate) -> None:
        """Apply an update, and extend the prefix over all complete batches that follow it."""
        span = update.offset_span
        change = -update.records if span is None else update.records
        self.outstanding[update.end] = self.outstanding.get(update.end, 0) + change
        if span is not None:
            self.ends[span.start] = update.end
            self.topic_id = update.topic_id
            if span.first:
                self.offset = span.start
        while self.offset in self.ends and not self.outstanding[self.ends[self.offset]]:
            end = self.ends.pop(self.offset)
            del self.outstanding[end]
            self.offset = end


class ReadOffsets:
    """The offsets of a partition that this process has read, and how far they are stored. Safe for threads."""

    def __init__(self, start: int) -> None:
        """Begin at the offset `start`: all records below it are stored."""
        self.end = start
        self._prefix = ContiguousPrefix(start)
        self._lock = threading.Lock()

    @property
    def stored(self) -> int:
        """The offset below which all records are stored."""
        return self._prefix.offset

    def add(self, end: int) -> Callable[[], None]:
        """Add the batch from the last one's end to the offset `end`; return what to call once it is stored."""
        with self._lock:
            # The batch is stored as a whole, so that it counts as one record.
            self._prefix.add(CommitUpdate(end, 1, OffsetSpan(self.end, end, first=False)))
            self.end = end
        return partial(self._complete, end)

    def _complete(self, end: int) -> None:
        with self._lock:
            self._prefix.add(CommitUpdate(end, 1, None))
