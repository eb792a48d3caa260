"""Load a segment in one transaction: rows, counts, refused lines and the segment itself, or nothing of it.

For warehouses with transactions and keys. Beside the tables of the contracts they hold `_segments`, whose primary
key lets of any number of workers one load a segment, `_refusals`, `_event_counts` and the view `event_counts`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pyarrow as pa

from sluice.arrow.schema import TIMESTAMP
from sluice.arrow.window_counts import WindowCount
from sluice.contracts import Contract
from sluice.elements import Segment
from sluice.warehouses.row_errors import RowError, RowsRejected, insert_with_bisection
from sluice.warehouses.segment_load import SegmentLoad

SEGMENTS = "_segments"
REFUSALS = "_refusals"
COUNT_PARTS = "_event_counts"
COUNTS = "event_counts"

_REFUSALS_SCHEMA = pa.schema({"segment_id": pa.string(), "line": pa.int64(), "reason": pa.string()})
_PARTS_SCHEMA = pa.schema(
    {
        "segment_id": pa.string(),
        "event_type": pa.string(),
        "window_start": TIMESTAMP,
        "window_end": TIMESTAMP,
        "events": pa.int64(),
    }
)

_CLAIM = f"""INSERT INTO {SEGMENTS} (segment_id, event_type, path, minute, events, refused, ingested_at)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (segment_id) DO NOTHING RETURNING segment_id"""
_RECOUNT = f"UPDATE {SEGMENTS} SET events = ?, refused = ? WHERE segment_id = ?"
_KNOWN = f"SELECT refused FROM {SEGMENTS} WHERE segment_id = ?"
_REFUSED = f"SELECT line, reason FROM {REFUSALS} WHERE segment_id = ? ORDER BY line"


class Connection(Protocol):
    """An open connection to a warehouse; every method may raise WarehouseError."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with `?` for each value; return its rows."""
        ...

    def insert(self, contract: Contract, rows: pa.Table) -> None:
        """Insert rows into the contract's table; raises RefusedRows for what they hold."""
        ...

    def append(self, table: str, rows: pa.Table) -> None:
        """Insert rows into one of Sluice's own tables."""
        ...


def read_row_errors(connection: Connection, segment_id: str) -> list[RowError] | None:
    """Return the lines refused when the segment was loaded; None if it is not loaded."""
    known = connection.execute(_KNOWN, [segment_id])
    if not known:
        return None
    rows = connection.execute(_REFUSED, [segment_id]) if known[0][0] else []
    return [(line, reason) for line, reason in rows]


def load_segment(connection: Connection, load: SegmentLoad) -> list[RowError]:
    """Load one segment within a transaction that the caller has begun and ends; return all rejected lines.

    One that is loaded stays as it is. One that another worker is just loading is waited for: the insertion of its
    id blocks until that transaction has ended.
    """
    segment = load.segment
    mark = [segment.id, segment.event_type, segment.path, load.minute, load.events, len(load.row_errors)]
    if not connection.execute(_CLAIM, [*mark, load.ingested_at]):
        return read_row_errors(connection, segment.id) or []
    rejected = insert_with_bisection(load.rows, _within_savepoints(connection, load.contract))
    loaded = load.without_rows([(row, reason.replace("\0", "\\0")) for row, reason in rejected])
    if rejected:
        connection.execute(_RECOUNT, [loaded.events, len(loaded.row_errors), segment.id])
    if loaded.row_errors:
        rows = [
            {"segment_id": segment.id, "line": line, "reason": reason} for line, reason in loaded.row_errors
        ]
        connection.append(REFUSALS, pa.Table.from_pylist(rows, _REFUSALS_SCHEMA))
    if loaded.window_counts:
        connection.append(COUNT_PARTS, _parts(segment, loaded.window_counts))
    return list(loaded.row_errors)


def _within_savepoints(connection: Connection, contract: Contract) -> Callable[[pa.Table], None]:
    def insert(rows: pa.Table) -> None:
        connection.execute("SAVEPOINT before_rows")
        try:
            connection.insert(contract, rows)
        except RowsRejected:
            connection.execute("ROLLBACK TO SAVEPOINT before_rows")
            raise
        connection.execute("RELEASE SAVEPOINT before_rows")

    return insert


def _parts(segment: Segment, windows: Sequence[WindowCount]) -> pa.Table:
    columns = [
        [segment.id] * len(windows),
        [each.event_type or segment.event_type for each in windows],
        [each.window_start for each in windows],
        [each.window_end for each in windows],
        [each.events for each in windows],
    ]
    arrays = [pa.array(values, each.type) for values, each in zip(columns, _PARTS_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_PARTS_SCHEMA)
