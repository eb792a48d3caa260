"""Rows that a warehouse rejected before, and takes now: each comes in once, and the figures of its segment follow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import count_windows
from sluice.contracts import Contract
from sluice.warehouses import SegmentLoad, open_warehouse

from tests.warehouses.backends import Backend
from tests.warehouses.order_segments import (
    DEAD_LETTER,
    MINUTE,
    NOW,
    ORDER,
    event_counts,
    number_of,
    numbers,
    order,
    prepared,
    segment_load,
    segment_rows,
)

_BEGIN = datetime.fromtimestamp(MINUTE, UTC)
LINES = [order(n, number=n if n % 5 == 0 else None) for n in range(0, 40, 2)]
"""Twenty orders in four windows; those of the seconds 0, 10, 20 and 30 have a number, the lines 0, 5, 10, 15."""
BEFORE = [line for line in range(20) if line % 5]


def strict(contract: Contract, name: str) -> Contract:
    """Return the contract as it was before: a property is required."""
    properties = tuple(
        replace(prop, required=prop.required or prop.name == name) for prop in contract.properties
    )
    return replace(contract, properties=properties)


def rejecting(load: SegmentLoad, name: str = "number") -> SegmentLoad:
    """Return a load as a contract with a required property makes it."""
    contract = strict(load.contract, name)
    identities = load.rows["_event_id"].to_pylist()
    rows, row_errors = to_table(contract, load.segment, identities, NOW)
    return replace(load, rows=rows, row_errors=row_errors, window_counts=count_windows(rows["at"]))


def windows(backend: Backend) -> list[int]:
    """Return the events of each window of ten seconds of the minute."""
    counted = {start: events for _, start, _, events in event_counts(backend)}
    return [counted.pop(_BEGIN + timedelta(seconds=at), 0) for at in range(0, 60, 10)]


def rows_by_segment(backend: Backend, contract: Contract = ORDER) -> dict[str, int]:
    return dict(row for page in open_warehouse(backend.url).row_counts(contract) for row in page)


def test_rows_that_were_rejected_come_in_once(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    load, other = segment_load(1, *LINES), segment_load(2, order(59), b'{"at":7}')
    warehouse.load(other)
    assert numbers(warehouse.load(rejecting(load))) == BEFORE
    assert windows(backend) == [1, 1, 1, 1, 0, 1]
    for hours in (1, 2):
        later = replace(load, ingested_at=NOW + timedelta(hours=hours))
        assert warehouse.load_rejected(later) == []
        assert rows_by_segment(backend) == {load.segment.id: 20, other.segment.id: 1}
        assert windows(backend) == [5, 5, 5, 5, 0, 1]
        assert [row[4:] for row in segment_rows(backend)] == [
            (20, 0, NOW + timedelta(hours=1)),  # so that incremental models find the rows
            (1, 1, NOW),
        ]
        assert warehouse.row_errors(load.segment.id, MINUTE) == []
    assert numbers(warehouse.load_rejected(other)) == [1]
    assert numbers(warehouse.row_errors(other.segment.id, MINUTE) or []) == [1]
    ids = backend.query("SELECT _event_id FROM order_events")
    assert len(set(ids)) == 21


def test_rows_that_are_still_rejected_stay_so_with_the_reason_of_now(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    lines = [*LINES, b'{"at":7}', order(39, number=7)]
    load = segment_load(1, *lines)
    assert numbers(
        warehouse.load(rejecting(replace(load, rows=segment_load(1, *LINES, order(), order()).rows)))
    ) == [
        *BEFORE,
        20,
    ]
    still = warehouse.load_rejected(load)
    assert still == [load.row_errors[0]]
    assert [row[4:6] for row in segment_rows(backend)] == [(21, 1)]
    assert windows(backend) == [5, 5, 5, 6, 0, 0]
    assert warehouse.row_errors(load.segment.id, MINUTE) == still
    assert rows_by_segment(backend) == {load.segment.id: 21}


def test_nothing_changes_while_all_are_still_rejected(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    load = rejecting(segment_load(1, *LINES))
    row_errors = warehouse.load(load)
    before = segment_rows(backend)
    later = replace(load, ingested_at=NOW + timedelta(hours=1))
    assert warehouse.load_rejected(later) == row_errors
    assert (segment_rows(backend), rows_by_segment(backend)) == (before, {load.segment.id: 4})
    assert windows(backend) == [1, 1, 1, 1, 0, 0]


def test_dead_letters_come_in_without_counts(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    lines = [b'{"at":"2025-02-08T13:09:00Z","payload":"x"}', b'{"at":"2025-02-08T13:09:01Z"}']
    load = segment_load(1, *lines, contract=DEAD_LETTER, event_type="dead_letter")
    assert numbers(warehouse.load(rejecting(load, "payload"))) == [1]
    assert warehouse.load_rejected(load) == []
    assert (number_of(backend, "dead_letters"), event_counts(backend)) == (2, [])
    assert segment_rows(backend)[0][4:6] == (2, 0)


def test_rows_that_workers_load_at_the_same_time_come_in_once(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    loads = [segment_load(number, *LINES) for number in (1, 2)]
    for load in loads:
        warehouse.load(rejecting(load))

    def work(worker: int) -> list[list[int]]:
        own = open_warehouse(backend.url)
        return [numbers(own.load_rejected(load)) for load in loads[worker % 2 :]]

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(work, range(3))) == [[[], []], [[]], [[], []]]
    assert rows_by_segment(backend) == {load.segment.id: 20 for load in loads}
    assert windows(backend) == [10, 10, 10, 10, 0, 0]
    assert [row[4:6] for row in segment_rows(backend)] == [(20, 0)] * 2


def test_segment_without_rejected_rows_stays_as_it_is(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    load = segment_load(1, *LINES)
    warehouse.load(load)
    before = segment_rows(backend)
    assert warehouse.load_rejected(load) == []
    assert (segment_rows(backend), number_of(backend, "order_events")) == (before, 20)
