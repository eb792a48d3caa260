from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.errors import TableError, WarehouseError
from sluice.warehouses.row_errors import SAMPLE, Blame, RowsRejected, insert_with_bisection


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
            raise RowsRejected(message, blame="row")
        if len(set(numbers + self.taken)) < len(numbers) + len(self.taken):
            message = "twice"
            raise RowsRejected(message, blame="row")
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


class DoubtfulTable(NumberTable):
    """Rejects negative numbers with a code that a table may cause as well; `broken` rejects all."""

    def __init__(self, *, broken: bool = False, blame: Blame = "content") -> None:
        super().__init__()
        self.broken = broken
        self.blame = blame

    def insert(self, rows: pa.Table) -> None:
        self.calls += 1
        numbers = rows["n"].to_pylist()
        if self.broken or any(number < 0 for number in numbers):
            message = f"rejected {len(numbers)}"
            raise RowsRejected(message, kind="P0001", blame=self.blame)
        self.taken += numbers


BLAMES: list[Blame] = ["content", "unknown"]


@pytest.mark.parametrize("blame", BLAMES)
@given(st.lists(st.integers(-2, 20), min_size=1, max_size=60).filter(lambda numbers: max(numbers) >= 0))
def test_some_rejected_rows_are_found_whatever_the_code_says(blame: Blame, numbers: list[int]) -> None:
    table = DoubtfulTable(blame=blame)
    good = [number for number in numbers if number >= 0]
    try:
        row_errors = insert_with_bisection(pa.table({"n": pa.array(numbers, pa.int64())}), table.insert)
    except TableError:
        # Only if nothing was taken, and no row of the sample is good.
        assert table.taken == []
        assert len(numbers) > 1 + SAMPLE
        return
    assert sorted(table.taken) == sorted(good)
    assert [at for at, _ in row_errors] == [at for at, number in enumerate(numbers) if number < 0]


@pytest.mark.parametrize("blame", BLAMES)
@pytest.mark.parametrize(
    ("rows", "tried", "calls"),
    [(2, 2, 3), (3, 3, 4), (16, 16, 20), (17, 17, 21), (18, 10, 14), (200, 17, 24), (5000, 17, 29)],
)
def test_rows_that_are_all_rejected_alike_are_not_at_fault(
    rows: int, tried: int, calls: int, blame: Blame
) -> None:
    table = DoubtfulTable(broken=True, blame=blame)
    with pytest.raises(TableError) as error:
        insert_with_bisection(pa.table({"n": range(rows)}), table.insert, "orders")
    assert str(error.value) == (
        f"orders: expected a table that takes rows, got: rejected 1; {tried} of {rows} rows were tried alone, and "
        "all are rejected alike, so the rows are not at fault; none of them was loaded, and all stay in the event "
        "log: fix the table and run again"
    )
    assert table.calls == calls


@pytest.mark.parametrize(
    ("fault", "rows", "blame", "rejected"),
    [
        ("", 1, "unknown", 1),
        ("", 40, "content", 40),
        ("23514 other", 3, "content", 3),
        ("P0001", 1, "content", None),
        ("P0001", 40, "content", None),
        (None, 1, "content", 1),
        (None, 1, "unknown", None),
        (None, 2, "content", None),
    ],
)
def test_row_that_the_table_has_decides_whether_all_rows_are_at_fault(
    fault: str | None, rows: int, blame: Blame, rejected: int | None
) -> None:
    table = DoubtfulTable(broken=True, blame=blame)
    numbers = pa.table({"n": range(rows)})
    if rejected is None:
        with pytest.raises(TableError):
            insert_with_bisection(numbers, table.insert, "orders", lambda: fault)
        return
    assert len(insert_with_bisection(numbers, table.insert, "orders", lambda: fault)) == rejected


def test_table_is_asked_once_whether_all_rows_are_at_fault() -> None:
    asked: list[str] = []

    def stored_row_fault() -> str:
        asked.append("")
        return ""

    numbers = pa.table({"n": range(40)})
    assert len(insert_with_bisection(numbers, DoubtfulTable(broken=True).insert, "t", stored_row_fault)) == 40
    assert asked == [""]


@pytest.mark.parametrize("blame", [*BLAMES, "row"])
def test_row_that_the_warehouse_names_is_at_fault_whatever_the_code_says(blame: Blame) -> None:
    def insert(_: pa.Table) -> None:
        message = "one is bad"
        raise RowsRejected(message, {0: "bad"}, blame=blame)

    assert insert_with_bisection(pa.table({"n": range(3)}), insert) == [(0, "bad"), (1, "bad"), (2, "bad")]


def test_attempts_are_bounded() -> None:
    table = DoubtfulTable()
    numbers = pa.table({"n": [0, -1] * 500})
    with pytest.raises(WarehouseError) as error:
        insert_with_bisection(numbers, table.insert, "orders", max_attempts=40)
    assert (type(error.value), table.calls) == (WarehouseError, 40)
    assert str(error.value).startswith("orders: expected fewer rows that are rejected: ")


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
