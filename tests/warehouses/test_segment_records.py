"""What every warehouse says of the segments that it has loaded, and which of them come from one file."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

import pytest
from sluice.elements import StoredSegment
from sluice.errors import StorageError, WarehouseError
from sluice.warehouses import open_warehouse, segment_records
from sluice.warehouses.segment_records import LoadedSegmentGuard, SegmentRecord, SegmentRecords, absolute

from tests.warehouses.backends import Backend
from tests.warehouses.order_segments import DEAD_LETTER, MINUTE, ORDER, load, order, prepared, segment

DAY = 86_400


@pytest.fixture(autouse=True, params=[2, 50_000])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_records, "PAGE", request.param)


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


def test_guard_pickles_without_what_it_remembers() -> None:
    guard = LoadedSegmentGuard(open_warehouse("sqlite:///nothing.db"))
    assert type(pickle.loads(pickle.dumps(guard))) is LoadedSegmentGuard
