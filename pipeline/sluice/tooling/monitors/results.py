"""The verdict of a check on one thing, and the finding that it makes if it is unusual."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sluice.tooling.monitors.checks import Check
from sluice.tooling.monitors.finding import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a check says of a metric on a day: usual if `kind` is None."""

    metric: str
    day: date | None
    kind: str | None
    observed: float | None = None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    severity: float = 0.0
    explanation: str = ""
    before: str = ""
    """Of a comparison of layers, exact: the figure before, what is explained, the figure after and their difference."""
    explained: str = ""
    after: str = ""
    difference: str = ""


def finding_of(monitor: str, check: Check, result: Result) -> Finding:
    """Return the finding that an unusual result is."""
    assert result.kind is not None
    day = "" if result.day is None else result.day.isoformat()
    return Finding(
        monitor=monitor,
        check=check.name,
        metric=result.metric,
        day=result.day,
        kind=result.kind,
        observed=result.observed,
        expected=result.expected,
        low=result.low,
        high=result.high,
        severity=result.severity,
        explanation=result.explanation,
        where=check.where.replace("{day}", day),
        command=check.command.replace("{day}", day),
    )


def number_text(value: float | None) -> str:
    """Return a number as explanations have it: thousands apart, two decimals if it is not whole."""
    if value is None:
        return "nothing"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
