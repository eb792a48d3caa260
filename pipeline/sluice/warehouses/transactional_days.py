"""Load many segments in one transaction: their rows at once, or nothing of them.

For warehouses with transactions, where a transaction costs much more than the rows of a segment, as a round trip of
Snowflake does. What is loaded at once is either the segments as a whole or, if some of them cannot be loaded with the
others, each half of them: a segment with a faulty row costs 2 log2 n transactions more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from sluice.warehouses.row_errors import RowError, RowsRejected
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.system_tables import LOAD_LOCK, ROW_ERRORS, SEGMENTS, segment_rows
from sluice.warehouses.transactional import (
    AlreadyLoaded,
    Connection,
    RowLockClaim,
    TransactionEnded,
    load_segment,
    record,
)

IDS_A_QUERY = 500
"""Ids of segments in one statement; Snowflake takes 16,384 values in a list."""


def load_segments(connection: Connection, loads: Sequence[SegmentLoad]) -> list[list[RowError]]:
    """Load segments of one contract, in as few transactions as they allow; return the rejected lines of each.

    For warehouses whose claim is `RowLockClaim`. A segment that is loaded stays as it is.

    Raises:
        TableError: the table takes no rows at all.
        WarehouseError: it failed for another reason; each segment is loaded as a whole, or not at all.

    """
    known = row_errors_of(connection, [load.segment.id for load in loads])
    known |= _load_new(connection, [load for load in loads if load.segment.id not in known])
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


def _load_new(connection: Connection, loads: Sequence[SegmentLoad]) -> dict[str, list[RowError]]:
    """Load segments that were not loaded when somebody last looked; return segment id -> rejected lines."""
    if not loads:
        return {}
    if len(loads) == 1:
        return {loads[0].segment.id: load_segment(connection, loads[0], RowLockClaim())}
    try:
        return _load_at_once(connection, loads)
    except AlreadyLoaded:
        known = row_errors_of(connection, [load.segment.id for load in loads])
        return known | _load_new(connection, [load for load in loads if load.segment.id not in known])
    except (RowsRejected, TransactionEnded):
        middle = len(loads) // 2
        return {**_load_new(connection, loads[:middle]), **_load_new(connection, loads[middle:])}


def _load_at_once(connection: Connection, loads: Sequence[SegmentLoad]) -> dict[str, list[RowError]]:
    """Load segments in one transaction.

    Raises:
        AlreadyLoaded: another worker has committed some of them.
        RowsRejected: a row cannot be loaded.

    """
    with connection.transaction():
        rows = pa.concat_tables([load.rows for load in loads])
        if rows.num_rows:
            connection.insert(loads[0].contract, rows.combine_chunks())
        row_errors = record(connection, loads)
        connection.execute(f"UPDATE {LOAD_LOCK.name} SET loads = loads + 1")
        # The lock is held until the commit, so this sees each segment that was or will be committed before it.
        if _numbers_of_errors(connection, [load.segment.id for load in loads]):
            raise AlreadyLoaded
        connection.append(SEGMENTS, segment_rows(loads))
    return {load.segment.id: errors for load, errors in zip(loads, row_errors, strict=True)}
