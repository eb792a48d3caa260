"""Runs the checks of daily series: queries in, verdicts out. The newest day is an argument; later rows are ignored."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from statistics import fmean
from typing import Any

from sluice.tooling.monitors.anomalies import Verdict, judge_series
from sluice.tooling.monitors.checks import (
    AnomaliesCheck,
    ErrorRateCheck,
    Figure,
    FreshnessCheck,
    ReconcileCheck,
    VolumeCheck,
)
from sluice.tooling.monitors.results import Result, number_text
from sluice.tooling.monitors.tables import Rows, Tables, as_day, as_number, ask_rows

Series = dict[str, dict[date, Decimal]]
"""Metric -> day -> value, days in order."""

_CHANCE = 3.1
"""Standard deviations by which a number of invalid records may exceed its average by chance."""

_DIGITS = 100
"""Sums are exact to so many digits; NUMERIC(38, 9) has fewer."""

_LEAST_DAYS = 3
"""Days that an average of error rates needs."""


def judge_anomalies(check: AnomaliesCheck, tables: Tables, as_of: date | None, where: str) -> list[Result]:
    """Return the verdicts on the days of each metric, and of each series if the check names a column for them."""
    results = []
    for metric, (column, values) in _series(check, tables, as_of, where).items():
        days = [(day, float(value)) for day, value in values.items()]
        verdicts = judge_series(days, is_count=check.metrics[column] == "count")
        results += [_anomaly(metric, verdict) for verdict in verdicts]
    return results


def _anomaly(metric: str, verdict: Verdict) -> Result:
    usual = f"{number_text(verdict.low)} to {number_text(verdict.high)}"
    day = f"{verdict.day:%A}, {verdict.day}"
    observed = "has no row" if verdict.kind == "missing" else f"is {number_text(verdict.observed)}"
    return Result(
        metric=metric,
        day=verdict.day,
        kind=verdict.kind,
        observed=verdict.observed,
        expected=verdict.expected,
        low=verdict.low,
        high=verdict.high,
        severity=verdict.severity,
        explanation=f"{metric} of {day} {observed}; usual is {usual}, expected {number_text(verdict.expected)}",
    )


def _series(
    check: AnomaliesCheck | VolumeCheck, tables: Tables, as_of: date | None, where: str
) -> dict[str, tuple[str, dict[date, Decimal]]]:
    """Return metric -> its column, and day -> value, days in order; values of several rows of a day are added."""
    needed = ["day", *check.metrics, *([check.series] if check.series else [])]
    rows = ask_rows(tables, check.query, where, needed)
    sums: dict[tuple[str, str], dict[date, Decimal]] = {}
    for row in sorted_by_day(rows, as_of, where):
        for column in check.metrics:
            value = as_number(row[column.lower()], f"{where}: {row['day']}: {column}")
            if value is not None:
                key = (column, "" if check.series is None else str(row[check.series.lower()]))
                days = sums.setdefault(key, {})
                days[row["day"]] = days.get(row["day"], Decimal(0)) + value
    return {f"{column}[{of}]" if of else column: (column, days) for (column, of), days in sums.items()}


def sorted_by_day(rows: Rows, as_of: date | None, where: str) -> Iterator[dict[str, Any]]:
    """Yield rows in the order of their days, without those after `as_of`; the column `day` becomes a date."""
    dated = [row | {"day": as_day(row["day"], where)} for row in rows]
    yield from sorted(
        (row for row in dated if as_of is None or row["day"] <= as_of), key=lambda row: row["day"]
    )


def judge_reconciliation(
    check: ReconcileCheck, tables: Tables, as_of: date | None, where: str
) -> list[Result]:
    """Return a verdict for each figure of each row; of a day that one layer lacks, on its first figure alone."""
    columns = [
        column.lower()
        for figure in check.figures.values()
        for column in (figure.before, *figure.explained, figure.after)
    ]
    results = []
    for row in sorted_by_day(ask_rows(tables, check.query, where, ["day", *columns]), as_of, where):
        numbers = {column: as_number(row[column], f"{where}: {row['day']}: {column}") for column in columns}
        for name, figure in check.figures.items():
            with localcontext(prec=_DIGITS):
                result = _balance(name, figure, row["day"], numbers)
            results.append(result)
            if result.kind is not None and "" in (result.before, result.after):
                break
    return results


def _balance(name: str, figure: Figure, day: date, numbers: Mapping[str, Decimal | None]) -> Result:
    before, after = numbers[figure.before.lower()], numbers[figure.after.lower()]
    parts = {column: numbers[column.lower()] or Decimal(0) for column in figure.explained}
    explained = sum(parts.values(), Decimal(0))
    expected = (before or Decimal(0)) - explained
    difference = expected - (after or Decimal(0))
    one_layer = (before is None) != (after is None)
    unbalanced = one_layer or abs(difference) > figure.tolerance
    named = ", ".join(f"{column} {_exact(value)}" for column, value in parts.items())
    said = f"{figure.before} {_exact(before)}, less {named or 'nothing'}, should be {figure.after} {_exact(after)}"
    more = "only one layer has the day" if one_layer else f"the difference is {_exact(difference)}"
    return Result(
        metric=name,
        day=day,
        kind="unbalanced" if unbalanced else None,
        observed=None if after is None else float(after),
        expected=float(expected),
        low=float(expected - figure.tolerance),
        high=float(expected + figure.tolerance),
        severity=1 + float(abs(difference) / max(abs(before or Decimal(0)), Decimal(1)))
        if unbalanced
        else 0.0,
        explanation=f"{name} of {day} does not balance: {said}; {more}",
        before=_exact(before, ""),
        explained=_exact(explained),
        after=_exact(after, ""),
        difference=_exact(difference),
    )


def _exact(value: Decimal | None, null: str = "NULL") -> str:
    return null if value is None else f"{value.normalize() + Decimal(0):f}"


def judge_freshness(
    check: FreshnessCheck, tables: Tables, as_of: date | None, now: datetime, where: str
) -> list[Result]:
    """Return a verdict for each row: how old its newest time is, now or at the end of the day `as_of`."""
    at = now if as_of is None else min(now, datetime.combine(as_of + timedelta(days=1), time(), UTC))
    results = []
    for row in ask_rows(tables, check.query, where, ["newest"]):
        metric = str(row.get("series", "age"))
        newest = _instant(row["newest"], where)
        hours = None if newest is None else (at - newest).total_seconds() / 3600
        most = check.max_age / 3600
        is_stale = hours is None or hours > most
        said = "is unknown" if hours is None else f"is {hours:,.1f} hours old"
        results.append(
            Result(
                metric=metric,
                day=as_of,
                kind="stale" if is_stale else None,
                observed=hours,
                high=most,
                severity=math.inf if hours is None else max(hours, 0.0) / most if most else 1.0,
                explanation=f"the newest of {check.name} ({metric}) {said}; usual is at most {most:,.1f} hours",
            )
        )
    return results


def _instant(value: Any, where: str) -> datetime | None:
    """Return the time in a value of a result; a day is its end, in UTC."""
    if value is None:
        return None
    day = as_day(value, where)
    if isinstance(value, str) and len(value.strip()) > len("2026-12-31"):
        value = datetime.fromisoformat(value.strip())
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def judge_volume(check: VolumeCheck, tables: Tables, as_of: date | None, where: str) -> list[Result]:
    """Return a verdict for each day of each metric: whether it is within the bounds."""
    low, high = check.at_least, check.at_most
    results = []
    for metric, (_, values) in _series(check, tables, as_of, where).items():
        for day, exact in values.items():
            value = float(exact)
            is_usual = (low is None or value >= low) and (high is None or value <= high)
            bounds = [f"at least {number_text(low)}"] if low is not None else []
            bounds += [f"at most {number_text(high)}"] if high is not None else []
            results.append(
                Result(
                    metric=metric,
                    day=day,
                    kind=None if is_usual else "volume",
                    observed=value,
                    low=low,
                    high=high,
                    severity=0.0 if is_usual else 1.0,
                    explanation=f"{metric} of {day} is {number_text(value)}; usual is {' and '.join(bounds)}",
                )
            )
    return results


def judge_error_rates(check: ErrorRateCheck, tables: Tables, as_of: date | None, where: str) -> list[Result]:
    """Return a verdict for each day of each series: its share of invalid records."""
    needed = ["day", "total", "invalid", *([check.series] if check.series else [])]
    by_series: dict[str, list[tuple[date, float, float]]] = defaultdict(list)
    for row in sorted_by_day(ask_rows(tables, check.query, where, needed), as_of, where):
        total, invalid = (
            float(as_number(row[name], f"{where}: {row['day']}: {name}") or 0)
            for name in ("total", "invalid")
        )
        by_series[str(row[check.series.lower()]) if check.series else "all"].append(
            (row["day"], total, invalid)
        )
    return [result for series, days in by_series.items() for result in _rates(check, series, days)]


def _rates(check: ErrorRateCheck, series: str, days: Sequence[tuple[date, float, float]]) -> Iterator[Result]:
    usual: list[float] = []
    for day, total, invalid in days:
        rate = invalid / total if total else 0.0
        average = fmean(usual[-check.average_days :]) if len(usual) >= _LEAST_DAYS else None
        limits = [check.at_most] if check.at_most is not None else []
        if check.times_average is not None and average is not None and total >= check.least_records:
            chance = _CHANCE * math.sqrt(average * (1 - average) / total) + 1 / total
            limits.append(max(average * check.times_average, average + chance))
        high = min(limits, default=None)
        is_usual = high is None or rate <= high
        if is_usual:
            usual.append(rate)
        said = "nothing is known yet" if high is None else f"usual is at most {high:.2%}"
        yield Result(
            metric=series,
            day=day,
            kind=None if is_usual else "error_rate",
            observed=rate,
            expected=average,
            high=high,
            severity=rate / high if high else (0.0 if is_usual else math.inf),
            explanation=f"{rate:.2%} of {number_text(total)} records of {series} on {day} are invalid; {said}",
        )
