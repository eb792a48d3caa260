"""Both claims on a real database: what a load commits, and what is left of one that fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sluice.errors import WarehouseError
from sluice.warehouses.sqlite import DIALECT, Connection
from sluice.warehouses.system_tables import LOAD_LOCK
from sluice.warehouses.transactional import (
    CREATE_LOCK_ROW,
    Claim,
    InsertConflictClaim,
    RowLockClaim,
    load_segment,
    read_row_errors,
)

from tests.warehouses.backends import BACKENDS
from tests.warehouses.order_segments import DEAD_LETTER, order, prepared, segment_load


class FailingConnection(Connection):
    """SQLite that can fail at a statement, and answers an INSERT as `RowLockClaim` expects: with its number of rows."""

    fails_at: str | None = None

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self.fails_at is not None and self.fails_at in sql:
            message = f"failed at {self.fails_at}"
            raise WarehouseError(message)
        rows = super().execute(sql, values)
        if sql.startswith("INSERT") and "NOT EXISTS" in sql:
            return super().execute("SELECT changes()")
        return rows


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
        first.execute(DIALECT.create_system_table_sql(LOAD_LOCK))
        first.execute(CREATE_LOCK_ROW)
        if isinstance(claim, RowLockClaim):
            _drop_keys(first)
        yield open_connection
        for connection in opened:
            connection.close()


def _drop_keys(connection: FailingConnection) -> None:
    """Make the tables again without primary keys, since `RowLockClaim` is for warehouses that enforce none."""
    connection.execute("DROP VIEW event_counts")
    for table in ("order_events", "_segments", "_refusals", "_event_counts"):
        connection.execute(f"CREATE TABLE without_key AS SELECT * FROM {table}")
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"ALTER TABLE without_key RENAME TO {table}")


def stored(connection: FailingConnection) -> tuple[int, int, list[tuple[int, int]]]:
    """Return the number of rows, the sum of the counts, and events and row errors of each segment."""
    ((rows,),) = connection.execute("SELECT count(*) FROM order_events")
    ((counted,),) = connection.execute("SELECT coalesce(sum(events), 0) FROM _event_counts")
    segments = connection.execute("SELECT events, refused FROM _segments")
    return rows, counted, segments


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
