from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.warehouses.row_errors import RowsRejected, insert_with_bisection


class NumberTable:
    """Takes numbers: none that is negative, and none twice."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.calls = 0

    def insert(self, rows: pa.Table) -> None:
        self.calls += 1
        numbers = rows["n"].to_pylist()
        if any(number < 0 for number in numbers):
            message = "negative"
            raise RowsRejected(message)
        if len(set(numbers + self.taken)) < len(numbers) + len(self.taken):
            message = "twice"
            raise RowsRejected(message)
        self.taken += numbers


@given(st.lists(st.integers(-2, 20)))
def test_rejected_rows_are_found_and_the_others_inserted_in_order(numbers: list[int]) -> None:
    table = NumberTable()
    row_errors = insert_with_bisection(pa.table({"n": pa.array(numbers, pa.int64())}), table.insert)
    first = [number for at, number in enumerate(numbers) if number >= 0 and number not in numbers[:at]]
    assert table.taken == first
    assert [(numbers[at], why) for at, why in row_errors] == [
        (number, "negative" if number < 0 else "twice")
        for at, number in enumerate(numbers)
        if number < 0 or number in numbers[:at]
    ]
    assert [at for at, _ in row_errors] == sorted(at for at, _ in row_errors)


def test_one_rejected_row_costs_two_calls_for_each_bisection() -> None:
    table = NumberTable()
    insert_with_bisection(pa.table({"n": range(1024)}), table.insert)
    assert table.calls == 1
    insert_with_bisection(pa.table({"n": [*range(2000, 3023), -1]}), table.insert)
    assert table.calls == 1 + 1 + 2 * 10


def test_rows_that_the_warehouse_names_are_rejected_and_the_others_inserted_together() -> None:
    parts: list[list[int]] = []

    def insert(rows: pa.Table) -> None:
        numbers = rows["n"].to_pylist()
        parts.append(numbers)
        if bad := {at: f"{number} is odd" for at, number in enumerate(numbers) if number % 2}:
            message = "some are odd"
            raise RowsRejected(message, bad)

    assert insert_with_bisection(pa.table({"n": range(5)}), insert) == [(1, "1 is odd"), (3, "3 is odd")]
    assert parts == [[0, 1, 2, 3, 4], [0, 2, 4]]


def test_error_that_is_not_about_rows_is_raised() -> None:
    def fail(_: pa.Table) -> None:
        raise OSError

    with pytest.raises(OSError, match="^$"):
        insert_with_bisection(pa.table({"n": [1, 2]}), fail)
