"""One suite for every warehouse: events of a contract without event time are placed by their arrival."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import count_events
from sluice.contracts import Contract, Property
from sluice.warehouses import SegmentLoad, open_warehouse

from tests.warehouses.backends import Backend
from tests.warehouses.order_segments import MINUTE, NOW, event_counts, numbers, segment

READING = Contract(
    event_type="reading",
    table="readings",
    id="reading",
    version="1.0.0",
    domain="odd",
    description="",
    properties=(
        Property("n", "integer"),
        Property("kind", "string", required=True, enum=("a", "b")),
    ),
    event_time=None,
)
LINES = (b'{"n":1,"kind":"a"}', b'{"n":2,"kind":"b"}', b'{"n":"x","kind":"b"}', b'{"n":3,"kind":"b"}')


def rows(backend: Backend) -> list[tuple[Any, ...]]:
    sql = "SELECT n, kind FROM readings ORDER BY _event_id"
    if backend.url.startswith("bigquery:"):
        sql = re.sub("FROM readings", "FROM readings WHERE _ingested_at >= @first", sql)
    return backend.query(sql)


def load(backend: Backend, contract: Contract, number: int) -> list[int]:
    stored = segment(number, *LINES, event_type="reading")
    table, row_errors = to_table(contract, stored, [f"{number:016x}{n:016x}" for n in range(4)], NOW)
    counts = count_events(contract, table, 10, stored.minute)
    warehouse = open_warehouse(backend.url)
    warehouse.prepare([contract])
    assert warehouse.differences([contract])[0] == []
    for _ in range(2):
        row_errors = warehouse.load(SegmentLoad(contract, stored, table, row_errors, counts, NOW))
    return numbers(row_errors)


def test_events_without_event_time_are_loaded_and_counted_at_their_minute(backend: Backend) -> None:
    assert load(backend, READING, 1) == [2]
    assert rows(backend) == [(1, "a"), (2, "b"), (3, "b")]
    start = datetime.fromtimestamp(MINUTE, UTC)
    assert event_counts(backend) == [("reading", start, start + timedelta(seconds=10), 3)]


def test_events_without_event_time_are_counted_by_the_property_of_the_contract(backend: Backend) -> None:
    assert load(backend, replace(READING, count_by="kind"), 1) == [2]
    start = datetime.fromtimestamp(MINUTE, UTC)
    end = start + timedelta(seconds=10)
    assert event_counts(backend) == [("a", start, end, 1), ("b", start, end, 2)]
