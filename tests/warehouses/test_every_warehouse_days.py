"""Days of a log that warehouses with primary keys load in a transaction: each segment once, whoever else loads it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sluice.warehouses import Coalescing, SegmentLoad, open_warehouse

from tests.warehouses.backends import Backend
from tests.warehouses.order_segments import event_counts, numbers, order, prepared, segment_load, segment_rows

pytestmark = pytest.mark.parametrize("make_backend", ["postgres", "sqlite"], indirect=True)


def day_loads(first: int, last: int) -> list[SegmentLoad]:
    """Return loads of these segments, each with two rows and a line that is none."""
    return [segment_load(number, order(0), order(11), b'{"at":7}') for number in range(first, last)]


def test_segments_of_a_day_are_loaded_once_by_all_workers(backend: Backend) -> None:
    prepared(backend.url)

    def work(first: int) -> list[list[int]]:
        warehouse = open_warehouse(backend.url)
        assert isinstance(warehouse, Coalescing)
        assert (warehouse.coalesces, warehouse.coalesces_logs) == (False, True)
        if first % 2:
            return [numbers(warehouse.load(load)) for load in day_loads(first, first + 5)]
        return [numbers(row_errors) for row_errors in warehouse.load_day(day_loads(first, first + 600))]

    with ThreadPoolExecutor(5) as pool:
        made = list(pool.map(work, [0, 200, 301, 400, 599]))
    assert made == [[[2]] * 600, [[2]] * 600, [[2]] * 5, [[2]] * 600, [[2]] * 5]
    assert [row[4:6] for row in segment_rows(backend)] == [(2, 1)] * 1000
    assert sum(events for *_, events in event_counts(backend)) == 2000
    ids = backend.query("SELECT _event_id FROM order_events")
    assert (len(ids), len(set(ids))) == (2000, 2000)
    warehouse = open_warehouse(backend.url)
    assert isinstance(warehouse, Coalescing)
    loads = day_loads(990, 1010)
    known = warehouse.row_errors_of_day([load.segment.id for load in loads], loads[0].minute.date())
    assert list(map(numbers, known.values())) == [[2]] * 10
