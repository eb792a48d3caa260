"""Load a segment in one transaction: rows, counts, row errors and its row of `_segments`, or nothing of it.

For warehouses with transactions. Which of any number of workers loads a segment is decided by a claim: by a primary
key where the warehouse enforces it, by the lock of a row where it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from sluice.arrow.schema import table_columns
from sluice.contracts import EVENT_ID_COLUMN, Contract
from sluice.elements import DEAD_LETTER
from sluice.errors import WarehouseError
from sluice.warehouses.dialect import Dialect
from sluice.warehouses.row_errors import RowError, RowsRejected, insert_with_bisection
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.system_tables import (
    LOAD_LOCK,
    ROW_ERRORS,
    SEGMENTS,
    WINDOW_COUNTS,
    SystemTable,
    row_error_rows,
    window_count_rows,
)

_SEGMENT_COLUMNS = ", ".join(SEGMENTS.columns)
_VALUES = ", ".join("?" * len(SEGMENTS.columns))
_IS_LOADED = f"SELECT refused FROM {SEGMENTS.name} WHERE segment_id = ?"
_ROW_ERRORS_OF = f"SELECT line, reason FROM {ROW_ERRORS.name} WHERE segment_id = ? ORDER BY line"
_INSERT_UNLESS_CONFLICT = f"""INSERT INTO {SEGMENTS.name} ({_SEGMENT_COLUMNS})
VALUES ({_VALUES}) ON CONFLICT (segment_id) DO NOTHING RETURNING segment_id"""
_CORRECT = f"UPDATE {SEGMENTS.name} SET events = ?, refused = ? WHERE segment_id = ?"
_INSERT_UNLESS_THERE = f"""INSERT INTO {SEGMENTS.name} ({_SEGMENT_COLUMNS})
SELECT {_VALUES}
WHERE NOT EXISTS (SELECT 1 FROM {SEGMENTS.name} WHERE segment_id = ?)"""
_LOCK_SEGMENT = f"UPDATE {SEGMENTS.name} SET refused = refused WHERE segment_id = ?"
_LOCK = f"UPDATE {LOAD_LOCK.name} SET loads = loads + 1"

CREATE_LOCK_ROW = (
    f"INSERT INTO {LOAD_LOCK.name} (loads) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM {LOAD_LOCK.name})"
)
"""Makes the one row of the lock that `RowLockClaim` takes."""


class Connection(Protocol):
    """An open connection to a warehouse; every method may raise WarehouseError."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with `?` for each value; return its rows."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Commit what the block does, or nothing of it if the block raises."""
        ...

    def insert(self, contract: Contract, rows: pa.Table) -> None:
        """Insert rows into the contract's table; raises RowsRejected for what they hold."""
        ...

    def copy_row(self, contract: Contract) -> bool:
        """Insert a copy of any row of the contract's table; False if it has none, RowsRejected if it takes none."""
        ...

    def append(self, table: SystemTable, rows: pa.Table) -> None:
        """Insert rows into one of Sluice's own tables."""
        ...


class Claim(Protocol):
    """Decides within a transaction whether this worker is the one that loads the segment."""

    def before_rows(self, connection: Connection, load: SegmentLoad) -> None:
        """Raise AlreadyLoaded if another worker has loaded the segment."""
        ...

    def insert_rows(self, connection: Connection, load: SegmentLoad) -> SegmentLoad:
        """Insert the rows; return the load without those that the warehouse rejects.

        Raises:
            RowsRejected: for what the rows hold, and the transaction cannot go on.

        """
        ...

    def after_rows(self, connection: Connection, load: SegmentLoad, loaded: SegmentLoad) -> None:
        """Record the segment as it is loaded; raise AlreadyLoaded if another worker has.

        `loaded` is `load` itself if the warehouse rejected none of its rows.
        """
        ...

    def lock(self, connection: Connection, segment_id: str) -> None:
        """Wait for others that change what is loaded of this segment, and let them wait until the transaction ends."""
        ...


class AlreadyLoaded(Exception):
    """Another worker has committed the segment: this transaction is rolled back."""


class TransactionEnded(Exception):
    """What rejected the rows has rolled the whole transaction back, savepoints included."""


