from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.arrow.window_counts import WindowCount, count_events, count_windows, events_in
from sluice.contracts import Contract, Property

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


def test_window_has_a_second_if_it_is_the_narrowest() -> None:
    assert count_windows(pa.array([S - 1, S], TIME), 1) == [WindowCount(0, S, 1), WindowCount(S, 2 * S, 1)]


@pytest.mark.parametrize("seconds", [0, 0.999999, -1])
def test_window_below_a_second_is_rejected(seconds: float) -> None:
    with pytest.raises(ValueError, match=rf"^expected a window of at least 1 s, got {seconds} s$"):
        count_windows(pa.array([], TIME), seconds)


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


def click(event_time: str | None, count_by: str | None) -> Contract:
    properties = (Property("at", "timestamp", required=True), Property("kind", "string"))
    return Contract("click", "clicks", "c", "1", "web", "", properties, event_time, count_by=count_by)


@pytest.mark.parametrize(
    ("event_time", "count_by", "expected"),
    [
        ("at", None, [WindowCount(0, 5 * S, 2), WindowCount(5 * S, 10 * S, 1)]),
        (
            "at",
            "kind",
            [
                WindowCount(0, 5 * S, 1, "click"),  # one without a kind is counted by its event type
                WindowCount(0, 5 * S, 1, "view"),
                WindowCount(5 * S, 10 * S, 1, "view"),
            ],
        ),
        (None, None, [WindowCount(60 * S, 65 * S, 3)]),  # without a time of its own, by the segment's minute
        (None, "kind", [WindowCount(60 * S, 65 * S, 1, "click"), WindowCount(60 * S, 65 * S, 2, "view")]),
    ],
)
def test_rows_are_counted_by_the_time_and_the_property_of_their_contract(
    event_time: str | None, count_by: str | None, expected: list[WindowCount]
) -> None:
    rows = pa.table({"at": pa.array([0, 4 * S, 5 * S], TIME), "kind": ["view", None, "view"]})
    assert count_events(click(event_time, count_by), rows, 5.0, 60) == expected


def test_loaded_events_are_rows_or_counts_alone() -> None:
    windows = [WindowCount(0, 10 * S, 3), WindowCount(10 * S, 20 * S, 4)]
    assert (events_in(5, []), events_in(5, windows), events_in(0, windows), events_in(0, [])) == (5, 5, 7, 0)
