"""The page of a monitor: what it found, and each series with its usual range, in one file of HTML."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from sluice.tooling.monitors.files import make_document
from sluice.tooling.monitors.results import Result
from sluice.tooling.monitors.run import CheckRun, MonitorRun
from sluice.tooling.pages.rendering import csp_source, cut_text, page_asset, page_templates
from sluice.tooling.pages.series_chart import SeriesChart, draw_series

_LONGEST_TEXT, _LONGEST_NAME = 1000, 120
_EXPLAINED = 10
"""Findings with their sentence and the command that helps; further ones are rows of a table."""

_MOST_FINDINGS = 500
_MOST_SERIES = 60
_TABLE_DAYS = 42


@dataclass(frozen=True, slots=True)
class _Series:
    """A metric of a check: its drawing, its newest days, and how many were judged and found."""

    check: str
    metric: str
    chart: SeriesChart | None
    newest: Sequence[Result]
    judged: int
    found: int


def render_monitor_page(run: MonitorRun, now: float) -> str:
    """Return the page of a run of a monitor; `now` is when it ran, in epoch seconds.

    Its figures are those of the JSON document. The page loads nothing, runs no script, and shows names and values from
    data as text. A page of many series draws the 60 with the most findings.
    """
    document = make_document(run)
    series = sorted(_series(run.checks), key=lambda each: -each.found)
    return (
        _templates()
        .get_template("monitor.html")
        .render(
            monitor=run.monitor.name,
            as_of=run.as_of,
            judged_at=datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            judged=sum(check["judged"] for check in document["checks"]),
            found=len(document["findings"]),
            checks=[{**check, "failure": _text(check["failure"])} for check in document["checks"]],
            findings=[_shown(finding) for finding in document["findings"][:_MOST_FINDINGS]],
            explained=_EXPLAINED,
            series=series[:_MOST_SERIES],
            more_series=len(series[_MOST_SERIES:]),
            style=_style(),
            style_source=csp_source(_style()),
        )
    )


def _series(checks: Sequence[CheckRun]) -> Iterator[_Series]:
    for run in checks:
        by_metric: dict[str, list[Result]] = defaultdict(list)
        for result in run.results:
            by_metric[result.metric].append(result)
        for metric, results in by_metric.items():
            found = sum(result.kind is not None for result in results)
            newest = results[: -_TABLE_DAYS - 1 : -1]
            name = cut_text(metric, _LONGEST_NAME)
            yield _Series(run.check.name, name, draw_series(results), newest, len(results), found)


def _shown(finding: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _text(value) if isinstance(value, str) else value for name, value in finding.items()}


def _text(value: str | None) -> str | None:
    return None if value is None else cut_text(value, _LONGEST_TEXT)


def page_number(value: float | None) -> str:
    """Return a number as the page has it: two decimals, or four digits of a small one; – for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"


@cache
def _templates() -> Environment:
    templates = page_templates("sluice.tooling.pages")
    templates.filters["value"] = page_number
    return templates


@cache
def _style() -> Markup:
    return page_asset(_templates(), "page.css", "monitor.css")
