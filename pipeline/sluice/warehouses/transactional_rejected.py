"""Load rows that a warehouse rejected before, in one transaction with what is recorded of their segment.

For warehouses with transactions. What is still rejected of a segment is read under the lock of its claim, so of several
workers that try the same rows each finds what the ones before it have left: a row is loaded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sluice.elements import DEAD_LETTER
from sluice.errors import TableError
from sluice.warehouses.row_errors import RowError, RowsRejected
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.system_tables import ROW_ERRORS, SEGMENTS, WINDOW_COUNTS
from sluice.warehouses.timestamps import from_micros
from sluice.warehouses.transactional import (
    Claim,
    Connection,
    TransactionEnded,
    read_row_errors,
    record,
    rejected_rows,
)

_ADD_ROWS = (
    f"UPDATE {SEGMENTS.name} SET events = events + ?, refused = ?, ingested_at = ? WHERE segment_id = ?"
)
_FORGET_ROW_ERRORS = f"DELETE FROM {ROW_ERRORS.name} WHERE segment_id = ?"
_ADD_EVENTS = f"""UPDATE {WINDOW_COUNTS.name} SET events = events + ?
WHERE segment_id = ? AND event_type = ? AND window_start = ?"""
_INSERT_WINDOW = f"""INSERT INTO {WINDOW_COUNTS.name} ({", ".join(WINDOW_COUNTS.columns)})
SELECT {", ".join("?" * len(WINDOW_COUNTS.columns))}
WHERE NOT EXISTS (
  SELECT 1 FROM {WINDOW_COUNTS.name} WHERE segment_id = ? AND event_type = ? AND window_start = ?
)"""


def load_rejected(connection: Connection, load: SegmentLoad, claim: Claim) -> list[RowError]:
    """Load what was rejected of a segment that is loaded; `load` is all of it. Return the lines still rejected.

    Raises:
        WarehouseError: nothing is loaded or recorded, or all of it if the connection broke at the commit.

    """
    known = read_row_errors(connection, load.segment.id) or []
    if not known:
        return []
    try:
        return _load(connection, load, claim, ())
    except TableError:  # they were judged before: rows that all fail again are no news of the table
        return known
    except (RowsRejected, TransactionEnded):
        tried = load.of_lines({line for line, _ in known})
        try:
            rejected = tried.without_rows(rejected_rows(connection, tried)).row_errors
        except TableError:
            return known
    return _load(connection, load, claim, rejected)


def _load(
    connection: Connection, load: SegmentLoad, claim: Claim, rejected: Sequence[RowError]
) -> list[RowError]:
    """Load all lines that are recorded as rejected, but those of `rejected`; return the lines still rejected."""
    with connection.transaction():
        claim.lock(connection, load.segment.id)
        lines = {line for line, _ in read_row_errors(connection, load.segment.id) or ()}
        left = [error for error in rejected if error[0] in lines]
        offered = load.of_lines(lines - {line for line, _ in left})
        loaded = claim.insert_rows(connection, offered)
        still = sorted([*left, *loaded.row_errors])
        return _record(connection, loaded, still)


def _record(connection: Connection, loaded: SegmentLoad, still: Sequence[RowError]) -> list[RowError]:
    """Record within the transaction that the rows of `loaded` are there now, and which lines are still rejected.

    The segment counts as loaded now: whoever asks what was loaded since then, as incremental models do, finds the rows.
    """
    segment_id, event_type = loaded.segment.id, loaded.segment.event_type
    connection.execute(_FORGET_ROW_ERRORS, [segment_id])
    (row_errors,) = record(connection, [replace(loaded, row_errors=still, window_counts=[])])
    for count in loaded.window_counts if event_type != DEAD_LETTER else ():
        start, end = from_micros(count.window_start), from_micros(count.window_end)
        key = [segment_id, count.event_type or event_type, start]
        connection.execute(_INSERT_WINDOW, [*key, end, 0, *key])
        connection.execute(_ADD_EVENTS, [count.events, *key])
    if loaded.rows.num_rows:
        connection.execute(_ADD_ROWS, [loaded.rows.num_rows, len(still), loaded.ingested_at, segment_id])
    return row_errors
