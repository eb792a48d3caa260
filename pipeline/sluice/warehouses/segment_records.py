"""What a warehouse says of the segments that it has loaded: its rows of `_segments`, by page and by file."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple, Protocol

import xxhash

from sluice.contracts import SEGMENT_ID_COLUMN
from sluice.elements import Segment, StoredSegment
from sluice.errors import LogChangedError, StorageError
from sluice.warehouses.system_tables import SEGMENTS

PAGE = 50_000
"""Rows that are held in memory at once; some 10 MB."""

MAX_PATHS = 500_000
"""Paths that a process remembers, some 100 MB; beyond it, the days used least recently are dropped."""

_EPOCH = date(1970, 1, 1)


class SegmentRecord(NamedTuple):
    """A loaded segment: its row of `_segments`. `path` is the address of its file when it was loaded."""

    id: str
    event_type: str
    path: str
    events: int
    row_errors: int


SegmentRecords = Iterator[Sequence[SegmentRecord]]
"""Pages of loaded segments."""

RowCounts = Iterator[Sequence[tuple[str, int]]]
"""Pages of (segment id, number of its rows in a table)."""

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Runs one statement with `?` for each value, and returns its rows."""


def day_limits(day: date) -> tuple[datetime, datetime]:
    """Return the first and the last microsecond of a UTC day."""
    return datetime.combine(day, time.min, UTC), datetime.combine(day, time.max, UTC)


def read_segment_records(query: Query, day: date | None) -> SegmentRecords:
    """Yield the rows of `_segments`, or those of one day, in the order of their primary key."""
    condition, limits = ("", ()) if day is None else (" AND minute BETWEEN ? AND ?", day_limits(day))
    sql = (
        f"SELECT segment_id, event_type, path, events, refused FROM {SEGMENTS.name}"
        f" WHERE segment_id > ?{condition} ORDER BY segment_id LIMIT {PAGE}"
    )
    for page in _pages(query, sql, limits):
        yield [
            SegmentRecord(segment_id, event_type, path, int(events), int(refused))
            for segment_id, event_type, path, events, refused in page
        ]


def read_row_counts(query: Query, table: str) -> RowCounts:
    """Yield how many rows of each segment a table has; `table` is its quoted name."""
    sql = (
        f"SELECT {SEGMENT_ID_COLUMN}, COUNT(*) FROM {table} WHERE {SEGMENT_ID_COLUMN} > ?"
        f" GROUP BY {SEGMENT_ID_COLUMN} ORDER BY {SEGMENT_ID_COLUMN} LIMIT {PAGE}"
    )
    for page in _pages(query, sql, ()):
        yield [(segment_id, int(rows)) for segment_id, rows in page]


def _pages(query: Query, sql: str, values: Sequence[Any]) -> Iterator[list[tuple[Any, ...]]]:
    last = ""
    while page := query(sql, [last, *values]):
        yield page
        last = page[-1][0]
        if len(page) < PAGE:
            return


def absolute(path: str) -> str:
    """Return the address of a file as one that does not depend on the working directory."""
    return path if "://" in path else os.path.abspath(path)


def is_below(path: str, folder: str) -> bool:
    """Tell whether a file is below a folder; both are as `absolute` returns them."""
    return path.startswith(f"{folder.rstrip('/')}/")


def missing_segment(path: str, loaded: str) -> StorageError:
    """Return the error that a file is gone whose segment the warehouse has loaded."""
    message = f"{path}: expected the file of segment {loaded}, got none; restore it"
    return StorageError(message)


def changed_segment(path: str, loaded: str, stored: str) -> LogChangedError:
    """Return the error that a file has other content than when the warehouse loaded it."""
    message = (
        f"{path}: expected segment {loaded}, as the warehouse has loaded it from this file, got segment {stored}; "
        "the file was changed or replaced: restore it, or load the log into a new warehouse"
    )
    return LogChangedError(message)


class Recording(Protocol):
    """A warehouse that says which segments it has loaded; see `Warehouse.segment_records`."""

    def segment_records(self, day: date | None = None) -> SegmentRecords:
        """Yield the loaded segments of a UTC day, or all of them."""
        ...


class LoadedSegmentGuard:
    """Knows which segments a warehouse has loaded from each file of a log, read by day and remembered.

    What is loaded after a day was read is not in it: a file is not created twice. Threads may share it; a pickle
    leaves behind what it remembers.
    """

    def __init__(self, warehouse: Recording, max_paths: int = MAX_PATHS) -> None:
        """Read nothing yet."""
        self._warehouse = warehouse
        self._max_paths = max_paths
        self._paths = 0
        self._days: OrderedDict[int, dict[int, frozenset[str]]] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[LoadedSegmentGuard], tuple[Recording, int]]:
        """Pickle the warehouse alone."""
        return type(self), (self._warehouse, self._max_paths)

    def __call__(self, segment: Segment | StoredSegment) -> None:
        """Check that the warehouse has not loaded other content from the file of `segment`.

        Raises:
            StorageError: it has, and the content that the file has now it has not.
            WarehouseError: the warehouse cannot be read.

        """
        with self._lock:
            loaded = self._day(segment.minute // 86400).get(_hash(segment.path), frozenset())
        if loaded and segment.id not in loaded:
            raise changed_segment(segment.path, min(loaded), segment.id)

    def _day(self, day: int) -> dict[int, frozenset[str]]:
        segments = self._days.pop(day, None)
        if segments is None:
            segments = {}
            for page in self._warehouse.segment_records(_EPOCH + timedelta(days=day)):
                for record in page:
                    key = _hash(record.path)
                    segments[key] = segments.get(key, frozenset()) | {record.id}
            self._paths += len(segments)
        self._days[day] = segments
        while self._paths > self._max_paths and len(self._days) > 1:
            self._paths -= len(self._days.popitem(last=False)[1])
        return segments


def _hash(path: str) -> int:
    return xxhash.xxh3_64_intdigest(absolute(path).encode("utf-8", "surrogateescape"))
