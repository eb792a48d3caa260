from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.arrow.window_counts import WindowCount, count_windows

TIME = pa.timestamp("us", tz="UTC")
S = 1_000_000


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], []),
        ([None], []),
        ([0], [WindowCount(0, 10 * S, 1)]),
        ([0, 10 * S - 1], [WindowCount(0, 10 * S, 2)]),
        ([10 * S, 10 * S - 1], [WindowCount(0, 10 * S, 1), WindowCount(10 * S, 20 * S, 1)]),
        ([-1, None, 0], [WindowCount(-10 * S, 0, 1), WindowCount(0, 10 * S, 1)]),
        ([-10 * S], [WindowCount(-10 * S, 0, 1)]),
        ([-10 * S - 1], [WindowCount(-20 * S, -10 * S, 1)]),
        ([35 * S, 5 * S, 36 * S], [WindowCount(0, 10 * S, 1), WindowCount(30 * S, 40 * S, 2)]),
    ],
)
def test_events_are_counted_in_windows_of_ten_seconds(
    times: list[int | None], expected: list[WindowCount]
) -> None:
    assert count_windows(pa.array(times, TIME)) == expected


def test_window_has_the_given_width() -> None:
    times = pa.chunked_array([pa.array([0, 59 * S], TIME), pa.array([60 * S], TIME)])
    assert count_windows(times, 60.0) == [WindowCount(0, 60 * S, 2), WindowCount(60 * S, 120 * S, 1)]


def test_window_below_a_second_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"^expected a window of at least 1 s, got 0 s$"):
        count_windows(pa.array([], TIME), 0)


@given(st.lists(st.integers(-62_135_596_800 * S, 253_402_300_799 * S)), st.sampled_from([1, 7, 10, 60]))
def test_event_is_counted_in_the_window_of_its_time(times: list[int], width: int) -> None:
    expected = Counter(time // (width * S) for time in times)
    assert count_windows(pa.array(times, TIME), width) == [
        WindowCount(number * width * S, (number + 1) * width * S, expected[number])
        for number in sorted(expected)
    ]


def test_window_has_one_count_for_each_type() -> None:
    times = pa.array([1 * S, 2 * S, 3 * S, 11 * S, None], TIME)
    types = pa.array(["view", "click", "view", "click", "click"])
    assert count_windows(times, 10.0, types) == [
        WindowCount(0, 10 * S, 1, "click"),
        WindowCount(0, 10 * S, 2, "view"),
        WindowCount(10 * S, 20 * S, 1, "click"),
    ]
