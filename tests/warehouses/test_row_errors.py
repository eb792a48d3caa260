from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import WindowCount, count_windows
from sluice.warehouses.row_errors import RowsRejected, in_segment, insert_halving, without

from tests.warehouses.order_segments import NOW, ORDER, order, segment


class Shelf:
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
def test_what_is_refused_stands_alone_and_the_rest_is_taken_in_order(numbers: list[int]) -> None:
    shelf = Shelf()
    row_errors = insert_halving(pa.table({"n": pa.array(numbers, pa.int64())}), shelf.insert)
    first = [number for at, number in enumerate(numbers) if number >= 0 and number not in numbers[:at]]
    assert shelf.taken == first
    assert [(numbers[at], why) for at, why in row_errors] == [
        (number, "negative" if number < 0 else "twice")
        for at, number in enumerate(numbers)
        if number < 0 or number in numbers[:at]
    ]
    assert [at for at, _ in row_errors] == sorted(at for at, _ in row_errors)


def test_good_rows_take_one_call_and_one_bad_one_twice_as_many_as_it_is_halved() -> None:
    shelf = Shelf()
    insert_halving(pa.table({"n": range(1024)}), shelf.insert)
    assert shelf.calls == 1
    insert_halving(pa.table({"n": [*range(2000, 3023), -1]}), shelf.insert)
    assert shelf.calls == 1 + 1 + 2 * 10


def test_rows_that_are_named_are_refused_and_the_others_go_in_together() -> None:
    parts: list[list[int]] = []

    def insert(rows: pa.Table) -> None:
        numbers = rows["n"].to_pylist()
        parts.append(numbers)
        if bad := {at: f"{number} is odd" for at, number in enumerate(numbers) if number % 2}:
            message = "some are odd"
            raise RowsRejected(message, bad)

    assert insert_halving(pa.table({"n": range(5)}), insert) == [(1, "1 is odd"), (3, "3 is odd")]
    assert parts == [[0, 1, 2, 3, 4], [0, 2, 4]]


def test_an_error_that_is_not_about_rows_passes() -> None:
    def fail(_: pa.Table) -> None:
        raise OSError

    with pytest.raises(OSError, match="^$"):
        insert_halving(pa.table({"n": [1, 2]}), fail)


def test_refused_rows_are_told_as_lines_of_the_segment() -> None:
    assert in_segment([(0, "b"), (2, "d")], 3, [(0, "a"), (3, "c")]) == [
        (0, "a"),
        (1, "b"),
        (3, "c"),
        (4, "d"),
    ]
    assert in_segment([], 2, []) == []


@pytest.mark.parametrize("seconds", [1.0, 10.0])
def test_counts_lose_what_was_refused(seconds: float) -> None:
    lines = [order(second) for second in (0, 0.5, 9, 10, 10, 30)]
    rows, _ = to_table(ORDER, segment(1, *lines), [str(n) for n in range(len(lines))], NOW)
    windows = count_windows(rows["at"], seconds)
    left = rows.take(pa.array([0, 2, 3, 4]))
    assert without(windows, ORDER, rows, [(1, ""), (5, "")]) == count_windows(left["at"], seconds)
    assert without(windows, ORDER, rows, []) == windows
    assert without(windows, ORDER, rows, [(row, "") for row in range(6)]) == []
    assert without([], ORDER, rows.slice(0, 0), []) == list[WindowCount]()