class _RollBack(Exception):
    """Ends a transaction that was only a trial."""


class InsertConflictClaim:
    """For warehouses that enforce primary keys and have savepoints.

    The segment's row comes first. Its insertion waits for another transaction that has inserted the same id.
    """

    def before_rows(self, connection: Connection, load: SegmentLoad) -> None:
        """Insert the segment's row, unless it is there."""
        if not connection.execute(_INSERT_UNLESS_CONFLICT, segment_row(load)):
            raise AlreadyLoaded

    def insert_rows(self, connection: Connection, load: SegmentLoad) -> SegmentLoad:
        """Insert the rows in savepoints."""
        rejected = insert_with_bisection(
            load.rows,
            partial(_insert_or_undo, connection, load.contract),
            load.contract.table,
            lambda: _stored_row_fault(connection, load.contract, partial(_undone, connection)),
        )
        return load.without_rows(rejected)

    def after_rows(self, connection: Connection, load: SegmentLoad, loaded: SegmentLoad) -> None:
        """Correct the segment's row, which is there, if some rows were rejected."""
        if loaded is not load:
            connection.execute(_CORRECT, [loaded.events, len(loaded.row_errors), load.segment.id])

    def lock(self, connection: Connection, segment_id: str) -> None:
        """Lock the segment's row: by an update, since SQLite has no other way."""
        connection.execute(_LOCK_SEGMENT, [segment_id])


class RowLockClaim:
    """For warehouses that enforce no primary keys and have no savepoints.

    The segment's row comes last, after an update of the one row of `_load_lock`: it waits for the transaction that
    has updated it and not ended, so the insertion sees every segment that was committed before.
    """

    def before_rows(self, connection: Connection, load: SegmentLoad) -> None:
        """Do nothing: rows are copied without a lock."""

    def insert_rows(self, connection: Connection, load: SegmentLoad) -> SegmentLoad:
        """Insert all rows; raises RowsRejected if one of them is rejected."""
        if load.rows.num_rows:
            connection.insert(load.contract, load.rows)
        return load

    def after_rows(self, connection: Connection, load: SegmentLoad, loaded: SegmentLoad) -> None:
        """Take the lock and insert the segment's row, unless it is there."""
        del load
        self.lock(connection, loaded.segment.id)
        ((inserted,),) = connection.execute(_INSERT_UNLESS_THERE, [*segment_row(loaded), loaded.segment.id])
        if not inserted:
            raise AlreadyLoaded

    def lock(self, connection: Connection, segment_id: str) -> None:
        """Lock the one row of `_load_lock`."""
        del segment_id
        connection.execute(_LOCK)


def load_segment(connection: Connection, load: SegmentLoad, claim: Claim) -> list[RowError]:
    """Load one segment in one transaction; return all rejected lines. One that is loaded stays as it is.

    Raises:
        WarehouseError: nothing of the segment is loaded, or all of it if the connection broke at the commit.

    """
    try:
        try:
            return _load(connection, load, claim)
        except (RowsRejected, TransactionEnded):
            return _load(connection, load.without_rows(rejected_rows(connection, load)), claim)
    except AlreadyLoaded:
        return read_row_errors(connection, load.segment.id) or []


def rejected_rows(connection: Connection, load: SegmentLoad) -> list[RowError]:
    """Return the rows that the warehouse rejects, by their index, and leave nothing of the others.

    Raises:
        TableError: the table takes no rows at all.
        WarehouseError: it failed for another reason.

    """
    return insert_with_bisection(
        load.rows,
        partial(_try_rows, connection, load.contract),
        load.contract.table,
        lambda: _stored_row_fault(connection, load.contract, partial(_tried, connection)),
    )


def _load(connection: Connection, load: SegmentLoad, claim: Claim) -> list[RowError]:
    with connection.transaction():
        claim.before_rows(connection, load)
        loaded = claim.insert_rows(connection, load)
        (row_errors,) = record(connection, [loaded])
        claim.after_rows(connection, load, loaded)
    return row_errors


