from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import count_windows
from sluice.warehouses import RowError, SegmentLoad

from tests.warehouses.order_segments import NOW, ORDER, order, segment

LINES = (b'{"at":7}', *(order(second) for second in (0, 0.5, 9, 10, 10, 30)))


def segment_load(window_seconds: float = 10) -> SegmentLoad:
    """Return a load whose first line is no row."""
    orders = segment(1, *LINES)
    rows, row_errors = to_table(ORDER, orders, [str(n) for n in range(len(LINES))], NOW)
    return SegmentLoad(ORDER, orders, rows, row_errors, count_windows(rows["at"], window_seconds), NOW)


def rejected(*indexes: int) -> list[RowError]:
    return [(index, f"row {index}") for index in indexes]


def test_minute_of_a_load_is_a_time_in_utc() -> None:
    assert segment_load().minute == datetime(2025, 2, 8, 13, 9, tzinfo=UTC)


def test_rejected_rows_become_row_errors_by_their_line() -> None:
    left = segment_load().without_rows(rejected(0, 4))
    assert [line for line, _ in left.row_errors] == [0, 1, 5]
    assert list(left.row_errors[1:]) == [(1, "row 0"), (5, "row 4")]
    assert left.rows["_event_id"].to_pylist() == ["2", "3", "4", "6"]
    assert left.events == 4


def test_rejected_rows_are_placed_between_the_lines_that_are_no_rows() -> None:
    """Rows 0, 1 and 2 are the lines 1, 2 and 4."""
    rows = pa.table({"n": [1, 2, 4]})
    load = SegmentLoad(ORDER, segment(1), rows, [(0, "a"), (3, "c")], [], NOW)
    left = load.without_rows([(0, "b"), (2, "d")])
    assert left.row_errors == [(0, "a"), (1, "b"), (3, "c"), (4, "d")]


@pytest.mark.parametrize("window_seconds", [1.0, 10.0])
def test_rejected_rows_are_not_counted(window_seconds: float) -> None:
    load = segment_load(window_seconds)
    left = load.without_rows(rejected(1, 5))
    assert left.window_counts == count_windows(left.rows["at"], window_seconds)


@pytest.mark.parametrize("window_seconds", [1.0, 10.0])
def test_load_of_some_lines_has_their_rows_errors_and_counts(window_seconds: float) -> None:
    part = segment_load(window_seconds).of_lines({0, 3, 4})
    assert (part.rows["_event_id"].to_pylist(), part.row_lines, part.lines) == (["3", "4"], [3, 4], [0, 3, 4])
    assert [line for line, _ in part.row_errors] == [0]
    assert part.window_counts == count_windows(part.rows["at"], window_seconds)
    left = part.without_rows(rejected(1))
    assert ([line for line, _ in left.row_errors], left.row_lines, left.events) == ([0, 4], [3], 1)
    again = left.of_lines({4, 6})
    assert (again.row_lines, again.row_errors) == ([], [(4, "row 1")])


def test_load_without_rejected_rows_is_unchanged() -> None:
    load = segment_load()
    assert load.without_rows([]) is load


def test_load_of_rejected_rows_alone_has_no_events() -> None:
    left = segment_load().without_rows(rejected(*range(6)))
    assert (left.rows.num_rows, left.window_counts, left.events) == (0, [], 0)
    assert [line for line, _ in left.row_errors] == list(range(7))


def test_load_of_counts_alone_has_their_events() -> None:
    load = segment_load()
    counts_alone = SegmentLoad(
        ORDER, load.segment, load.rows.slice(0, 0), load.row_errors, load.window_counts, NOW
    )
    assert counts_alone.events == 6
