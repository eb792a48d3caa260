"""Rows that a warehouse refuses for what they hold: found by halving, so that the others are loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from sluice.arrow.window_counts import MICROSECONDS, WindowCount, count_events
from sluice.contracts import Contract

RowError = tuple[int, str]
"""Index of a line in its segment, and why it is not a row."""


class RowsRejected(ValueError):
    """A warehouse took none of the rows because of what at least one of them holds; the message is its own.

    `rows` are those that it names, if it names any: the index of each, and what is wrong with it.
    """

    def __init__(self, message: str, rows: Mapping[int, str] | None = None) -> None:
        """Take what the warehouse said."""
        super().__init__(message)
        self.rows = rows or {}


def insert_halving(rows: pa.Table, insert: Callable[[pa.Table], None]) -> list[RowError]:
    """Insert all rows but those that are refused by name, or even when they stand alone.

    Args:
        rows: any number of them.
        insert: takes some of the rows, in order: all of them, or none with RefusedRows. A row that only clashes
            with another one is refused if `insert` sees those that were taken before.

    Returns:
        The refused rows by their index in `rows`, in order, each with what the warehouse said.

    """
    row_errors: list[RowError] = []
    waiting: list[Sequence[int]] = [range(rows.num_rows)] if rows.num_rows else []
    while waiting:
        part = waiting.pop()
        try:
            # Taken, not sliced: a slice would drag all nested values of the table along.
            insert(rows if len(part) == rows.num_rows else rows.take(pa.array(part)))
        except RowsRejected as error:
            bad = {0: str(error)} if len(part) == 1 and not error.rows else error.rows
            row_errors += ((part[index], reason) for index, reason in bad.items())
            if bad:
                left = [row for index, row in enumerate(part) if index not in bad]
                waiting += [left] if left else []
            else:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
    return sorted(row_errors)


def in_segment(found: Sequence[RowError], rows: int, before: Sequence[RowError]) -> list[RowError]:
    """Return all refused lines of a segment, in order.

    Args:
        found: refused rows by their index among `rows` rows.
        rows: how many lines became rows.
        before: the lines that did not.

    """
    gone = {line for line, _ in before}
    lines = [line for line in range(rows + len(gone)) if line not in gone]
    return sorted([*before, *((lines[row], reason) for row, reason in found)])


def without(
    windows: Sequence[WindowCount], contract: Contract, rows: pa.Table, found: Sequence[RowError]
) -> list[WindowCount]:
    """Return the counts of `rows` less those of the refused ones, which `found` names by their index."""
    if not found or not windows:
        return list(windows)
    width = (windows[0].window_end - windows[0].window_start) / MICROSECONDS
    row_errors = rows.take(pa.array([row for row, _ in found]))
    less = {
        (each.window_start, each.event_type): each.events
        for each in count_events(contract, row_errors, width)
    }
    left = (
        replace(each, events=each.events - less.get((each.window_start, each.event_type), 0))
        for each in windows
    )
    return [each for each in left if each.events]
