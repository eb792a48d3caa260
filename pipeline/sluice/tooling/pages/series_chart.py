"""A daily series as a drawing: what was observed, the usual range around it, and the days that were found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from sluice.tooling.monitors.results import Result, number_text

_MOST_DAYS = 366
_WIDTH, _HEIGHT = 720, 180
_ABOVE = 1.15
"""The height of the drawing, in heights of what is usual. A value beyond it is drawn at the edge."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A day that was found: where it is drawn, and what its title says. A day without a value is a line."""

    x: float
    y: float | None
    title: str


@dataclass(frozen=True, slots=True)
class SeriesChart:
    """The drawing: paths of SVG, marks, and what its edges stand for."""

    width: int
    height: int
    band: str
    bounds: str
    """The smallest or the largest usual value, where there is only one of them."""
    expected: str
    observed: str
    marks: Sequence[Mark]
    start: date
    end: date
    top: float
    bottom: float


def draw_series(results: Sequence[Result]) -> SeriesChart | None:
    """Return the drawing of the newest 366 days of the results of one metric; None without two days."""
    dated = sorted((result for result in results if result.day is not None), key=_day)
    if not dated:
        return None
    last = _day(dated[-1])
    drawn = [result for result in dated if (last - _day(result)).days < _MOST_DAYS]
    first = _day(drawn[0])
    if first == last:
        return None
    bottom, top = _edges(drawn)
    return _Scale(first, (last - first).days, bottom, top).draw(drawn, last)


def _day(result: Result) -> date:
    assert result.day is not None
    return result.day


def _edges(results: Sequence[Result]) -> tuple[float, float]:
    """Return the values at the bottom and the top: usual ones are between them, and so is zero."""
    usual = [number for result in results for number in _finite(result.low, result.expected, result.high)]
    usual += [number for result in results if result.kind is None for number in _finite(result.observed)]
    usual = usual or [number for result in results for number in _finite(result.observed)]
    bottom, top = min(0.0, *usual, 0.0), max(0.0, *usual, 0.0)
    return bottom * _ABOVE, (top or (0.0 if bottom else 1.0)) * _ABOVE


def _finite(*values: float | None) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Days and values as pixels."""

    first: date
    days: int
    bottom: float
    top: float

    def x(self, day: date) -> float:
        return round((day - self.first).days / self.days * _WIDTH, 1)

    def y(self, value: float) -> float:
        inside = min(max(value, self.bottom), self.top)
        return round((self.top - inside) / (self.top - self.bottom) * _HEIGHT, 1)

    def draw(self, results: Sequence[Result], last: date) -> SeriesChart:
        has_band = all(result.low is not None and result.high is not None for result in results)
        one_sided = "" if has_band else self._line(results, _low) + self._line(results, _high)
        return SeriesChart(
            width=_WIDTH,
            height=_HEIGHT,
            band=self._band(results) if has_band else "",
            bounds=one_sided,
            expected=self._line(results, lambda result: result.expected),
            observed=self._line(results, lambda result: result.observed),
            marks=[self._mark(result) for result in results if result.kind is not None],
            start=self.first,
            end=last,
            top=self.top,
            bottom=self.bottom,
        )

    def _points(
        self, results: Sequence[Result], number: Callable[[Result], float | None]
    ) -> Iterator[list[str]]:
        """Yield the points of each stretch of results that have the number."""
        points: list[str] = []
        for result in results:
            values = _finite(number(result))
            if values:
                points.append(f"{self.x(_day(result)):g},{self.y(values[0]):g}")
            elif points:
                yield points
                points = []
        if points:
            yield points

    def _line(self, results: Sequence[Result], number: Callable[[Result], float | None]) -> str:
        stretches = self._points(results, number)
        # A line of no length is a dot, since its ends are round.
        return "".join(f"M{' '.join(points)}{'h0' if len(points) == 1 else ''}" for points in stretches)

    def _band(self, results: Sequence[Result]) -> str:
        upper, lower = (next(self._points(results, number), []) for number in (_high, _low))
        return f"M{' '.join([*upper, *reversed(lower)])}Z"

    def _mark(self, result: Result) -> Mark:
        observed = _finite(result.observed)
        day = _day(result)
        title = f"{day} {result.kind}: {number_text(result.observed) if observed else 'no value'}"
        return Mark(self.x(day), self.y(observed[0]) if observed else None, title)


def _low(result: Result) -> float | None:
    return result.low


def _high(result: Result) -> float | None:
    return result.high
