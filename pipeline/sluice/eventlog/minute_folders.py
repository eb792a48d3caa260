"""What a process remembers of the minute folders that it appends to, so that it reads each segment once.

The store is the truth: a folder is listed on each append, and what the cache has not seen is read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sluice.elements import LogKey, Segment, StoredSegment
from sluice.eventlog.paths import segment_file

MAX_CACHED_KEYS = 1_000_000
"""Deduplication keys in the cache; beyond it, the folders used least recently are dropped. About 100 MB.

A folder that is still filling should stay, or each append to it reads its segments again; a million keys are those of
the current minute at 16,000 events/s. The folder of the append under way is complete, whatever its size.
"""

_FOLDER_WEIGHT = 10
"""The objects of one folder take as much memory as some ten keys."""


@dataclass(slots=True)
class MinuteFolder:
    """The known segments of one event type, minute and shard; always a subset of what the store holds."""

    path: str
    stem: str
    event_type: str
    numbers: dict[bytes, int] = field(default_factory=dict)
    """Deduplication key -> number of the segment that has its event."""
    segments: dict[int, StoredSegment] = field(default_factory=dict)
    """By number."""
    to_report: set[int] = field(default_factory=set)
    """Numbers of the segments that the next successful append reports."""
    unguarded: set[int] = field(default_factory=set)
    """Numbers of the segments that were read from the store, and that the log's guard has not seen."""

    def file(self, number: int) -> str:
        """Return the path of a segment."""
        return f"{self.path}/{segment_file(self.stem, number)}"

    def weight(self) -> int:
        """Return the memory that the folder takes, in keys."""
        return len(self.numbers) + _FOLDER_WEIGHT

    def clear(self) -> None:
        """Forget everything."""
        self.numbers.clear()
        self.segments.clear()
        self.to_report.clear()
        self.unguarded.clear()

    def add(self, number: int, segment: Segment, keys: Iterable[bytes]) -> None:
        """Remember a segment that is in the store, and the deduplication keys of its lines."""
        # The first segment that has an event stays its segment.
        self.numbers |= {key: number for key in keys if key not in self.numbers}
        self.segments[number] = StoredSegment(segment.event_type, segment.path, segment.minute, segment.id)

    def new_lines(self, lines: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Return those of `lines` (by key) that no known segment has; report the segments that have the others."""
        if self.numbers.keys().isdisjoint(lines):
            return lines
        self.to_report.update(self.numbers[key] for key in lines if key in self.numbers)
        return {key: line for key, line in lines.items() if key not in self.numbers}

    def report(self) -> tuple[StoredSegment, ...]:
        """Return the segments to report, in order, and begin a new report."""
        numbers = sorted(self.to_report)
        self.to_report.clear()
        return tuple(self.segments[number] for number in numbers)


class FolderCache:
    """Minute folders by log key, at most `max_keys` deduplication keys in all. Threads may share it."""

    def __init__(self, max_keys: int) -> None:
        """Begin with an empty cache."""
        self.max_keys = max_keys
        self._keys = 0
        self._lock = threading.Lock()
        self._folders: OrderedDict[LogKey, MinuteFolder] = OrderedDict()

    @contextmanager
    def use(self, key: LogKey, make: Callable[[], MinuteFolder]) -> Iterator[MinuteFolder]:
        """Take a folder out of the cache, or a new one, and put it back as the one used last."""
        folder = self._take(key)
        if folder is None:
            folder = make()
        try:
            yield folder
        finally:
            self._take(key)  # another thread may have put back its own copy of the same folder meanwhile
            with self._lock:
                self._folders[key] = folder
                self._keys += folder.weight()
                while self._keys > self.max_keys:
                    self._keys -= self._folders.popitem(last=False)[1].weight()

    def _take(self, key: LogKey) -> MinuteFolder | None:
        with self._lock:
            folder = self._folders.pop(key, None)
            self._keys -= folder.weight() if folder is not None else 0
            return folder
