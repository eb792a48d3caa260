"""Rows that were rejected before, on a real database with both claims: what is committed, and what a failure leaves."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest
from sluice.errors import WarehouseError
from sluice.warehouses import SegmentLoad
from sluice.warehouses.transactional import Claim, load_segment, read_row_errors
from sluice.warehouses.transactional_rejected import load_rejected

from tests.warehouses.failing_sqlite import FailingConnection, stored
from tests.warehouses.order_segments import order, segment_load
from tests.warehouses.test_transactional import Open, claim, connect

__all__ = ["claim", "connect"]

REASON = "text is too long"


def reject(connection: FailingConnection, length: int) -> None:
    """Have the table reject rows whose text is longer than this."""
    connection.execute("DROP TRIGGER IF EXISTS short")
    connection.execute(
        f"CREATE TRIGGER short BEFORE INSERT ON order_events WHEN length(new.text) > {length}"
        f" BEGIN SELECT raise(ABORT, '{REASON}'); END"
    )


@pytest.fixture
def load(claim: Claim, connect: Open) -> SegmentLoad:
    """Return a segment of seven lines, of which three are loaded: one is no row, and three are rejected."""
    connection = connect()
    made = segment_load(1, *(order(second * 5, text="x" * second) for second in range(6)), b'{"at":7}')
    reject(connection, 2)
    assert [line for line, _ in load_segment(connection, made, claim)] == [3, 4, 5, 6]
    assert stored(connection) == (3, 3, [(3, 4)])
    return made


@pytest.mark.parametrize("length", [2, 3, 4, 5])
def test_each_row_that_is_taken_now_is_loaded_once(
    claim: Claim, connect: Open, load: SegmentLoad, length: int
) -> None:
    connection = connect()
    reject(connection, length)
    for _ in range(2):
        still = load_rejected(connection, load, claim)
        assert still == [*((line, REASON) for line in range(length + 1, 6)), load.row_errors[0]]
        assert read_row_errors(connection, load.segment.id) == still
        assert stored(connection) == (length + 1, length + 1, [(length + 1, 6 - length)])
    counted = "SELECT events FROM _event_counts ORDER BY window_start"
    assert connection.execute(counted) == [(2,), (2,), (2,)][: length // 2] + [(1 + length % 2,)]


def test_rows_that_another_worker_has_loaded_meanwhile_are_not_loaded_again(
    claim: Claim, connect: Open, load: SegmentLoad
) -> None:
    class Observed(FailingConnection):
        """Lets the other worker act after the first look at what is rejected."""

        looked = False

        def transaction(self) -> AbstractContextManager[None]:
            if not self.looked:
                self.looked = True
                assert load_rejected(other, load, claim) == [load.row_errors[0]]
            return super().transaction()

    other = connect()
    other.execute("DROP TRIGGER short")
    opened = connect()
    connection = Observed(opened._file, opened._opened)
    assert load_rejected(connection, load, claim) == [load.row_errors[0]]
    assert (connection.looked, stored(connection)) == (True, (6, 6, [(6, 1)]))


@pytest.mark.parametrize(
    "statement",
    [
        "BEGIN",
        "UPDATE _",
        "DELETE FROM _refusals",
        "INSERT INTO _event_counts",
        "UPDATE _event_counts",
        "COMMIT",
    ],
)
def test_failure_leaves_the_segment_as_it_was(
    claim: Claim, connect: Open, load: SegmentLoad, statement: str
) -> None:
    connection = connect()
    connection.execute("DROP TRIGGER short")
    known = read_row_errors(connection, load.segment.id)
    connection.fails_at = statement
    with pytest.raises(WarehouseError, match="failed at"):
        load_rejected(connection, load, claim)
    assert (stored(connect()), read_row_errors(connect(), load.segment.id)) == ((3, 3, [(3, 4)]), known)
    connection.fails_at = None
    assert load_rejected(connection, load, claim) == [load.row_errors[0]]
    assert stored(connect()) == (6, 6, [(6, 1)])


def test_table_that_takes_none_of_them_leaves_their_reasons(
    claim: Claim, connect: Open, load: SegmentLoad
) -> None:
    """That they all fail alike was no sign of a broken table when they were loaded with others."""
    connection = connect()
    known = read_row_errors(connection, load.segment.id)
    connection.execute("DELETE FROM order_events")
    assert load_rejected(connection, load, claim) == known
    assert stored(connection) == (0, 3, [(3, 4)])


def test_segment_that_is_not_loaded_stays_so(claim: Claim, connect: Open) -> None:
    connection = connect()
    assert load_rejected(connection, segment_load(2, order(0)), claim) == []
    assert stored(connection) == (0, 0, [])
