"""One segment as a warehouse loads it: rows, row errors and counts, with or without the rows that it rejects."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from sluice.arrow.window_counts import WindowCount, count_events, events_in
from sluice.clock import MICROSECONDS
from sluice.contracts import Contract
from sluice.elements import Segment
from sluice.warehouses.row_errors import RowError
from sluice.warehouses.timestamps import from_micros


class LoadCost(NamedTuple):
    """What one load uses of the warehouse, in words: of one load, and behind a number of loads."""

    one: str
    many: str


@dataclass(frozen=True, slots=True)
class SegmentLoad:
    """One segment as rows of its table, with the lines that could not become rows and the counts of the rows."""

    contract: Contract
    """Of the segment's events, with the columns that the table has."""
    segment: Segment
    """Only its id, event type, path and minute are used."""
    rows: pa.Table
    """Its rows, see `sluice.arrow.from_json.to_table`; none of them, if the job loads the counts alone."""
    row_errors: Sequence[RowError]
    """The lines that could not become rows, in order; they are stored with the segment."""
    window_counts: Sequence[WindowCount]
    """Counts of the rows by window; none, if the job does not load them."""
    ingested_at: datetime
    """When the segment is loaded, which `_segments` notes; the `_ingested_at` of its rows is when it was appended."""
    lines: Sequence[int] | None = None
    """The lines of the segment, from 0 and in order, that it is about; None: all of them."""

    @property
    def minute(self) -> datetime:
        """The segment's minute, in UTC."""
        return from_micros(self.segment.minute * MICROSECONDS)

    @property
    def events(self) -> int:
        """How many events are loaded, be it as rows or in counts alone."""
        return events_in(self.rows.num_rows, self.window_counts)

    def without_rows(self, rejected: Sequence[RowError]) -> SegmentLoad:
        """Return the load without the rejected rows: they become row errors, and their events are not counted.

        Args:
            rejected: index in `rows` and reason of each row that the warehouse rejected, in order.

        """
        if not rejected:
            return self
        indexes = {index for index, _ in rejected}
        accepted = [index for index in range(self.rows.num_rows) if index not in indexes]
        return replace(
            self,
            rows=self.rows.take(pa.array(accepted, pa.int64())),
            row_errors=self._row_errors_with(rejected),
            window_counts=self._counts_without(rejected),
        )

    def of_lines(self, lines: Collection[int]) -> SegmentLoad:
        """Return the load of some lines of the segment: their rows, their row errors, and the counts of these rows."""
        indexes = [index for index, line in enumerate(self.row_lines) if line in lines]
        rows = self.rows.take(pa.array(indexes, pa.int64()))
        row_errors = [(line, reason) for line, reason in self.row_errors if line in lines]
        return replace(
            self,
            rows=rows,
            row_errors=row_errors,
            window_counts=self._counts_of(rows),
            lines=sorted([*(self.row_lines[index] for index in indexes), *(line for line, _ in row_errors)]),
        )

    @property
    def row_lines(self) -> list[int]:
        """The line of each row: a row's index leaves out the lines that are no rows."""
        not_rows = {line for line, _ in self.row_errors}
        lines = range(self.rows.num_rows + len(not_rows)) if self.lines is None else self.lines
        return [line for line in lines if line not in not_rows]

    def _row_errors_with(self, rejected: Sequence[RowError]) -> list[RowError]:
        lines = self.row_lines
        return sorted([*self.row_errors, *((lines[index], reason) for index, reason in rejected)])

    def _counts_of(self, rows: pa.Table) -> list[WindowCount]:
        """Return the counts of some of the rows; none, if the load has none."""
        if not self.window_counts:
            return []
        first = self.window_counts[0]
        window_seconds = (first.window_end - first.window_start) / MICROSECONDS
        return count_events(self.contract, rows, window_seconds, self.segment.minute)

    def _counts_without(self, rejected: Sequence[RowError]) -> list[WindowCount]:
        less = {
            (count.window_start, count.event_type): count.events
            for count in self._counts_of(self.rows.take(pa.array([index for index, _ in rejected])))
        }
        left = (
            replace(count, events=count.events - less.get((count.window_start, count.event_type), 0))
            for count in self.window_counts
        )
        return [count for count in left if count.events]