def record(connection: Connection, loads: Sequence[SegmentLoad]) -> list[list[RowError]]:
    """Store row errors and counts of segments within the transaction; return the row errors as they are stored."""
    row_errors = [[(line, reason.replace("\0", "\\0")) for line, reason in load.row_errors] for load in loads]
    pairs = zip(loads, row_errors, strict=True)
    errors = [row_error_rows(load.segment, rejected) for load, rejected in pairs if rejected]
    counts = [
        window_count_rows(load.segment, load.window_counts)
        for load in loads
        if load.window_counts and load.segment.event_type != DEAD_LETTER
    ]
    for table, rows in ((ROW_ERRORS, errors), (WINDOW_COUNTS, counts)):
        if rows:
            connection.append(table, pa.concat_tables(rows))
    return row_errors


def read_row_errors(connection: Connection, segment_id: str) -> list[RowError] | None:
    """Return the lines that were rejected when the segment was loaded; None if it is not loaded."""
    known = connection.execute(_IS_LOADED, [segment_id])
    if not known:
        return None
    rows = connection.execute(_ROW_ERRORS_OF, [segment_id]) if known[0][0] else []
    return [(int(line), reason) for line, reason in rows]


def create_and_change(connection: Connection, create: str, changes: Sequence[str]) -> None:
    """Run a statement that creates a table, which may commit by itself, and all others in one transaction."""
    connection.execute(create)
    with connection.transaction():
        for statement in changes:
            connection.execute(statement)


@contextmanager
def transaction(connection: Connection, begin: str) -> Iterator[None]:
    """Run a block between the statement `begin` and COMMIT; if it raises, roll back."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(WarehouseError):  # the connection may be what failed
            connection.execute("ROLLBACK")
        raise


def _insert_or_undo(connection: Connection, contract: Contract, rows: pa.Table) -> None:
    """Insert rows, or nothing of them; raises TransactionEnded if the transaction cannot go on."""
    connection.execute("SAVEPOINT before_rows")
    try:
        connection.insert(contract, rows)
    except RowsRejected as error:
        try:
            connection.execute("ROLLBACK TO SAVEPOINT before_rows")
        except WarehouseError:  # a trigger may do that: RAISE(ROLLBACK) of SQLite
            raise TransactionEnded from error
        raise
    connection.execute("RELEASE SAVEPOINT before_rows")


def _try_rows(connection: Connection, contract: Contract, rows: pa.Table) -> None:
    """Raise RowsRejected if the warehouse does not take these rows; leave nothing of them."""
    with _tried(connection):
        connection.insert(contract, rows)


@contextmanager
def _tried(connection: Connection) -> Iterator[None]:
    """Run a block in a transaction of its own that is rolled back."""
    with suppress(_RollBack), connection.transaction():
        yield
        raise _RollBack


@contextmanager
def _undone(connection: Connection) -> Iterator[None]:
    """Run a block within the transaction, and undo what it does."""
    connection.execute("SAVEPOINT before_copy")
    try:
        yield
    finally:
        connection.execute("ROLLBACK TO SAVEPOINT before_copy")


def _stored_row_fault(
    connection: Connection, contract: Contract, undone: Callable[[], AbstractContextManager[None]]
) -> str | None:
    """Return the kind of fault with which the table rejects a copy of a row that it has; '' none, None no row."""
    try:
        with undone():
            return "" if connection.copy_row(contract) else None
    except RowsRejected as error:
        return error.kind


def copy_row_sql(dialect: Dialect, contract: Contract) -> str:
    """Return the INSERT of a copy of any row of a contract's table, with another deduplication key."""
    names = [dialect.quote_name(column.name) for column in table_columns(contract)]
    key = dialect.quote_name(EVENT_ID_COLUMN)
    copied = ["'sluice: a copy'" if name == key else name for name in names]
    table = dialect.quote_name(contract.table)
    return f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(copied)} FROM {table} LIMIT 1"


def segment_row(load: SegmentLoad) -> list[Any]:
    """Return the values of the segment's row in the order of the columns of `SEGMENTS`."""
    segment = load.segment
    numbers = (load.events, len(load.row_errors))
    return [segment.id, segment.event_type, segment.path, load.minute, *numbers, load.ingested_at]
