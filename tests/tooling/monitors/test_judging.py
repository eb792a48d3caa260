"""Checks on tables: exact balances, freshness, volume and error rates, and rows after the newest day left out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sluice.errors import ConfigError
from sluice.tooling.monitors.checks import (
    AnomaliesCheck,
    ErrorRateCheck,
    Figure,
    FreshnessCheck,
    ReconcileCheck,
    VolumeCheck,
)
from sluice.tooling.monitors.judging import (
    judge_anomalies,
    judge_error_rates,
    judge_freshness,
    judge_reconciliation,
    judge_volume,
)
from sluice.tooling.monitors.results import Result

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Answer:
    """Tables that give one answer."""

    def __init__(self, *rows: Mapping[str, Any]) -> None:
        self._rows = rows

    def ask(self, _: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        return list(self._rows[0]), [tuple(row.values()) for row in self._rows]


RECONCILE = ReconcileCheck(
    name="layers",
    query="…",
    figures={
        "rows": Figure(before="raw", explained=("rejected", "repeated"), after="done", tolerance=Decimal(0)),
        "revenue": Figure(
            before="raw_revenue", explained=("gone",), after="revenue", tolerance=Decimal("0.005")
        ),
    },
)


def layers(*values: Any, day: Any = "2026-01-05") -> dict[str, Any]:
    names = ("raw", "rejected", "repeated", "done", "raw_revenue", "gone", "revenue")
    return dict(zip(("day", *names), (day, *values), strict=True))


def unusual(results: list[Result]) -> list[str]:
    return [result.metric for result in results if result.kind is not None]


NINES = "99999999999999999999999999999.999999999"
BALANCES = {
    "balanced": (layers("10", "1", "2", "7", "5.00", "0.50", "4.50"), []),
    "explained is NULL": (layers("7", None, None, "7", "5", None, "5"), []),
    "one row too few": (layers("10", "1", "2", "6", "5", "0", "5"), ["rows"]),
    "one row too many": (layers("10", "1", "2", "8", "5", "0", "5"), ["rows"]),
    "at the tolerance": (layers("1", "0", "0", "1", "5.005", "0", "5.000"), []),
    "at the tolerance, below": (layers("1", "0", "0", "1", "5.000", "0", "5.005"), []),
    "above the tolerance": (layers("1", "0", "0", "1", "5.0051", "0", "5.000"), ["revenue"]),
    "both": (layers("1", "0", "0", "2", "5", "0", "10"), ["rows", "revenue"]),
    "raw alone": (layers("5", "0", "0", None, "5", "0", None), ["rows"]),
    "raw alone, of explained rows": (layers("5", "5", "0", None, "5", "5", None), ["rows"]),
    "transformed alone": (layers(None, None, None, "5", None, None, "5"), ["rows"]),
    "transformed alone, of no rows": (layers(None, None, None, "0", None, None, "0"), ["rows"]),
    "revenue of one layer alone": (layers("1", "0", "0", "1", "5", "0", None), ["revenue"]),
    "no layer": (layers(*[None] * 7), []),
    "negative revenue": (layers("1", "0", "0", "1", "-5.00", "0", "-5.00"), []),
    "more digits than a float": (layers("1", "0", "0", "1", NINES, "0.007", NINES), ["revenue"]),
    "numbers, not texts": (layers(10, 1, 2, 7, Decimal("5.00"), 0.5, 4.5), []),
}


@pytest.mark.parametrize(("row", "figures"), BALANCES.values(), ids=BALANCES)
def test_day_balances_exactly_or_is_found_by_its_figure(row: dict[str, Any], figures: list[str]) -> None:
    assert unusual(judge_reconciliation(RECONCILE, Answer(row), None, "m.yaml")) == figures


def test_faults_of_two_days_that_cancel_out_are_two_faults() -> None:
    rows = (
        layers("10", "0", "0", "9", "10", "0", "9", day="2026-01-05"),
        layers("10", "0", "0", "11", "10", "0", "11", day="2026-01-06"),
    )
    results = judge_reconciliation(RECONCILE, Answer(*rows), None, "m.yaml")
    assert [(str(result.day), result.metric, result.difference) for result in results] == [
        ("2026-01-05", "rows", "1"),
        ("2026-01-05", "revenue", "1"),
        ("2026-01-06", "rows", "-1"),
        ("2026-01-06", "revenue", "-1"),
    ]


def test_rows_after_the_newest_day_are_ignored() -> None:
    rows = (
        layers("1", "0", "0", "0", "0", "0", "0", day=day)
        for day in ("2026-01-07", "2026-01-05", "2026-01-06")
    )
    results = judge_reconciliation(RECONCILE, Answer(*rows), date(2026, 1, 6), "m.yaml")
    assert [str(result.day) for result in results if result.kind] == ["2026-01-05", "2026-01-06"]


def test_explanation_of_a_day_that_does_not_balance() -> None:
    row = layers("10", "1", "2", "6", "5", "0", "5")
    result = judge_reconciliation(RECONCILE, Answer(row), None, "m.yaml")[0]
    assert result.explanation == (
        "rows of 2026-01-05 does not balance: raw 10, less rejected 1, repeated 2, should be done 6; "
        "the difference is 1"
    )
    assert (result.before, result.explained, result.after, result.difference) == ("10", "3", "6", "1")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            layers("ten", "0", "0", "0", "0", "0", "0"),
            "m.yaml: 2026-01-05: raw: expected a number, got 'ten'",
        ),
        (
            layers("NaN", "0", "0", "0", "0", "0", "0"),
            "m.yaml: 2026-01-05: raw: expected a number, got 'NaN'",
        ),
        (layers(*["0"] * 7, day="soon"), "m.yaml: day: expected a day, such as 2026-12-31, got 'soon'"),
        ({"day": "2026-01-05"}, "m.yaml: query: expected a column raw, got day"),
    ],
)
def test_values_that_cannot_be_read_are_errors(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        judge_reconciliation(RECONCILE, Answer(row), None, "m.yaml")
    assert str(raised.value) == message


def test_rows_of_one_day_are_added_and_series_are_judged_apart() -> None:
    check = AnomaliesCheck(name="c", query="…", metrics={"events": "count"}, series="type")
    days = [date.fromordinal(date(2026, 1, 5).toordinal() + number) for number in range(50)]
    rows = [
        {"day": day, "TYPE": of, "Events": number} for day in days for of, number in (("a", 500), ("b", 50))
    ]
    rows.append({"day": days[45], "TYPE": "b", "Events": 50})
    results = judge_anomalies(check, Answer(*rows), None, "m.yaml")
    assert len(results) == 16
    assert [
        (result.metric, result.day, result.kind, result.observed) for result in results if result.kind
    ] == [("events[b]", days[45], "high", 100.0)]
    (found,) = (result for result in results if result.kind)
    assert found.explanation.startswith("events[b] of Thursday, 2026-02-19 is 100; usual is ")


def test_day_whose_value_is_null_is_missing() -> None:
    check = AnomaliesCheck(name="c", query="…", metrics={"revenue": "amount"})
    days = [date.fromordinal(date(2026, 1, 5).toordinal() + number) for number in range(50)]
    rows = [{"day": day, "revenue": None if day == days[44] else 10} for day in days]
    results = judge_anomalies(check, Answer(*rows), None, "m.yaml")
    assert [(result.day, result.kind) for result in results if result.kind] == [(days[44], "missing")]


FRESHNESS = FreshnessCheck(name="loads", query="…", max_age=26 * 3600.0)


@pytest.mark.parametrize(
    ("newest", "as_of", "kind"),
    [
        (datetime(2026, 11, 28, 10, tzinfo=UTC), None, None),
        (datetime(2026, 11, 28, 9, 59, tzinfo=UTC), None, "stale"),
        ("2026-11-28 10:00:00", None, None),
        ("2026-11-28T09:00:00Z", None, "stale"),
        (date(2026, 11, 28), None, None),
        (date(2026, 11, 27), None, "stale"),
        (None, None, "stale"),
        (date(2026, 1, 5), date(2026, 1, 6), None),
        (date(2026, 1, 4), date(2026, 1, 6), "stale"),
    ],
)
def test_newest_time_is_stale_when_it_is_too_old(newest: Any, as_of: date | None, kind: str | None) -> None:
    (result,) = judge_freshness(FRESHNESS, Answer({"newest": newest}), as_of, NOW, "m.yaml")
    assert result.kind == kind


def test_volume_is_compared_with_bounds() -> None:
    check = VolumeCheck(name="v", query="…", metrics={"rows": "count"}, at_least=10, at_most=20)
    rows = ({"day": f"2026-01-0{at}", "rows": rows} for at, rows in enumerate((9, 10, 20, 21), 1))
    results = judge_volume(check, Answer(*rows), None, "m.yaml")
    assert [result.kind for result in results] == ["volume", None, None, "volume"]
    assert results[0].explanation == "rows of 2026-01-01 is 9; usual is at least 10 and at most 20"


def rates(check: ErrorRateCheck, *invalid: int, total: int = 1000) -> list[str | None]:
    rows = (
        {"day": date(2026, 1, at), "total": total, "invalid": number} for at, number in enumerate(invalid, 1)
    )
    return [result.kind for result in judge_error_rates(check, Answer(*rows), None, "m.yaml")]


def test_error_rate_is_compared_with_a_limit() -> None:
    check = ErrorRateCheck(name="e", query="…", at_most=0.05)
    assert rates(check, 50, 51, 0) == [None, "error_rate", None]


def test_error_rate_is_compared_with_its_average_and_faults_stay_out_of_it() -> None:
    check = ErrorRateCheck(name="e", query="…", times_average=2)
    assert rates(check, 20, 20, 20, 41, 41, 40, 20) == [
        None,
        None,
        None,
        "error_rate",
        "error_rate",
        None,
        None,
    ]


def test_error_rate_of_few_records_may_vary_by_chance() -> None:
    check = ErrorRateCheck(name="e", query="…", times_average=2)
    assert rates(check, 1, 1, 1, 3, total=50) == [None] * 4
    assert rates(check, 0, 0, 0, 1, total=10) == [None] * 4
    assert rates(check, 0, 0, 0, 10, total=50) == [None] * 3 + ["error_rate"]
