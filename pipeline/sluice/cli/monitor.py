"""`sluice monitor`."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.cli.command import Command, Options
from sluice.cli.output import print_failure, print_json, print_line, printable
from sluice.cli.report_file import prepare_report_file, write_page
from sluice.config.durations import day_or_yesterday
from sluice.config.options import local_path
from sluice.errors import SluiceError

if TYPE_CHECKING:
    from sluice.tooling.alerts import AlertRules
    from sluice.tooling.monitors.run import MonitorRun

NOTHING, FOUND, FAILED = 0, 1, 2
"""Exit codes: nothing was found, something was found, something could not be done."""

_SHOWN = 20
"""Findings that the terminal shows; the files have them all."""


def _monitor(options: Options, _: list[str]) -> int:
    try:
        return _run(options)
    except (SluiceError, OSError) as error:
        print_failure(error)
        return FAILED


def _run(options: Options) -> int:
    from sluice.clock import system_clock
    from sluice.tooling.alerts import read_alerts
    from sluice.tooling.monitors.files import make_document, write_files
    from sluice.tooling.monitors.reading import load_monitor
    from sluice.tooling.monitors.run import job_of, open_tables, run_monitor
    from sluice.tooling.monitors.storing import store_results
    from sluice.tooling.pages.monitor_page import render_monitor_page
    from sluice.warehouses import Queryable

    now = system_clock()
    as_of = None if options.as_of is None else day_or_yesterday(options.as_of, "--as-of", now)
    monitor = load_monitor(local_path(options.monitor, "FILE"))
    out = None if options.out is None else Path(local_path(options.out, "--out"))
    page = None if options.html is None else Path(local_path(options.html, "--html"))
    if page is not None:
        prepare_report_file(page)
    rules = read_alerts(monitor.alerts, f"{monitor.path}: alerts")
    job = job_of(monitor, options.warehouse)
    tables = open_tables(monitor, job, options.warehouse)
    run = run_monitor(monitor, tables, as_of, now, job)
    if out is not None:
        write_files(run, out)
    if page is not None:
        write_page(render_monitor_page(run, now), page)
    if options.json:
        print_json(make_document(run))
    else:
        _print(run)
    for failure in run.failures:
        print_failure(SluiceError(failure))
    _send(run, rules, options.state or f"out/monitors/{monitor.name}")
    if isinstance(tables, Queryable):
        store_results(run, tables, now)
    return FAILED if run.failures else FOUND if run.findings else NOTHING


def _send(run: MonitorRun, rules: AlertRules, state: str) -> None:
    """Send what was found to the channels of the monitor, and print what became of it."""
    from sluice.config.urls import Url
    from sluice.storage import open_store
    from sluice.tooling.alerts import AlertState, Scope, deliver

    if not rules.channels:
        return
    asked = [check.check.name for check in run.checks if not check.failure]
    scope = Scope(run.monitor.name, asked, last_day=run.as_of)
    store = open_store(Url(state, where="--state"))
    for delivery in deliver(run.findings, rules, AlertState(store), scope):
        with suppress(OSError, ValueError):  # it is sent, whether or not anybody can read that
            print(printable(f"sluice: {delivery}"), file=sys.stderr)


def _print(run: MonitorRun) -> None:
    findings = run.findings
    for finding in findings[:_SHOWN]:
        more = [f"see {finding.where}"] if finding.where else []
        more += [f"try: {finding.command}"] if finding.command else []
        print_line("; ".join([f"{finding.kind:<10} {finding.explanation}", *more]))
    if len(findings) > _SHOWN:
        print_line(f"… and {len(findings) - _SHOWN:,} more, which --out or --json shows")
    judged = sum(len(check.results) for check in run.checks)
    until = "" if run.as_of is None else f" until {run.as_of}"
    print_line(f"{run.monitor.name}: {len(findings):,} found in {judged:,} verdicts{until}")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("monitor", metavar="FILE", help="monitor file, such as monitors/commerce.yaml")
    parser.add_argument(
        "--as-of",
        metavar="DAY",
        help="newest day, such as 2026-12-31, or yesterday, in UTC; later rows are ignored (default: all rows)",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="where alerts.csv, reconciliation.csv and findings.csv are written"
    )
    parser.add_argument(
        "--html", metavar="FILE", help="write series, usual ranges and findings here as a page, in HTML"
    )
    parser.add_argument(
        "--state",
        metavar="URL",
        help="folder or bucket that remembers what was sent (default: out/monitors/NAME)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print everything that was found as one JSON document"
    )
    parser.add_argument("--warehouse", metavar="URL", help="warehouse that is asked (default: the monitor's)")


MONITOR = Command(
    name="monitor",
    summary="run a monitor: find unusual days, layers that do not balance, stale tables and error rates",
    example="sluice monitor monitors/commerce.yaml --out out/monitor",
    add_options=_add_options,
    run=_monitor,
)
