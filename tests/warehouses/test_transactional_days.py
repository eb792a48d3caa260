"""Many segments in one transaction, on a real database without keys: each once, whoever else loads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sluice.errors import TableError, WarehouseError
from sluice.warehouses import SegmentLoad
from sluice.warehouses.transactional import load_segment
from sluice.warehouses.transactional_days import (
    DaysClaim,
    InsertConflictDays,
    RowLockDays,
    load_segments,
    row_errors_of,
)

from tests.warehouses.backends import BACKENDS
from tests.warehouses.failing_sqlite import FailingConnection, add_lock, drop_keys, stored
from tests.warehouses.order_segments import DEAD_LETTER, order, prepared, segment_load


class ObservedConnection(FailingConnection):
    """Counts the transactions that are committed, and lets another worker act after the first look."""

    commits = 0
    after_look: Callable[[], object] | None = None

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.commits += sql == "COMMIT"
        rows = super().execute(sql, values)
        if "refused FROM _segments" in sql and self.after_look is not None:
            act, self.after_look = self.after_look, None
            act()
        return rows


@pytest.fixture(params=[InsertConflictDays, RowLockDays])
def claim(request: pytest.FixtureRequest) -> DaysClaim:
    made: DaysClaim = request.param()
    return made


@pytest.fixture
def connections(claim: DaysClaim, tmp_path: Path) -> Iterator[tuple[ObservedConnection, ObservedConnection]]:
    """Yield two connections to one database, for two workers."""
    with BACKENDS["sqlite"](tmp_path) as make:
        backend = make(tmp_path)
        prepared(backend.url)
        file = backend.url.removeprefix("sqlite:///")
        with (
            closing(sqlite3.connect(file, isolation_level=None)) as first,
            closing(sqlite3.connect(file, isolation_level=None)) as second,
        ):
            connection = ObservedConnection(file, first)
            add_lock(connection)
            if isinstance(claim, RowLockDays):
                drop_keys(connection)
            yield connection, ObservedConnection(file, second)


@pytest.fixture
def connection(connections: tuple[ObservedConnection, ObservedConnection]) -> ObservedConnection:
    return connections[0]


def day_loads(first: int, last: int) -> list[SegmentLoad]:
    """Return loads of these segments, each with two rows and a line that is none."""
    return [segment_load(number, order(0), order(11), b'{"at":7}') for number in range(first, last)]


def lines(row_errors: Sequence[Sequence[tuple[int, str]]]) -> list[list[int]]:
    return [[line for line, _ in errors] for errors in row_errors]


def test_segments_of_a_day_are_one_transaction(claim: DaysClaim, connection: ObservedConnection) -> None:
    loads = day_loads(1, 1201)
    row_errors = load_segments(connection, loads, claim)
    assert lines(row_errors) == [[2]] * 1200
    assert connection.commits == 1
    assert stored(connection) == (2400, 2400, [(2, 1)] * 1200)
    known = row_errors_of(connection, [load.segment.id for load in loads])
    assert [known[load.segment.id] for load in loads] == row_errors


def test_segments_that_are_loaded_again_with_others_are_loaded_once(
    claim: DaysClaim, connection: ObservedConnection
) -> None:
    load_segments(connection, day_loads(1, 4), claim)
    load_segment(connection, day_loads(7, 8)[0], claim.claim)
    assert lines(load_segments(connection, day_loads(1, 10), claim)) == [[2]] * 9
    assert stored(connection) == (18, 18, [(2, 1)] * 9)
    assert load_segments(connection, [], claim) == []


@pytest.mark.parametrize("others", [(1, 2), (3, 6), (5, 6), (1, 6)])
def test_segments_that_another_worker_loads_meanwhile_are_loaded_once(
    claim: DaysClaim, connections: tuple[ObservedConnection, ObservedConnection], others: tuple[int, int]
) -> None:
    connection, other = connections
    connection.after_look = lambda: load_segments(other, day_loads(*others), claim)
    assert lines(load_segments(connection, day_loads(1, 6), claim)) == [[2]] * 5
    assert connection.after_look is None
    assert stored(connection) == (10, 10, [(2, 1)] * 5)


@pytest.mark.parametrize("faulty", [{3}, {0, 15}, {4, 5, 6, 7}, set(range(16))])
def test_row_that_is_rejected_costs_itself_and_few_transactions(
    claim: DaysClaim, connection: ObservedConnection, faulty: set[int]
) -> None:
    connection.execute(
        "CREATE TRIGGER short BEFORE INSERT ON order_events WHEN length(new.text) > 3"
        " BEGIN SELECT raise(ABORT, 'text is too long'); END"
    )
    loads = [
        segment_load(number + 1, order(0, text="x"), order(1, text="xxxx" if number in faulty else "xx"))
        for number in range(16)
    ]
    expected = [[(1, "text is too long")] if number in faulty else [] for number in range(16)]
    assert load_segments(connection, loads, claim) == expected
    assert connection.commits <= len(faulty) * 5
    assert sorted(stored(connection)[2]) == sorted(
        (1, 1) if number in faulty else (2, 0) for number in range(16)
    )
    assert stored(connection)[:2] == (32 - len(faulty), 32 - len(faulty))


def test_table_that_takes_no_rows_ends_the_load(claim: DaysClaim, connection: ObservedConnection) -> None:
    connection.execute(
        "CREATE TRIGGER no BEFORE INSERT ON order_events BEGIN SELECT raise(ABORT, 'read only'); END"
    )
    with pytest.raises(TableError, match="expected a table that takes rows, got: read only"):
        load_segments(connection, day_loads(1, 9), claim)
    assert stored(connection) == (0, 0, [])


@pytest.mark.parametrize("statement", ["BEGIN", "_load_lock", "refused FROM _segments", "COMMIT"])
def test_failure_leaves_nothing_of_the_segments(
    claim: DaysClaim, connection: ObservedConnection, statement: str
) -> None:
    no_lock = isinstance(claim, InsertConflictDays) and statement == "_load_lock"
    connection.fails_at = "INSERT INTO _segments" if no_lock else statement
    with pytest.raises(WarehouseError, match="failed at"):
        load_segments(connection, day_loads(1, 9), claim)
    connection.fails_at = None
    assert stored(connection) == (0, 0, [])
    load_segments(connection, day_loads(1, 9), claim)
    assert stored(connection) == (16, 16, [(2, 1)] * 8)


def test_dead_letters_are_not_counted(claim: DaysClaim, connection: ObservedConnection) -> None:
    line = b'{"at":"2025-02-08T13:09:00Z","payload":"x"}'
    loads = [
        segment_load(number, line, contract=DEAD_LETTER, event_type="dead_letter") for number in range(1, 4)
    ]
    load_segments(connection, loads, claim)
    assert stored(connection) == (0, 0, [(1, 0)] * 3)


def test_zero_characters_of_a_reason_are_escaped(claim: DaysClaim, connection: ObservedConnection) -> None:
    loads = [replace(load, row_errors=[(2, "a\0b")]) for load in day_loads(1, 3)]
    assert load_segments(connection, loads, claim) == [[(2, "a\\0b")]] * 2
