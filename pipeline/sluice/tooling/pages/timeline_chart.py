"""Events over time by type, as stacked bars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

_MOST_BARS = 240
"""A report has at most so many windows. On a small screen a bar is a pixel or two wide, until somebody zooms."""

_WIDTH, _HEIGHT = 720, 160
_TICKS = 12
_LONGEST_NAME = 24
"""Of a type in the title of a bar; the legend has the whole name."""

_RARE = 0.025
"""The share of the earliest, and of the latest events that a drawing of most of them leaves out."""
_SMALL_PART = 5
_WIDTHS = (1, 2, 3, 6, 12, 30, 60, 90, 180, 360, 720, 1440, 2160, 4320, 8640)
"""Bars are as wide as so many windows, if that is enough: of windows of 10 s up to a day."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The events of one type in one bar: a rectangle, the `series` that its colour says, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    series: int
    title: str


@dataclass(frozen=True, slots=True)
class TimelineChart:
    """The drawing, its series with their sums, the span of time, and what the highest bar stands for."""

    width: int
    height: int
    bars: Sequence[Bar]
    series: Sequence[tuple[str, int]]
    start: str
    end: str
    ticks: Sequence[str]
    """Times between start and end at equal distances, for a drawing that is zoomed."""
    seconds: int
    """What each bar covers."""
    highest: int


def draw_timelines(windows: Sequence[Mapping[str, Any]]) -> list[TimelineChart]:
    """Return the drawing of the windows of a report, and one of most of the events if they lie in a small part of it.

    A few events with a wrong or an early time would otherwise leave all others in one bar.
    """
    windows = sorted(
        (window for window in windows if window["events"]), key=lambda window: _time(window["start"])
    )
    if not windows:
        return []
    total: Counter[str] = Counter()
    for window in windows:
        total.update(window["events"])
    series = sorted(total, key=lambda name: (-total[name], name))
    sums = list(accumulate(sum(window["events"].values()) for window in windows))
    rare = sums[-1] * _RARE
    first = next(index for index, number in enumerate(sums) if number > rare)
    last = next(index for index, number in enumerate(sums) if number >= sums[-1] - rare)
    most = windows[first : last + 1]
    in_small_part = _span(most) * _SMALL_PART <= _span(windows)
    return [_draw(part, series) for part in ([windows, most] if in_small_part else [windows])]


def window_seconds(windows: Sequence[Mapping[str, Any]]) -> int:
    """Return the width of the widest of the windows, in whole seconds; 0 if there are none."""
    widths = (_time(window["end"]) - _time(window["start"]) for window in windows)
    return max(widths, default=timedelta(0)) // timedelta(seconds=1)


def _span(windows: Sequence[Mapping[str, Any]]) -> timedelta:
    return _time(windows[-1]["end"]) - _time(windows[0]["start"])


def _draw(windows: Sequence[Mapping[str, Any]], series: Sequence[str]) -> TimelineChart:
    starts = [_time(window["start"]) for window in windows]
    width = max(timedelta(seconds=window_seconds(windows)), timedelta(seconds=1))
    slots = (starts[-1] - starts[0]) // width + 1
    needed = -(-slots // _MOST_BARS)
    bar = width * next((number for number in _WIDTHS if number >= needed), needed)
    events: dict[int, Counter[str]] = {}
    total: Counter[str] = Counter()
    for window, start in zip(windows, starts, strict=True):
        events.setdefault((start - starts[0]) // bar, Counter()).update(window["events"])
        total.update(window["events"])
    highest = max(counts.total() for counts in events.values())
    count = (starts[-1] - starts[0]) // bar + 1
    end = max(starts[-1], _time(windows[-1]["end"]))
    return TimelineChart(
        width=_WIDTH,
        height=_HEIGHT,
        bars=[
            drawn
            for number, counts in sorted(events.items())
            for drawn in _stack(number, counts, series, starts[0] + number * bar, _WIDTH / count, highest)
        ],
        series=[(name, total[name]) for name in series],
        start=_shown(starts[0]),
        end=_shown(end),
        ticks=[_shown(starts[0] + (end - starts[0]) * number / _TICKS) for number in range(1, _TICKS)],
        seconds=bar // timedelta(seconds=1),
        highest=highest,
    )


def _stack(
    number: int, counts: Counter[str], series: Sequence[str], start: datetime, width: float, highest: int
) -> list[Bar]:
    bars, y = [], float(_HEIGHT)
    for index, name in enumerate(series):
        if counts[name]:
            height = counts[name] / highest * _HEIGHT
            y -= height
            shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
            title = f"{_shown(start)} {shown}: {counts[name]:,}"
            left, wide = round(number * width, 2), round(width * 0.9, 2)
            bars.append(Bar(left, round(y, 2), wide, round(height, 2), index, title))
    return bars


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _shown(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
