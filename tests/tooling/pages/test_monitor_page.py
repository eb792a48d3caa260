"""The page of a monitor: its figures are those of the JSON document, and whatever comes from data is text."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from sluice.tooling.monitors.checks import AnomaliesCheck, Check, FreshnessCheck, Monitor
from sluice.tooling.monitors.files import make_document
from sluice.tooling.monitors.results import Result
from sluice.tooling.monitors.run import CheckRun, MonitorRun
from sluice.tooling.pages.monitor_page import page_number, render_monitor_page

from tests.tooling.pages.html_page import Page
from tests.tooling.pages.test_run_page import HOSTILE, HOSTILE_SHOWN

FIRST = date(2026, 1, 5)
NOW = 1_796_000_000.0
NUMBERS = ("observed", "expected", "low", "high", "severity")
DAILY = AnomaliesCheck(
    name="daily",
    query="select 1",
    metrics={"revenue": "amount"},
    where="table of {day}",
    command="sluice x {day}",
)
LOADS = FreshnessCheck(name="loads", query="select 1", max_age=3600)


def result(number: int, *, metric: str = "revenue", kind: str | None = None) -> Result:
    return Result(
        metric=metric,
        day=FIRST + timedelta(days=number),
        kind=kind,
        observed=None if kind == "missing" else 1234.5 + number,
        expected=1200.25,
        low=0.012345,
        high=2000,
        severity=float("inf") if kind == "missing" else 1.5 if kind else 0.1,
        explanation=f"{metric} of {number} is {kind}",
    )


def stale(metric: str = "age") -> Result:
    return Result(metric=metric, day=None, kind="stale", observed=30.5, high=26, explanation="old")


def run(*results: Result, check: Check = DAILY, failure: str = "") -> MonitorRun:
    monitor = Monitor(name="shop", checks=(DAILY, LOADS))
    checks = (CheckRun(check, results), CheckRun(LOADS, () if failure else (stale(),), failure))
    return MonitorRun(monitor, FIRST + timedelta(days=60), checks)


def test_figures_are_those_of_the_document() -> None:
    watched = run(*(result(number, kind={3: "high", 50: "missing"}.get(number)) for number in range(60)))
    document = make_document(watched)
    page = Page(render_monitor_page(watched, NOW))
    assert page.figures == {"found": "3", "judged": "61"}
    assert page.rows["found"] == [
        [
            finding["check"],
            finding["metric"],
            str(finding["day"] or "now"),
            finding["kind"],
            *(page_number(finding[name]) for name in NUMBERS),
        ]
        for finding in document["findings"]
    ]
    assert page.rows["asked"] == [
        [check["name"], check["type"], str(check["judged"]), str(check["found"])]
        for check in document["checks"]
    ]
    assert "until 2026-03-06" in page.text
    assert "judged 2026-11-30 00:53:20 UTC" in page.text
    assert "see table of 2026-01-08" in page.text
    assert "sluice x 2026-01-08" in page.text
    assert page.tags["svg"] == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (float("inf"), "–"),
        (0.0, "0"),
        (1234567, "1,234,567"),
        (-2.345, "-2.35"),
        (1234.5, "1,234.50"),
        (0.0123456, "0.01235"),
    ],
)
def test_number_is_shown_with_what_matters(value: float | None, shown: str) -> None:
    assert page_number(value) == shown


def test_check_that_could_not_be_asked_is_said() -> None:
    page = Page(render_monitor_page(run(result(0), failure=f"{HOSTILE} is gone"), NOW))
    assert f"loads could not be asked: {HOSTILE_SHOWN} is gone" in page.text
    assert "Findings\nNone." in page.text


def test_nothing_judged_is_said() -> None:
    assert "Nothing was judged." in Page(render_monitor_page(run(failure="gone"), NOW)).text


def test_hostile_names_are_text() -> None:
    harmless = Page(render_monitor_page(run(result(0), result(1, kind="high")), NOW))
    hostile = run(result(0, metric=HOSTILE), result(1, metric=HOSTILE, kind="high"))
    page = Page(render_monitor_page(hostile, NOW))
    assert (page.tags, page.attributes) == (harmless.tags, harmless.attributes)
    assert not {"script", "img", "iframe", "a", "link", "object"} & page.tags.keys()
    assert not set("\u202e\u2066\x1b") & set(page.text)
    assert (
        page.text.count(HOSTILE_SHOWN) == 4
    )  # heading and sentence of the finding, its row, heading of the series


def test_page_refers_to_nothing_outside() -> None:
    html = render_monitor_page(run(result(0), result(1, kind="high")), NOW)
    assert not re.search(r"(?i)https?://|//\w|\bsrc=|\bhref=|url\(|@import|<script|\son\w+=", html)
    assert "default-src 'none'" in html


def test_page_of_many_long_series_with_many_findings_is_small() -> None:
    results = [
        result(number, metric=f"{series}", kind="high" if number % 9 == series % 9 else None)
        for series in range(100)
        for number in range(400)
    ]
    results += [result(number, metric="\u0416" * 10_000, kind="low") for number in range(100)]
    html = render_monitor_page(run(*results), NOW)
    assert len(html.encode()) < 2_500_000
    assert html.count("<svg") == 60
    assert html.count('<th scope="row"') == 500 + 2 + 60 * 42  # findings, checks, newest days
    assert "42 more series, with fewer findings or none" in html
    assert "findings.csv and --json have the others." in html
