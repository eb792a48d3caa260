"""Load many segments in one transaction: their rows at once, or nothing of them.

For warehouses with transactions, where a transaction costs much more than the rows of a segment, as a round trip of
Snowflake does. What is loaded at once is either the segments as a whole or, if some of them cannot be loaded with the
others, each half of them: a segment with a faulty row costs 2 log2 n transactions more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from sluice.warehouses.row_errors import RowError, RowsRejected
from sluice.warehouses.segment_load import LoadCost, SegmentLoad
from sluice.warehouses.system_tables import ROW_ERRORS, SEGMENTS, segment_rows
from sluice.warehouses.transactional import (
    AlreadyLoaded,
    Claim,
    Connection,
    InsertConflictClaim,
    RowLockClaim,
    TransactionEnded,
    load_segment,
    record,
    segment_row,
)

Result = TypeVar("Result")

IDS_A_QUERY = 500
"""Ids of segments in one statement; Snowflake takes 16,384 values in a list."""


class DaysClaim(Protocol):
    """Decides within a transaction whether this worker is the one that loads the segments: see `Claim`."""

    @property
    def claim(self) -> Claim:
        """That of one segment."""
        ...

    def before_rows(self, connection: Connection, loads: Sequence[SegmentLoad]) -> None:
        """Raise AlreadyLoaded if another worker has loaded some of the segments."""
        ...

    def after_rows(self, connection: Connection, loads: Sequence[SegmentLoad]) -> None:
        """Record the segments as they are loaded; raise AlreadyLoaded if another worker has loaded some."""
        ...


class InsertConflictDays:
    """For warehouses that enforce primary keys: the rows of the segments come first, always in the order of the loads.

    So of two transactions with the same segments one waits for the other at the first that both have.
    """

    claim = InsertConflictClaim()

    def before_rows(self, connection: Connection, loads: Sequence[SegmentLoad]) -> None:
        """Insert the rows of the segments, unless some are there."""
        for at in range(0, len(loads), IDS_A_QUERY):
            rows = [segment_row(load) for load in loads[at : at + IDS_A_QUERY]]
            one = f"({', '.join('?' * len(SEGMENTS.columns))})"
            sql = (
                f"INSERT INTO {SEGMENTS.name} ({', '.join(SEGMENTS.columns)}) VALUES {', '.join([one] * len(rows))}"
                " ON CONFLICT (segment_id) DO NOTHING RETURNING segment_id"
            )
            if len(connection.execute(sql, [value for row in rows for value in row])) < len(rows):
                raise AlreadyLoaded

    def after_rows(self, connection: Connection, loads: Sequence[SegmentLoad]) -> None:
        """Do nothing: the rows of the segments are there."""


class RowLockDays:
    """For warehouses that enforce no primary keys: the lock and the rows of the segments come last."""

    claim = RowLockClaim()

    def before_rows(self, connection: Connection, loads: Sequence[SegmentLoad]) -> None:
        """Do nothing: rows are copied without a lock."""

    def after_rows(self, connection: Connection, loads: Sequence[SegmentLoad]) -> None:
        """Take the lock and insert the rows of the segments, unless some are there."""
        self.claim.lock(connection, loads[0].segment.id)
        # The lock is held until the commit, so this sees each segment that was or will be committed before it.
        if _numbers_of_errors(connection, [load.segment.id for load in loads]):
            raise AlreadyLoaded
        connection.append(SEGMENTS, segment_rows(loads))


class LogsByDay:
    """What a warehouse with primary keys adds, so that `sluice load` loads a day in a transaction: see `Coalescing`."""

    __slots__ = ()

    def at_work(self, work: Callable[[Connection], Result]) -> Result:
        """Do `work` with an open connection."""
        raise NotImplementedError

    @property
    def load_cost(self) -> LoadCost:
        """One transaction, however many segments it loads."""
        return LoadCost("one transaction", "transactions")

    @property
    def coalesces(self) -> bool:
        """Return False: a run loads each segment at once, so that its rows are there while it lasts."""
        return False

    @property
    def coalesces_logs(self) -> bool:
        """Return True: a transaction costs as much as thousands of rows."""
        return True

    def row_errors_of_day(self, segment_ids: Sequence[str], day: date) -> Mapping[str, list[RowError]]:
        """Return the rejected lines of those of the segments, all of a UTC day, that are loaded."""
        del day
        return self.at_work(lambda connection: row_errors_of(connection, segment_ids))

    def load_day(self, loads: Sequence[SegmentLoad]) -> list[list[RowError]]:
        """Load segments of one contract in one transaction, or in a few if some hold rows that are rejected.

        Raises:
            WarehouseError: the warehouse fails; each segment is loaded as a whole, or not at all.

        """
        return self.at_work(lambda connection: load_segments(connection, loads, InsertConflictDays()))


def load_segments(
    connection: Connection, loads: Sequence[SegmentLoad], claim: DaysClaim
) -> list[list[RowError]]:
    """Load segments of one contract, in as few transactions as they allow; return the rejected lines of each.

    A segment that is loaded stays as it is.

    Raises:
        TableError: the table takes no rows at all.
        WarehouseError: it failed for another reason; each segment is loaded as a whole, or not at all.

    """
    known = row_errors_of(connection, [load.segment.id for load in loads])
    known |= _load_new(connection, [load for load in loads if load.segment.id not in known], claim)
    return [known[load.segment.id] for load in loads]


def row_errors_of(connection: Connection, segment_ids: Sequence[str]) -> dict[str, list[RowError]]:
    """Return the lines that were rejected when segments were loaded, of those that are loaded."""
    rejected = _numbers_of_errors(connection, segment_ids)
    known: dict[str, list[RowError]] = {segment_id: [] for segment_id in rejected}
    columns = f"segment_id, line, reason FROM {ROW_ERRORS.name}"
    with_errors = [segment_id for segment_id, number in rejected.items() if number]
    for segment_id, line, reason in _rows_of(connection, columns, with_errors):
        known[segment_id].append((int(line), reason))
    return {segment_id: sorted(errors) for segment_id, errors in known.items()}


def _numbers_of_errors(connection: Connection, segment_ids: Sequence[str]) -> dict[str, int]:
    """Return id -> number of rejected lines of the segments that are loaded."""
    return dict(_rows_of(connection, f"segment_id, refused FROM {SEGMENTS.name}", segment_ids))


def _rows_of(connection: Connection, columns: str, segment_ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for at in range(0, len(segment_ids), IDS_A_QUERY):
        part = segment_ids[at : at + IDS_A_QUERY]
        yield from connection.execute(
            f"SELECT {columns} WHERE segment_id IN ({', '.join('?' * len(part))})", part
        )


def _load_new(
    connection: Connection, loads: Sequence[SegmentLoad], claim: DaysClaim
) -> dict[str, list[RowError]]:
    """Load segments that were not loaded when somebody last looked; return segment id -> rejected lines."""
    if not loads:
        return {}
    if len(loads) == 1:
        return {loads[0].segment.id: load_segment(connection, loads[0], claim.claim)}
    try:
        return _load_at_once(connection, loads, claim)
    except AlreadyLoaded:
        known = row_errors_of(connection, [load.segment.id for load in loads])
        return known | _load_new(connection, [load for load in loads if load.segment.id not in known], claim)
    except (RowsRejected, TransactionEnded):
        middle = len(loads) // 2
        halves = (loads[:middle], loads[middle:])
        return {
            segment_id: row_errors
            for half in halves
            for segment_id, row_errors in _load_new(connection, half, claim).items()
        }


def _load_at_once(
    connection: Connection, loads: Sequence[SegmentLoad], claim: DaysClaim
) -> dict[str, list[RowError]]:
    """Load segments in one transaction.

    Raises:
        AlreadyLoaded: another worker has committed some of them.
        RowsRejected: a row cannot be loaded.

    """
    with connection.transaction():
        claim.before_rows(connection, loads)
        rows = pa.concat_tables([load.rows for load in loads])
        if rows.num_rows:
            connection.insert(loads[0].contract, rows.combine_chunks())
        row_errors = record(connection, loads)
        claim.after_rows(connection, loads)
    return {load.segment.id: errors for load, errors in zip(loads, row_errors, strict=True)}
