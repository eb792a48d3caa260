from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import pytest
from sluice.acknowledgements import PendingAcks
from sluice.config.job import load_job
from sluice.elements import StepCounts
from sluice.run_state import RunState
from sluice.runtime.dashboard import (
    Chart,
    Dashboard,
    Sample,
    TypeFigures,
    rates,
    type_figures,
    window_table,
)

SECOND = 1_000_000

HOSTILE = "<script>alert(1)</script>\"'&\u202e" + "x" * 10_000


def dashboard(run: RunState, stalls: Sequence[str] = (), seconds: float = 0.0) -> Dashboard:
    job = load_job(
        "jobs/backend_events.yaml",
        {"source": "s3://KEY:SECRET@bucket/events/*", "warehouse": "duckdb:///w.duckdb"},
    )
    return Dashboard(job, run, lambda: stalls, clock=lambda: 1_750_000_000.0, monotonic=lambda: seconds)


@pytest.mark.parametrize(
    ("samples", "read", "rejected"),
    [
        ([(0, 0, 0)], 0, 0),
        ([(0, 0, 0), (1, 500, 5)], 500, 5),
        ([(0, 0, 0), (1, 500, 5), (11, 20_500, 105)], 2000, 10),
        ([(0, 0, 0), (100, 1000, 0), (200, 1000, 0)], 0, 0),
    ],
)
def test_rates_are_those_of_the_last_ten_seconds(
    samples: list[tuple[float, int, int]], read: float, rejected: float
) -> None:
    assert rates([Sample(*sample) for sample in samples]) == (read, rejected)


def test_chart_draws_the_rate_of_each_five_seconds_up_to_the_highest() -> None:
    chart = Chart([Sample(at, read, 0) for at, read in [(0, 0), (4, 100), (5, 1000), (10, 1500)]])
    assert chart.highest == 200
    assert chart.points == "595.0,0.0 600.0,60.0"


def test_chart_of_a_run_that_has_just_begun_is_empty() -> None:
    chart = Chart([Sample(0, 0, 0)])
    assert (chart.highest, chart.points) == (0, "")


def test_windows_are_shown_newest_first_with_the_most_frequent_types() -> None:
    events = Counter({f"type_{number}": 10 - number for number in range(10)})
    table = window_table([(0, 10 * SECOND, Counter({"type_3": 1})), (10 * SECOND, 20 * SECOND, events)])
    assert table.event_types == [
        "type_0", "type_1", "type_3", "type_2", "type_4", "type_5", "type_6", "type_7", "(others)",
    ]  # fmt: skip
    assert table.rows == [
        ("00:00:10", "00:00:20", [10, 9, 7, 8, 6, 5, 4, 3, 3]),
        ("00:00:00", "00:00:10", [0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ]


def test_last_window_that_has_a_time_is_shown() -> None:
    end = 253_402_300_800 * SECOND  # the year 10000
    table = window_table([(end - 10 * SECOND, end, Counter({"order": 1}))])
    assert table.rows == [("23:59:50", "23:59:59", [1])]


def test_types_are_shown_most_frequent_first() -> None:
    counts = Counter(
        {("accepted", "order"): 5, ("duplicates", "order"): 1, ("rejected", "audit"): 9, ("code", "range"): 9}
    )
    assert type_figures(counts) == [TypeFigures("audit", 0, 0, 9, 0), TypeFigures("order", 5, 1, 0, 0)]


def test_sample_is_taken_once_a_second() -> None:
    now, run = [0.0], RunState()
    job = load_job("jobs/backend_events.yaml")
    page = Dashboard(job, run, list, clock=lambda: 0.0, monotonic=lambda: now[0])
    for half_second, read in enumerate([0, 10, 10, 10, 10]):
        now[0] = half_second / 2
        run.totals.add(StepCounts({("read", ""): read}))
        page.sample()
    assert "read a second</dt><dd>20 " in page.figures()


def test_figures_show_what_stalls_and_what_waits() -> None:
    run = RunState(acks=PendingAcks(lambda: 0.0))
    run.acks.issue(1500, 2_500_000, lambda: None)
    run.over_limit.set()
    figures = dashboard(run, ["stalled: the runner last worked 31 s ago"]).figures()
    assert '<p class="bad">stalled: the runner last worked 31 s ago</p>' in figures
    assert '<p class="bad">more records were rejected than max_rejected allows</p>' in figures
    assert "<dd>1,500 <small>2.5 MB, the oldest for 0 s</small></dd>" in figures
    assert "<dd>not known <small>" in figures


def test_names_and_messages_are_shown_as_text_and_addresses_without_secrets() -> None:
    run = RunState()
    run.totals.add(StepCounts({("accepted", HOSTILE): 1, ("code", HOSTILE): 1}))
    page = dashboard(run, [HOSTILE])
    with page.listening():
        logging.getLogger("sluice").warning("%s", HOSTILE)
    html = page.page()
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;") == 4
    assert "<dt>source</dt><dd>s3://bucket/events/*</dd>" in html
    assert "SECRET" not in html


def test_only_the_latest_warnings_of_the_run_are_kept() -> None:
    page = dashboard(RunState())
    logger = logging.getLogger("sluice.retry")
    logger.warning("before the run")
    with page.listening():
        for number in range(12):
            logger.warning("try %d", number)
        logger.info("no warning")
    logger.warning("after the run")
    assert [text for _, text in page.messages.latest()] == [f"try {number}" for number in range(11, 1, -1)]
