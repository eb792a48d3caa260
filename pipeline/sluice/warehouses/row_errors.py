"""Rows that a warehouse rejects for what they hold: found by bisection, so that the others are loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

RowError = tuple[int, str]
"""Index of a line in its segment, or of a row in a table, and why it is not loaded."""


class RowsRejected(ValueError):
    """A warehouse took none of the rows because of what at least one of them holds; the message is its own.

    `rows` are those that it names, if it names any: the index of each, and what is wrong with it.
    """

    def __init__(self, message: str, rows: Mapping[int, str] | None = None) -> None:
        """Take what the warehouse said."""
        super().__init__(message)
        self.rows = rows or {}


def insert_with_bisection(rows: pa.Table, insert: Callable[[pa.Table], None]) -> list[RowError]:
    """Insert all rows but those that are rejected by name, or even when they stand alone.

    Args:
        rows: any number of them.
        insert: takes some of the rows, in order: all of them, or none with RowsRejected. A row that only clashes
            with another one is rejected if `insert` sees those that were taken before.

    Returns:
        The rejected rows by their index in `rows`, in order, each with the warehouse's own message.

    """
    rejected: list[RowError] = []
    pending: list[Sequence[int]] = [range(rows.num_rows)] if rows.num_rows else []
    while pending:
        part = pending.pop()
        try:
            # Taken, not sliced: a slice would drag all nested values of the table along.
            insert(rows if len(part) == rows.num_rows else rows.take(pa.array(part)))
        except RowsRejected as error:
            named = {0: str(error)} if len(part) == 1 and not error.rows else error.rows
            rejected += ((part[index], reason) for index, reason in named.items())
            if named:
                others = [row for index, row in enumerate(part) if index not in named]
                pending += [others] if others else []
            else:
                middle = len(part) // 2
                pending += [part[middle:], part[:middle]]
    return sorted(rejected)
