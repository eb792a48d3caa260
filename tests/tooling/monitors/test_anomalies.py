"""Each day is judged by the days before it: faults are found on their days, and hardly anything else."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sluice.tooling.monitors.anomalies import LEARNING_DAYS, judge_series

from tests.growth import LINEAR, growth_of_cpu_time
from tests.tooling.monitors.simulated_series import DAYS, METRICS, Shape, shapes, simulate

FIRST = date(2025, 1, 6)
"""A Monday."""

WEEKDAYS = (100.0, 102.0, 98.0, 101.0, 110.0, 60.0, 50.0)


def ordinary(days: int) -> list[float]:
    """Return a series that varies by weekday and by up to 2 %."""
    return [WEEKDAYS[number % 7] * (1 + (number * 37 % 41 - 20) / 1000) for number in range(days)]


def dated(values: list[float | None]) -> list[tuple[date, float]]:
    pairs = ((FIRST + timedelta(days=number), value) for number, value in enumerate(values))
    return [(day, value) for day, value in pairs if value is not None]


def found(values: list[float | None], *, is_count: bool = False) -> list[tuple[int, str]]:
    verdicts = judge_series(dated(values), is_count=is_count)
    return [((verdict.day - FIRST).days, verdict.kind) for verdict in verdicts if verdict.kind is not None]


def changed(days: int, changes: dict[int, float | None]) -> list[float | None]:
    """Return an ordinary series with days multiplied by a factor, or without a row."""
    values: list[float | None] = list(ordinary(days))
    for number, factor in changes.items():
        value = values[number]
        assert value is not None
        values[number] = None if factor is None else value * factor
    return values


def test_simulated_faults_are_found_and_hardly_any_usual_day() -> None:
    rng = random.Random(20261129)
    drawn, missed, wrong, judged, must = shapes(rng), [], [], 0, 0
    for number in range(150):
        shape = next(drawn)
        shop = simulate(rng, shape)
        for metric in METRICS:
            verdicts = judge_series(shop.series(metric), is_count=metric == "sales")
            kinds = {(verdict.day - shop.days[0]).days: verdict.kind for verdict in verdicts}
            for day in range(LEARNING_DAYS, DAYS):
                kind = kinds.get(day)
                if (metric, day) in shop.must:
                    must += 1
                    missed += [(number, shape, metric, day)] if kind != shop.must[metric, day] else []
                elif (metric, day) not in shop.may:
                    judged += 1
                    wrong += [(number, shape, metric, day)] if kind is not None else []
    assert missed == []
    assert must > 1_000
    assert len(wrong) <= judged / 400


@pytest.mark.parametrize("noise", [0.02, 0.04, 0.07, 0.1, 0.15])
@pytest.mark.parametrize("sales", [60, 5_000])
def test_usual_days_of_any_spread_and_size_hardly_alert(noise: float, sales: float) -> None:
    rng = random.Random(7)
    alerts = judged = 0
    for weekend in (0.5, 1, 1.5):
        for _ in range(6):
            shop = simulate(rng, Shape(noise, sales, weekend, 0.0015))
            for metric in METRICS:
                verdicts = judge_series(shop.series(metric), is_count=metric == "sales")
                usual = [
                    verdict
                    for verdict in verdicts
                    if not {(metric, (verdict.day - shop.days[0]).days)} & (shop.may | set(shop.must))
                ]
                judged += len(usual)
                alerts += sum(verdict.kind is not None for verdict in usual)
    assert alerts <= judged / 200


FAULTS = {
    "a spike": {60: 2.5},
    "a drop": {60: 0.4},
    "a doubled day": {60: 2.0},
    "nothing sold": {60: 0.0},
    "a day without a row": {60: None},
    "two in a row": {60: 2.0, 61: 0.3},
    "a Saturday like a Monday": {61: WEEKDAYS[0] / WEEKDAYS[5]},
    "a Wednesday like a Sunday": {58: WEEKDAYS[6] / WEEKDAYS[2]},
    "the same a week later": {60: 2.0, 67: 2.0},
    "the same every week": {60: 2.0, 67: 2.0, 74: 2.0, 81: 2.0, 88: 2.0},
    "the first day that is judged": {42: 3.0},
    "the newest day": {99: 0.2},
    "a row missing a week after another": {60: None, 67: None},
    "a week without rows": {number: None for number in range(60, 67)},
}


@pytest.mark.parametrize("changes", FAULTS.values(), ids=FAULTS)
def test_faults_are_found_on_their_days_and_no_other_day(changes: dict[int, float | None]) -> None:
    kinds = {
        number: "missing" if factor is None else "high" if factor > 1 else "low"
        for number, factor in changes.items()
    }
    assert found(changed(100, changes)) == sorted(kinds.items())


LEARNED = {
    "two spikes": {10: 5.0, 30: 8.0},
    "a week doubled": {number: 2.0 for number in range(14, 21)},
    "one weekday missing three times": {8: None, 15: None, 22: None},
    "nothing sold on a weekday twice": {5: 0.0, 19: 0.0},
    "a spike on the last day": {41: 4.0},
}


@pytest.mark.parametrize("changes", LEARNED.values(), ids=LEARNED)
def test_faults_while_learning_neither_alert_nor_become_usual(changes: dict[int, float | None]) -> None:
    assert found(changed(100, {**changes, 60: 2.0, 70: 0.5})) == [(60, "high"), (70, "low")]


def test_growth_and_the_turn_of_a_month_do_not_alert() -> None:
    values: list[float | None] = []
    for number, value in enumerate(ordinary(400)):
        turn = (FIRST + timedelta(days=number)).day in (1, 2, 3)
        values.append(value * 1.0015**number * (1.08 if turn else 1))
    assert found(values) == []


def test_a_campaign_of_two_days_changes_nothing_after_it() -> None:
    alerts = found(changed(100, {60: 1.33, 61: 1.33, 67: 2.0}))
    assert [alert for alert in alerts if alert[0] not in (60, 61)] == [(67, "high")]


@pytest.mark.parametrize(("factor", "kind"), [(1.6, "high"), (0.6, "low")])
def test_a_lasting_change_alerts_for_two_weeks_and_is_then_usual(factor: float, kind: str) -> None:
    changes: dict[int, float | None] = {number: factor for number in range(60, 150)}
    assert found(changed(150, {**changes, 100: 2 * factor})) == [
        *((number, kind) for number in range(60, 74)),
        (100, "high"),
    ]


def test_a_lasting_change_of_a_weekday_alerts_six_times_and_is_then_usual() -> None:
    changes: dict[int, float | None] = {number: 2.0 for number in range(60, 150, 7)}
    assert found(changed(150, {**changes, 130: 4.5})) == [
        *((number, "high") for number in range(60, 96, 7)),
        (130, "high"),
    ]


def test_a_weekday_that_was_faulty_half_of_the_time_while_learning_is_learned_later() -> None:
    changes: dict[int, float | None] = {6: 4.0, 13: 4.0, 34: 4.0}
    days = [number for number, _ in found(changed(200, changes))]
    assert all(number % 7 == 6 and number <= 83 for number in days)


def test_an_outage_never_becomes_usual() -> None:
    changes: dict[int, float | None] = {number: 0.0 for number in range(60, 120)}
    assert found(changed(125, changes)) == [(number, "low") for number in range(60, 120)]


def test_weekends_without_sales_are_usual_and_sales_on_one_are_not() -> None:
    values: list[float | None] = [
        0.0 if number % 7 > 4 else value for number, value in enumerate(ordinary(100))
    ]
    values[61] = 50.0
    assert found(values, is_count=True) == [(61, "high")]


@pytest.mark.parametrize("days", [0, 1, 41, 42])
def test_learning_days_have_no_verdict(days: int) -> None:
    assert judge_series(dated(list(ordinary(days)))) == []


def test_series_begins_when_days_follow_each_other() -> None:
    strays = [(FIRST - timedelta(days=days), 7.0) for days in (9_000, 4_000, 80)]
    rows = dated(changed(100, {60: 2.0}))
    assert judge_series([*strays, *rows]) == judge_series(rows)


def test_negative_values_are_low() -> None:
    values = changed(70, {})
    values[60] = -500.0
    assert found(values) == [(60, "low")]


def test_a_weekday_that_was_never_seen_is_missing_and_then_learned() -> None:
    values: list[float | None] = [
        None if number % 7 == 6 else value for number, value in enumerate(ordinary(100))
    ]
    values[97] = 50.0
    missing = [(number, "missing") for number in range(48, 97, 7)]
    assert found(values) == missing


def test_verdict_says_what_was_expected_and_usual() -> None:
    (verdict,) = judge_series([(day, 100.0) for day, _ in dated(list(ordinary(43)))])
    assert (verdict.kind, verdict.observed, verdict.severity) == (None, 100.0, 0.0)
    assert [round(value, 6) for value in (verdict.expected, verdict.low, verdict.high)] == [
        100.0,
        81.691806,
        122.361679,
    ]


@st.composite
def series(draw: st.DrawFn) -> list[float | None]:
    rng = random.Random(draw(st.integers(0, 10**6)))
    noise = draw(st.sampled_from([0.01, 0.05, 0.3]))
    values = [value * rng.lognormvariate(0, noise) for value in ordinary(draw(st.integers(50, 110)))]
    whole: list[float | None] = [round(value) for value in values]
    for number in draw(st.lists(st.integers(0, len(whole) - 1), max_size=25)):
        whole[number] = draw(st.sampled_from([None, 0.0, 1e9, 300.0, -1.0]))
    return whole


@settings(max_examples=60)
@given(series(), st.integers(1, 60), st.booleans())
def test_verdicts_do_not_change_when_later_days_arrive(
    values: list[float | None], later: int, is_count: bool
) -> None:
    rows = dated(values)
    whole = judge_series(rows, is_count=is_count)
    until = judge_series(rows[:-later], is_count=is_count)
    assert until == whole[: len(until)]
    if rows[:-later] and whole:
        newest = rows[:-later][-1][0]
        assert [verdict for verdict in whole if verdict.day <= newest] == until


def test_time_grows_with_the_number_of_days() -> None:
    assert growth_of_cpu_time(lambda days: judge_series(dated(list(ordinary(days)))), 1_000) < LINEAR
