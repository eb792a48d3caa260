"""Rows that a warehouse rejects for what they hold: found by bisection, so that the others are loaded.

A code of an error seldom proves that a row is at fault: a trigger may raise anything, and a table that changed rejects
rows as if they were malformed. So the load is bisected whatever the code says, unless the code is one of the server.
If every single row fails alike, the rows are not at fault, and nothing of the load is rejected or stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Literal

import pyarrow as pa

from sluice.errors import TableError, WarehouseError

RowError = tuple[int, str]
"""Index of a line in its segment, or of a row in a table, and why it is not loaded."""

SAMPLE = 16
"""How many rows, spread over the load, are tried alone before all of it is taken for rejected alike."""

Blame = Literal["row", "content", "unknown"]
"""What an error code says: `row`: this row can only be at fault itself; `content`: rows are at fault, or the table
changed; `unknown`: anything but the server."""


class RowsRejected(ValueError):
    """A warehouse took none of the rows because of what at least one of them holds; the message is its own.

    `rows` are those that it names, if it names any: the index of each, and what is wrong with it. `kind` is equal for
    faults that are alike; by default it is the message.
    """

    def __init__(
        self,
        message: str,
        rows: Mapping[int, str] | None = None,
        *,
        kind: str | None = None,
        blame: Blame = "content",
    ) -> None:
        """Take what the warehouse said."""
        super().__init__(message)
        self.rows = rows or {}
        self.kind = message if kind is None else kind
        self.blame = blame


def no_stored_row() -> str | None:
    """Return that no row can be tried that the table has already."""
    return None


def insert_with_bisection(
    rows: pa.Table,
    insert: Callable[[pa.Table], None],
    table: str = "the table",
    stored_row_fault: Callable[[], str | None] = no_stored_row,
    max_attempts: int | None = None,
) -> list[RowError]:
    """Insert all rows but those that are rejected by name, or even when they stand alone.

    One faulty row of n costs 2 log2 n + 2 insertions at most, and a load whose rows all fail log2 n + 2 + SAMPLE.

    Args:
        rows: any number of them.
        insert: takes some of the rows, in order: all of them, or none with RowsRejected. A row that only clashes
            with another one is rejected if `insert` sees those that were taken before.
        table: its name, for messages.
        stored_row_fault: tries a copy of a row that the table has, and leaves nothing of it: the `kind` of its fault,
            '' if there is none, None if the table has no row, or if that cannot be tried.
        max_attempts: how often `insert` is called at most; None: as often as it takes.

    Returns:
        The rejected rows by their index in `rows`, in order, each with the warehouse's own message.

    Raises:
        TableError: every row that was tried alone failed alike, so the rows are not at fault.
        WarehouseError: `max_attempts` were not enough.

    """
    return _Bisection(rows, insert, table, stored_row_fault, max_attempts).run()


class _Bisection:
    """One load: the parts that are pending, and the rows that were rejected."""

    def __init__(
        self,
        rows: pa.Table,
        insert: Callable[[pa.Table], None],
        table: str,
        stored_row_fault: Callable[[], str | None],
        max_attempts: int | None,
    ) -> None:
        self._rows = rows
        self._insert = insert
        self._table = table
        self._stored_row_fault = stored_row_fault
        self._pending: list[Sequence[int]] = [range(rows.num_rows)] if rows.num_rows else []
        self._rejected: list[RowError] = []
        self._max_attempts = max_attempts
        self._attempts = 0
        self._rows_are_at_fault = False
        """Whether it is known: the warehouse took others, or rejected them for other reasons."""
        self._first_kind: str | None = None

    def run(self) -> list[RowError]:
        while self._pending:
            part = self._pending.pop()
            error = self._attempt(part)
            if error is None:
                continue
            named = {0: str(error)} if len(part) == 1 and not error.rows else error.rows
            self._rejected += ((part[index], reason) for index, reason in named.items())
            if named:
                others = [row for index, row in enumerate(part) if index not in named]
                self._pending += [others] if others else []
            else:
                middle = len(part) // 2
                self._pending += [part[middle:], part[:middle]]
            if len(part) == 1 and not self._rows_are_at_fault:
                self._judge(error)
        return sorted(self._rejected)

    def _attempt(self, part: Sequence[int]) -> RowsRejected | None:
        """Insert a part; return why it was rejected."""
        self._attempts += 1
        try:
            # Taken, not sliced: a slice would drag all nested values of the table along.
            self._insert(self._rows if len(part) == self._rows.num_rows else self._rows.take(pa.array(part)))
        except RowsRejected as error:
            if self._attempts == self._max_attempts:
                message = (
                    f"{self._table}: expected fewer rows that are rejected: {len(self._rejected)} were found in "
                    f"{self._attempts} attempts, and there are more: {error}"
                )
                raise WarehouseError(message) from error
            if self._first_kind is None:
                self._first_kind = error.kind
            self._rows_are_at_fault |= bool(error.rows) or error.blame == "row"
            self._rows_are_at_fault |= error.kind != self._first_kind
            return error
        self._rows_are_at_fault = True
        return None

    def _judge(self, error: RowsRejected) -> None:
        """Find out whether the first row that failed alone is at fault, or the table.

        Raises:
            TableError: it is the table.

        """
        tried = 1
        for row in self._sample():
            self._pending = [left for part in self._pending if (left := [at for at in part if at != row])]
            rejected = self._attempt([row])
            if rejected is not None:
                self._rejected.append((row, str(rejected)))
            if self._rows_are_at_fault:
                return
            tried += 1
        fault = self._stored_row_fault()
        if fault == error.kind:
            raise self._table_error(error, "a row that the table has already is rejected alike")
        if fault is None and (tried > 1 or error.blame == "unknown"):
            number = f"{tried} of {self._rows.num_rows} rows were tried alone, and all are rejected alike"
            raise self._table_error(error, number)
        self._rows_are_at_fault = True

    def _sample(self) -> list[int]:
        """Return at most SAMPLE of the rows that are pending, in order and evenly spread."""
        rows = sorted(row for part in self._pending for row in part)
        return rows[:: ceil(len(rows) / SAMPLE) or 1]

    def _table_error(self, error: RowsRejected, evidence: str) -> TableError:
        message = (
            f"{self._table}: expected a table that takes rows, got: {error}; {evidence}, so the rows are not at "
            "fault; none of them was loaded, and all stay in the event log: fix the table and run again"
        )
        return TableError(message)
