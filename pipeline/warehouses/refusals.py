"""Rows that a warehouse refuses for what they hold: found by halving, so that the others are loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pyarrow as pa

from pipeline.contracts import Contract
from pipeline.count import MICROSECONDS, WindowCount, count_events

Refusal = tuple[int, str]
"""Index of a line in its segment, and why it is not a row."""


class RefusedRows(ValueError):
    """A warehouse took none of the rows because of what at least one of them holds; the message is its own."""


def insert_halving(rows: pa.Table, insert: Callable[[pa.Table], None]) -> list[Refusal]:
    """Insert all rows but those that are refused even when they stand alone.

    Args:
        rows: any number of them.
        insert: takes some of the rows, in order: all of them, or none with RefusedRows. A row that only clashes
            with another one is refused if `insert` sees those that were taken before.

    Returns:
        The refused rows by their index in `rows`, in order, each with what the warehouse said.

    """
    refused: list[Refusal] = []
    waiting = [(0, rows.num_rows)] if rows.num_rows else []
    while waiting:
        start, stop = waiting.pop()
        whole = stop - start == rows.num_rows
        try:
            # Taken, not sliced: a slice would drag all nested values of the table along.
            insert(rows if whole else rows.take(pa.array(range(start, stop))))
        except RefusedRows as error:
            if stop - start == 1:
                refused.append((start, str(error)))
                continue
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]
    return refused


def in_segment(found: Sequence[Refusal], rows: int, before: Sequence[Refusal]) -> list[Refusal]:
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
    windows: Sequence[WindowCount], contract: Contract, rows: pa.Table, found: Sequence[Refusal]
) -> list[WindowCount]:
    """Return the counts of `rows` less those of the refused ones, which `found` names by their index."""
    if not found or not windows:
        return list(windows)
    width = (windows[0].window_end - windows[0].window_start) / MICROSECONDS
    refused = rows.take(pa.array([row for row, _ in found]))
    less = {
        (each.window_start, each.event_type): each.events for each in count_events(contract, refused, width)
    }
    left = (
        replace(each, events=each.events - less.get((each.window_start, each.event_type), 0))
        for each in windows
    )
    return [each for each in left if each.events]
