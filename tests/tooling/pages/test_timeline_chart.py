"""Events over time as bars."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sluice.tooling.pages.timeline_chart import TimelineChart, draw_timelines, window_seconds

START = datetime(2026, 11, 28, 10, tzinfo=UTC)


def window(seconds: int, width: int = 10, start: datetime = START, **events: int) -> dict[str, Any]:
    begin = start + timedelta(seconds=seconds)
    return {
        "start": begin.isoformat(),
        "end": (begin + timedelta(seconds=width)).isoformat(),
        "events": events,
    }


def chart(*windows: dict[str, Any]) -> TimelineChart:
    (drawn,) = draw_timelines(windows)
    return drawn


def test_bars_are_stacked_by_type_the_most_frequent_below() -> None:
    drawn = chart(window(0, order=1, cart=3), window(20, order=2))
    assert drawn.series == [("cart", 3), ("order", 3)]
    assert [(bar.x, bar.y, bar.height, bar.series) for bar in drawn.bars] == [
        (0.0, 40.0, 120.0, 0),
        (0.0, 0.0, 40.0, 1),
        (480.0, 80.0, 80.0, 1),
    ]
    assert (drawn.start, drawn.end) == ("2026-11-28 10:00:00", "2026-11-28 10:00:30")
    assert drawn.ticks[:2] == ["2026-11-28 10:00:02", "2026-11-28 10:00:05"]
    assert (len(drawn.ticks), drawn.seconds, drawn.highest) == (11, 10, 4)


def test_title_of_a_bar_is_short() -> None:
    assert (
        chart(window(0) | {"events": {"n" * 100: 1000}}).bars[0].title
        == f"2026-11-28 10:00:00 {'n' * 24}…: 1,000"
    )


@pytest.mark.parametrize(
    ("slots", "seconds"),
    [(240, 10), (241, 20), (480, 20), (721, 60), (17_280, 900), (2_073_600, 86_400)],
)
def test_bars_cover_as_many_windows_as_it_takes(slots: int, seconds: int) -> None:
    drawn = draw_timelines([window(0, order=1), window(10 * (slots - 1), order=1)])[0]
    assert drawn.seconds == seconds
    assert all(0 <= bar.x < 720 for bar in drawn.bars)


def test_events_in_a_small_part_of_the_time_have_a_drawing_of_their_own_in_the_same_colours() -> None:
    windows = [window(-86_400, cart=1), *(window(10 * number, order=50, cart=1) for number in range(60))]
    whole, most = draw_timelines(windows)
    assert [name for name, _ in whole.series] == [name for name, _ in most.series] == ["order", "cart"]
    assert (most.start, most.end) == ("2026-11-28 10:00:10", "2026-11-28 10:09:50")
    assert most.seconds == 10


@pytest.mark.parametrize("windows", [[], [window(0)]])
def test_no_events_are_no_drawing(windows: list[dict[str, Any]]) -> None:
    assert draw_timelines(windows) == []


@pytest.mark.parametrize(
    "windows",
    [
        [window(0, start=datetime(1, 1, 1, tzinfo=UTC), order=1), window(0, order=1)],
        [window(0, start=datetime(9999, 12, 31, 23, 59, 49, tzinfo=UTC), order=1), window(0, order=1)],
        [window(0, order=1, width=0)],
    ],
)
def test_ends_of_the_calendar_and_odd_windows_are_drawn(windows: list[dict[str, Any]]) -> None:
    assert draw_timelines(windows)[0].bars != []


def test_width_of_windows_is_in_seconds() -> None:
    assert window_seconds([window(0), window(60, width=60)]) == 60
    assert window_seconds([]) == 0
