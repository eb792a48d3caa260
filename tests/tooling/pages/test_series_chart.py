"""The drawing of a daily series."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pytest
from sluice.tooling.monitors.results import Result
from sluice.tooling.pages.series_chart import Mark, draw_series

FIRST = date(2026, 1, 5)


def result(
    number: int,
    observed: float | None,
    kind: str | None = None,
    usual: tuple[float | None, float | None] = (80, 100),
) -> Result:
    low, high = usual
    return Result(
        metric="revenue",
        day=FIRST + timedelta(days=number),
        kind=kind,
        observed=observed,
        expected=90,
        low=low,
        high=high,
    )


def test_observed_values_break_at_missing_days_and_the_range_does_not() -> None:
    chart = draw_series([result(0, 90), result(1, 100), result(2, None, "missing"), result(3, 90)])
    assert chart is not None
    assert (chart.start, chart.end) == (FIRST, FIRST + timedelta(days=3))
    assert [chart.bottom, chart.top] == pytest.approx([0, 115])
    assert chart.observed == "M0,39.1 240,23.5M720,39.1h0"
    assert chart.expected == "M0,39.1 240,39.1 480,39.1 720,39.1"
    assert chart.band == "M0,23.5 240,23.5 480,23.5 720,23.5 720,54.8 480,54.8 240,54.8 0,54.8Z"
    assert chart.marks == [Mark(480, None, "2026-01-07 missing: no value")]


def test_value_far_outside_is_drawn_at_the_edge_and_keeps_the_scale() -> None:
    chart = draw_series([result(0, 90), result(1, 1_000_000, "high"), result(2, -50, "low")])
    assert chart is not None
    assert chart.top == pytest.approx(115)
    assert chart.marks == [
        Mark(360, 0, "2026-01-06 high: 1,000,000"),
        Mark(720, 180, "2026-01-07 low: -50"),
    ]


@pytest.mark.parametrize(
    ("usual", "bounds"), [((None, 100), "M0,23.5 720,23.5"), ((80, None), "M0,54.8 720,54.8")]
)
def test_one_sided_range_is_a_line(usual: tuple[float | None, float | None], bounds: str) -> None:
    chart = draw_series([result(0, 100, usual=usual), result(1, 100, usual=usual)])
    assert chart is not None
    assert (chart.band, chart.bounds) == ("", bounds)


def test_range_of_negative_values_lies_below_zero() -> None:
    chart = draw_series([result(0, -90, usual=(-100, -80)), result(1, -100, usual=(-100, -80))])
    assert chart is not None
    assert [chart.bottom, chart.top] == pytest.approx([-115, 103.5])  # what is expected is 90


def test_newest_days_are_drawn() -> None:
    chart = draw_series([result(number, 90) for number in range(1000)])
    assert chart is not None
    assert (chart.end - chart.start).days == 365


@pytest.mark.parametrize(
    "results",
    [
        [],
        [result(0, 90)],
        [Result(metric="orders", day=None, kind="stale", observed=30)],
    ],
)
def test_fewer_than_two_days_have_no_drawing(results: list[Result]) -> None:
    assert draw_series(results) is None


def test_values_that_are_unknown_or_endless_are_left_out() -> None:
    chart = draw_series([result(0, math.inf, "high"), result(1, None, "missing", (None, None))])
    assert chart is not None
    assert (chart.observed, [mark.y for mark in chart.marks]) == ("", [None, None])
