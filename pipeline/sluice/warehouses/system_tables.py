"""The tables that Sluice keeps beside those of the contracts, described once for every warehouse.

`_segments` says which segments are loaded, `_refusals` which of their lines are not rows, and `_event_counts` what
each segment adds to the counts, which the view `event_counts` sums. Each warehouse renders them in its own dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from sluice.arrow.schema import arrow_field
from sluice.arrow.window_counts import WindowCount
from sluice.clock import MICROSECONDS
from sluice.contracts import Contract, Property, ValueType
from sluice.contracts.reserved import COUNTS_VIEW, STATUS_VIEW
from sluice.elements import DEAD_LETTER, Segment
from sluice.warehouses.row_errors import RowError
from sluice.warehouses.segment_load import SegmentLoad


@dataclass(frozen=True)
class SystemTable:
    """One of Sluice's own tables: a contract whose properties are all of its columns, and its primary key."""

    contract: Contract
    primary_key: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the table."""
        return self.contract.table

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(prop.name for prop in self.contract.properties)

    @cached_property
    def schema(self) -> pa.Schema:
        """Its Arrow schema."""
        return pa.schema([arrow_field(prop, where=self.name) for prop in self.contract.properties])


def _column(name: str, value_type: ValueType, description: str) -> Property:
    return Property(name, value_type, required=True, description=description)


def _contract(
    table: str, contract_id: str, description: str, columns: tuple[Property, ...], event_time: str | None
) -> Contract:
    return Contract(
        event_type=table,
        table=table,
        id=contract_id,
        version="1.0.0",
        domain="",
        description=description,
        properties=columns,
        event_time=event_time,
    )


COUNTS_VIEW_DESCRIPTION = "Events by type and window, exact however often events come late or again."

SEGMENTS = SystemTable(
    _contract(
        "_segments",
        "sluice_segments",
        "Segments of the log that are loaded, each once.",
        (
            _column("segment_id", "string", "Hash of event type, minute and content."),
            _column("event_type", "string", "Type of the segment's events."),
            _column("path", "string", "File of the log."),
            _column("minute", "timestamp", "Minute of the segment's events."),
            _column("events", "integer", "Rows that were loaded."),
            _column("refused", "integer", "Lines that could not become rows."),
            _column("ingested_at", "timestamp", "When the segment was loaded."),
        ),
        "minute",
    ),
    ("segment_id",),
)

ROW_ERRORS = SystemTable(
    _contract(
        "_refusals",
        "sluice_refusals",
        "Lines of loaded segments that could not become rows.",
        (
            _column("segment_id", "string", "Segment that holds the line."),
            _column("line", "integer", "Index in the segment, from 0."),
            _column("reason", "string", "Why it is not a row."),
        ),
        None,
    ),
    ("segment_id", "line"),
)

WINDOW_COUNTS = SystemTable(
    _contract(
        "_event_counts",
        "sluice_event_counts",
        f"What each segment adds to the counts; {COUNTS_VIEW} sums them.",
        (
            _column("segment_id", "string", "Segment that holds the events."),
            _column("event_type", "string", "Type of the events."),
            _column("window_start", "timestamp", "Start of the window, inclusive."),
            _column("window_end", "timestamp", "End of the window, exclusive."),
            _column("events", "integer", "Events of the segment in the window."),
        ),
        "window_start",
    ),
    ("segment_id", "window_start", "event_type"),
)

LOAD_LOCK = SystemTable(
    _contract(
        "_load_lock",
        "sluice_load_lock",
        "Its row is updated by who is about to commit a segment, so that the next waits.",
        (_column("loads", "integer", "How many loads have taken the lock."),),
        None,
    )
)
"""Only of warehouses that enforce no keys; see `sluice.warehouses.transactional.RowLockClaim`."""

TABLES = (SEGMENTS, ROW_ERRORS, WINDOW_COUNTS)

RESERVED_NAMES = (*(table.name for table in TABLES), LOAD_LOCK.name, COUNTS_VIEW, STATUS_VIEW)
"""What no table of a contract can be called."""

COUNT_KEY = ("event_type", "window_start", "window_end")
"""Columns of the view of the counts that its sums are grouped by."""


def unquoted(name: str) -> str:
    """Return the name of a table or column of Sluice's own as it is: no dialect needs quotes for it."""
    return name


def counts_query(total: str, *, quote: Callable[[str], str] = unquoted, dead_letters: bool = True) -> str:
    """Return the query of the view `event_counts`.

    Args:
        total: the sum of the counts, such as `sum(events)`.
        quote: how names are written.
        dead_letters: whether the table may have counts of dead letters, which the view leaves out.

    """
    columns = ", ".join(map(quote, COUNT_KEY))
    condition = f"WHERE event_type <> '{DEAD_LETTER}'\n" if dead_letters else ""
    return (
        f"SELECT {columns}, {total} AS {quote('events')}\n"
        f"FROM {quote(WINDOW_COUNTS.name)}\n{condition}GROUP BY {columns}"
    )


def segment_rows(loads: Sequence[SegmentLoad]) -> pa.Table:
    """Return loaded segments as rows of `SEGMENTS`."""
    segments = [load.segment for load in loads]
    return _rows(
        SEGMENTS,
        [segment.id for segment in segments],
        [segment.event_type for segment in segments],
        [segment.path for segment in segments],
        [segment.minute * MICROSECONDS for segment in segments],
        [load.events for load in loads],
        [len(load.row_errors) for load in loads],
        [load.ingested_at for load in loads],
    )


def row_error_rows(segment: Segment, row_errors: Sequence[RowError]) -> pa.Table:
    """Return row errors as rows of `ROW_ERRORS`."""
    lines = [line for line, _ in row_errors]
    reasons = [reason for _, reason in row_errors]
    return _rows(ROW_ERRORS, [segment.id] * len(row_errors), lines, reasons)


def window_count_rows(segment: Segment, counts: Sequence[WindowCount]) -> pa.Table:
    """Return window counts as rows of `WINDOW_COUNTS`."""
    return _rows(
        WINDOW_COUNTS,
        [segment.id] * len(counts),
        [count.event_type or segment.event_type for count in counts],
        [count.window_start for count in counts],
        [count.window_end for count in counts],
        [count.events for count in counts],
    )


def _rows(table: SystemTable, *columns: Sequence[object]) -> pa.Table:
    arrays = [pa.array(values, field.type) for values, field in zip(columns, table.schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=table.schema)
