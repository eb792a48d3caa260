"""Both claims on a real database: what a load commits, and what is left of one that fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sluice.errors import WarehouseError
from sluice.warehouses.transactional import (
    Claim,
    InsertConflictClaim,
    RowLockClaim,
    load_segment,
    read_row_errors,
)

from tests.warehouses.backends import BACKENDS
from tests.warehouses.failing_sqlite import FailingConnection, add_lock, drop_keys, stored
from tests.warehouses.order_segments import DEAD_LETTER, order, prepared, segment_load


@pytest.fixture(params=[InsertConflictClaim, RowLockClaim])
def claim(request: pytest.FixtureRequest) -> Claim:
    made: Claim = request.param()
    return made


Open = Callable[[], FailingConnection]


@pytest.fixture
def connect(claim: Claim, tmp_path: Path) -> Iterator[Open]:
    with BACKENDS["sqlite"](tmp_path) as make:
        backend = make(tmp_path)
        prepared(backend.url)
        file = backend.url.removeprefix("sqlite:///")
        opened: list[sqlite3.Connection] = []

        def open_connection() -> FailingConnection:
            opened.append(sqlite3.connect(file, isolation_level=None))
            return FailingConnection(file, opened[-1])

        first = open_connection()
        add_lock(first)
        if isinstance(claim, RowLockClaim):
            drop_keys(first)
        yield open_connection
        for connection in opened:
            connection.close()


def test_segment_is_loaded_once(claim: Claim, connect: Open) -> None:
    load = segment_load(1, order(0), b'{"at":7}', order(11))
    row_errors = load_segment(connect(), load, claim)
    assert [line for line, _ in row_errors] == [1]
    assert load_segment(connect(), load, claim) == row_errors
    assert read_row_errors(connect(), load.segment.id) == row_errors
    assert stored(connect()) == (2, 2, [(2, 1)])


def test_rejected_rows_are_row_errors_and_the_others_are_loaded(claim: Claim, connect: Open) -> None:
    connection = connect()
    connection.execute(
        "CREATE TRIGGER short BEFORE INSERT ON order_events WHEN length(new.text) > 3"
        " BEGIN SELECT raise(ABORT, 'text is too long'); END"
    )
    lines = [order(second, text="x" * second) for second in range(6)]
    load = segment_load(1, *lines)
    assert load_segment(connection, load, claim) == [(4, "text is too long"), (5, "text is too long")]
    assert stored(connection) == (4, 4, [(4, 2)])


@pytest.mark.parametrize("statement", ["SAVEPOINT", "_load_lock", "INSERT INTO _segments", "COMMIT"])
def test_failure_leaves_nothing_of_a_segment(claim: Claim, connect: Open, statement: str) -> None:
    connection = connect()
    load = segment_load(1, order(0), b'{"at":7}')
    connection.fails_at = statement
    if statement == ("SAVEPOINT" if isinstance(claim, RowLockClaim) else "_load_lock"):
        load_segment(connection, load, claim)  # the other claim does without it
        return
    with pytest.raises(WarehouseError, match="failed at"):
        load_segment(connection, load, claim)
    assert stored(connect()) == (0, 0, [])
    connection.fails_at = None
    load_segment(connection, load, claim)
    assert stored(connect()) == (1, 1, [(1, 1)])


def test_dead_letters_are_not_counted(claim: Claim, connect: Open) -> None:
    line = b'{"at":"2025-02-08T13:09:00Z","payload":"x"}'
    load = segment_load(1, line, contract=DEAD_LETTER, event_type="dead_letter")
    load_segment(connect(), load, claim)
    assert stored(connect()) == (0, 0, [(1, 0)])


def test_zero_characters_of_a_reason_are_escaped(claim: Claim, connect: Open) -> None:
    load = replace(segment_load(1, order(0)), row_errors=[(1, "a\0b")])
    assert load_segment(connect(), load, claim) == [(1, "a\\0b")]
