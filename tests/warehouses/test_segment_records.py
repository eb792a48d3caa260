"""What every warehouse says of the segments that it has loaded, and which of them come from one file."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sluice.elements import StoredSegment
from sluice.errors import LogChangedError, StorageError, WarehouseError
from sluice.warehouses import open_warehouse, segment_records
from sluice.warehouses.segment_records import (
    PAGE,
    LoadedSegmentGuard,
    SegmentRecord,
    SegmentRecords,
    absolute,
    changed_segment,
    day_limits,
    read_row_counts,
    read_segment_records,
)

from tests.warehouses.backends import Backend
from tests.warehouses.order_segments import DEAD_LETTER, MINUTE, ORDER, load, order, prepared, segment

DAY = 86_400


@pytest.fixture(autouse=True, params=[2, PAGE])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_records, "PAGE", request.param)


class Loaded:
    """Segments a to e with 1 to 5 rows each, one on each day from the first of 1970, and the queries that are asked."""

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:")
        self.database.execute(
            "CREATE TABLE _segments (segment_id, event_type, path, minute, events, refused)"
        )
        self.database.execute("CREATE TABLE orders (_segment_id)")
        self.asked: list[list[Any]] = []
        for number, name in enumerate("abcde", 1):
            minute = f"1970-01-{number:02d} 23:59:00+00:00"
            segment_row = (name, "order", f"{name}.json", minute, str(number), str(10 - number))
            self.database.execute("INSERT INTO _segments VALUES (?, ?, ?, ?, ?, ?)", segment_row)
            self.database.executemany("INSERT INTO orders VALUES (?)", [name] * number)

    def query(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        self.asked.append(list(values))
        texts = [str(value) if isinstance(value, datetime) else value for value in values]
        return self.database.execute(sql, texts).fetchall()


RECORDS = [SegmentRecord(name, "order", f"{name}.json", n, 10 - n) for n, name in enumerate("abcde", 1)]


def test_pages_have_each_record_once_and_in_order() -> None:
    loaded = Loaded()
    pages = [list(page) for page in read_segment_records(loaded.query, None)]
    assert [record for page in pages for record in page] == RECORDS
    rows = [list(page) for page in read_row_counts(loaded.query, "orders")]
    assert [row for page in rows for row in page] == [(name, n) for n, name in enumerate("abcde", 1)]
    if segment_records.PAGE == 2:
        assert [len(page) for page in pages] == [len(page) for page in rows] == [2, 2, 1]
        assert loaded.asked == [[""], ["b"], ["d"]] * 2
    else:
        assert loaded.asked == [[""]] * 2


@pytest.mark.parametrize(("rows", "pages"), [(49_999, 1), (50_000, 2)])
def test_page_has_fifty_thousand_rows(rows: int, pages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_records, "PAGE", PAGE)
    asked: list[str] = []

    def query(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        asked.append(sql.rpartition(" ")[2])
        return [("a", 1)] * rows if values == [""] else []

    assert [len(read) for read in read_row_counts(query, "orders")] == [rows]
    assert asked == ["50000"] * pages


def test_full_last_page_is_followed_by_none() -> None:
    loaded = Loaded()
    loaded.database.execute("DELETE FROM _segments WHERE segment_id = 'c'")
    assert [record for page in read_segment_records(loaded.query, None) for record in page] == [
        record for record in RECORDS if record.id != "c"
    ]


@pytest.mark.parametrize("day", range(1, 7))
def test_records_of_a_day_are_those_of_its_minutes(day: int) -> None:
    loaded = Loaded()
    pages = list(read_segment_records(loaded.query, date(1970, 1, day)))
    assert [record for page in pages for record in page] == RECORDS[day - 1 : day]
    assert loaded.asked[0] == [
        "",
        datetime(1970, 1, day, tzinfo=UTC),
        datetime(1970, 1, day, 23, 59, 59, 999_999, tzinfo=UTC),
    ]


def test_last_day_has_a_last_microsecond() -> None:
    first, last = day_limits(date(9999, 12, 31))
    assert first == datetime(9999, 12, 31, tzinfo=UTC)
    assert last == datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def test_error_of_a_changed_segment_names_both_contents() -> None:
    error = changed_segment("f.json", "old", "new")
    assert type(error) is LogChangedError
    assert str(error) == (
        "f.json: expected segment old, as the warehouse has loaded it from this file, got segment new; "
        "the file was changed or replaced: restore it, or load the log into a new warehouse"
    )


def test_records_and_rows_of_all_loaded_segments_are_read(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    assert list(warehouse.segment_records()) in ([], [[]])
    segments = [segment(number, *(order(second) for second in range(number))) for number in range(1, 6)]
    segments[2] = replace(segments[2], minute=MINUTE + DAY)
    segments[4] = replace(segments[4], lines=[order(), b'{"at":7}'])
    for stored in segments:
        load(warehouse, ORDER, stored)
    letter = segment(9, b'{"at":"2025-02-08T13:09:00Z","payload":"x"}', event_type="dead_letter")
    load(warehouse, DEAD_LETTER, letter)
    records = {record for page in warehouse.segment_records() for record in page}
    counts = {1: (1, 0), 2: (2, 0), 3: (3, 0), 4: (4, 0), 5: (1, 1)}
    assert records == {
        SegmentRecord(f"{number:032x}", "order", f"files/order/{number}.json", *counts[number])
        for number in counts
    } | {SegmentRecord(letter.id, "dead_letter", letter.path, 1, 0)}
    rows = {row for page in warehouse.row_counts(ORDER) for row in page}
    assert rows == {(f"{number:032x}", counts[number][0]) for number in counts}
    assert [row for page in warehouse.row_counts(DEAD_LETTER) for row in page] == [(letter.id, 1)]
    of_day = {
        day: {record.id for page in warehouse.segment_records(day) for record in page}
        for day in (date(2025, 2, 7), date(2025, 2, 8), date(2025, 2, 9), date(9999, 12, 31))
    }
    assert of_day == {
        date(2025, 2, 7): set(),
        date(2025, 2, 8): {f"{number:032x}" for number in (1, 2, 4, 5, 9)},
        date(2025, 2, 9): {f"{3:032x}"},
        date(9999, 12, 31): set(),
    }


def test_warehouse_without_tables_is_an_error(backend: Backend) -> None:
    with pytest.raises(WarehouseError) as caught:
        list(open_warehouse(backend.url).segment_records())
    assert "\n" not in str(caught.value)


class RecordedDays:
    """A warehouse that counts how often its days are read."""

    def __init__(self, records: dict[date, Sequence[SegmentRecord]]) -> None:
        self.records = records
        self.read: list[date | None] = []

    def segment_records(self, day: date | None = None) -> SegmentRecords:
        self.read.append(day)

        def pages() -> Iterator[Sequence[SegmentRecord]]:
            if day is not None:
                yield self.records.get(day, ())

        return pages()


def test_other_segment_of_a_file_is_refused() -> None:
    warehouse = RecordedDays(
        {
            date(1970, 1, 1): [
                SegmentRecord("a", "order", "files/1.json", 1, 0),
                SegmentRecord("b", "order", "files/2.json", 1, 0),
                SegmentRecord("c", "order", absolute("files/2.json"), 1, 0),
            ],
            date(1969, 12, 31): [SegmentRecord("d", "order", "s3://bucket/files/1.json", 1, 0)],
        }
    )
    guard = LoadedSegmentGuard(warehouse)

    def refused(path: str, segment_id: str, minute: int) -> str | None:
        try:
            guard(StoredSegment("order", path, minute, segment_id))
        except StorageError as error:
            return str(error)
        return None

    assert refused("files/1.json", "a", 0) is None
    assert refused("files/1.json", "x", 0) == (
        "files/1.json: expected segment a, as the warehouse has loaded it from this file, got segment x; "
        "the file was changed or replaced: restore it, or load the log into a new warehouse"
    )
    for path, segment_id, minute, loaded in (
        ("./files/../files/1.json", "x", 86_399, "a"),
        ("files/2.json", "b", 0, None),
        ("files/2.json", "x", 0, "b"),
        ("files/3.json", "x", 0, None),
        ("s3://bucket/files/1.json", "x", -60, "d"),
        ("s3://bucket/files/1.json", "x", 60, None),
    ):
        message = refused(path, segment_id, minute)
        assert message is None if loaded is None else f"expected segment {loaded}," in str(message)
    assert warehouse.read == [date(1970, 1, 1), date(1969, 12, 31)]


def test_days_used_least_recently_are_dropped() -> None:
    days = [date(1970, 1, day) for day in (1, 2, 3)]
    warehouse = RecordedDays({day: [SegmentRecord("a", "order", f"{day}", 1, 0)] for day in days})
    guard = LoadedSegmentGuard(warehouse, max_paths=2)
    for day in (1, 2, 1, 3, 1, 2):
        with pytest.raises(StorageError):
            guard(StoredSegment("order", f"1970-01-0{day}", (day - 1) * DAY, "b"))
    assert [day.day for day in warehouse.read if day is not None] == [1, 2, 3, 2]


@pytest.mark.parametrize(
    ("max_paths", "visited", "read"),
    [
        (1, (1, 1, 1), [1]),  # a day is kept while it is the only one, however many paths it has
        (3, (1, 2, 1), [1, 2, 1]),
        (4, (1, 2, 1, 2, 3, 2, 3, 1), [1, 2, 3, 1]),
        (6, (1, 2, 3, 1, 2, 3), [1, 2, 3]),
    ],
)
def test_days_are_dropped_beyond_the_number_of_paths(
    max_paths: int, visited: tuple[int, ...], read: list[int]
) -> None:
    records: dict[date, Sequence[SegmentRecord]] = {
        date(1970, 1, day): [SegmentRecord("a", "order", f"{day}/{n}", 1, 0) for n in range(2)]
        for day in (1, 2, 3)
    }
    warehouse = RecordedDays(records)
    guard = LoadedSegmentGuard(warehouse, max_paths)
    for day in visited:
        guard(StoredSegment("order", f"{day}/1", (day - 1) * DAY, "a"))
    assert [day.day for day in warehouse.read if day is not None] == read


def test_guard_pickles_without_what_it_remembers() -> None:
    guard = LoadedSegmentGuard(open_warehouse("sqlite:///nothing.db"))
    assert type(pickle.loads(pickle.dumps(guard))) is LoadedSegmentGuard
