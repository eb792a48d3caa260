"""`sluice run`, `sluice load` and `sluice redeliver`: the commands that run a graph and report on it."""

from __future__ import annotations

import argparse
import dataclasses
import os
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.addresses import mask_flags
from sluice.cli.command import Command, Options, positive
from sluice.cli.dead_letters import add_selection_options
from sluice.cli.job_options import add_job_options, read_job
from sluice.cli.output import print_json, print_line
from sluice.cli.report_file import (
    add_html_option,
    prepare_report_file,
    write_report_file,
    write_report_page,
)
from sluice.config.job import Job, with_contract
from sluice.config.options import local_path
from sluice.errors import ConfigError, RejectedError, UnreconciledError, quote

if TYPE_CHECKING:
    from sluice.graph.ledger import Report
    from sluice.runtime.submit import Submitted


_REPORTING = ("report", "html", "json", "quiet", "verbose", "metrics_port")
"""Options that say how a run reports."""

_TRIED = 1_000
"""Records that a dry run looks at."""


def _run(options: Options, beam_options: list[str]) -> int:
    job = _read_job(options, beam_options, "--dry-run" if options.dry_run else "", obeys=("json",))
    if options.dry_run:
        return _dry_run(job, options)

    from sluice.cli.console import ConsoleObserver
    from sluice.runtime.launch import run_job
    from sluice.runtime.listen_address import parse_listen_address
    from sluice.runtime.signals import signals_ignored_after

    address = options.metrics_port
    metrics = None if address is None else parse_listen_address(address, "--metrics-port", os.environ)
    observer = ConsoleObserver(quiet=options.quiet, verbose=options.verbose)
    with signals_ignored_after(observer.is_draining):
        outcome = run_job(job, beam_options, metrics=metrics, observer=observer, limit=options.limit)
        return _finish(outcome, job, options)


def _dry_run(job: Job, options: Options) -> int:
    from sluice.cli.dry_run import print_dry_run
    from sluice.clock import system_clock
    from sluice.tooling.dry_run import dry_run

    found = dry_run(job, options.limit or _TRIED, system_clock)
    if options.json:
        reasons = {name: reason._asdict() for name, reason in found.reasons.items()}
        print_json({**dataclasses.asdict(found), "reasons": reasons})
    else:
        print_dry_run(found)
    return 0


def _load(options: Options, beam_options: list[str]) -> int:
    instead = "--backfill" if options.backfill is not None else ""
    job = _read_job(options, beam_options, instead, obeys=("json", "quiet"))
    if options.backfill is not None:
        return _backfill(job, options)

    from sluice.cli.console import ConsoleObserver
    from sluice.runtime.launch import load_log

    return _finish(
        load_log(job, beam_options, observer=ConsoleObserver(quiet=options.quiet, verbose=options.verbose)),
        job,
        options,
    )


def _backfill(job: Job, options: Options) -> int:
    from sluice.runtime.backfill import backfill_column

    fills = backfill_column(job, options.backfill)
    if options.json:
        print_json([dataclasses.asdict(fill) for fill in fills])
        return 0
    for fill in fills if not options.quiet else ():
        unfit = (
            f"; {fill.unfit:,} stay as they were, since the column does not take their value"
            if fill.unfit
            else ""
        )
        print_line(f"{fill.table}.{fill.column}: {fill.rows:,} rows filled{unfit}")
    return 0


def _redeliver(options: Options, beam_options: list[str]) -> int:
    job = _read_job(options, beam_options, "--dry-run" if options.dry_run else "")

    from sluice.cli.console import ConsoleObserver, print_plan
    from sluice.clock import system_clock
    from sluice.runtime.launch import redeliver_dead_letters
    from sluice.sources.dead_letters.source import DeadLetterSource
    from sluice.tooling.redelivery_plan import plan_redelivery, read_selection

    for setting in options.set:
        job = with_contract(job, _contract_file(setting))
    started = system_clock()
    selection = read_selection(options.where, options.since, started)
    source = DeadLetterSource(job.dead_letters, selection, job.quarantine)
    plan = plan_redelivery(source)
    if options.dry_run or not (options.quiet or options.json):
        print_plan(plan, job, source.url)
    if options.dry_run:
        return 0
    if not plan.open:
        return _report_nothing(job, started, options)
    outcome = redeliver_dead_letters(
        job, source, beam_options, observer=ConsoleObserver(quiet=options.quiet, verbose=options.verbose)
    )
    return _finish(outcome, job, options)


def _report_nothing(job: Job, started: float, options: Options) -> int:
    """Make the report of a redelivery without dead letters, if one was asked for; no graph runs, nothing is opened."""
    if options.report is None and options.html is None and not options.json:
        return 0

    from sluice.clock import system_clock
    from sluice.elements import StepCounts
    from sluice.graph.outcome import report_of_job

    return _finish(
        report_of_job(StepCounts({}), job, uuid.uuid4().hex, started, system_clock()), job, options
    )


def _read_job(
    options: Options, beam_options: list[str], instead: str = "", *, obeys: Collection[str] = ()
) -> Job:
    """Read the job, import Beam for it, and find out before the run what options and report file would end it with.

    `instead` is the flag with which no graph is run; of the options of a run that command only `obeys` these.
    """
    from sluice.runtime.beam_import import import_beam

    job = read_job(options)
    import_beam(job.source, beam_options)

    from sluice.runtime.beam_options import check_beam_options

    check_beam_options(beam_options)
    if instead:
        names = [name for name in _REPORTING if name not in obeys and getattr(options, name, None)]
        given = [*(f"--{name.replace('_', '-')}" for name in names), *beam_options]
        if given:
            expected = "expected no options for a run or for Beam, since it runs no graph"
            message = f"{instead}: {expected}, got {mask_flags(given)}"
            raise ConfigError(message)
    if options.report is not None:
        prepare_report_file(Path(local_path(options.report, "--report")))
    if options.html is not None:
        prepare_report_file(Path(local_path(options.html, "--html")))
    return job


def _contract_file(setting: str) -> str:
    name, _, file = setting.partition("=")
    if name != "contract" or not file:
        message = f"--set: expected contract=FILE, got {quote(name)}; other keys have flags of their own"
        raise ConfigError(message)
    return file


def _finish(outcome: Report | Submitted, job: Job, options: Options) -> int:
    """Print and save the report of a run that ended, or say where that of a submitted one will be."""
    from sluice.cli.console import print_report
    from sluice.runtime.submit import Submitted

    if isinstance(outcome, Submitted):
        _print_submitted(outcome, job, options)
        return 0
    if options.report is not None:
        write_report_file(outcome, Path(options.report))
    if options.html is not None:
        write_report_page(outcome, Path(options.html))
    if options.json:
        print_json(outcome)
    elif not options.quiet:
        print_report(outcome, job)
    if not outcome.reconciled:
        message = f"{job.name}: the run ended, but its counts do not reconcile; see the report"
        raise UnreconciledError(message)
    if outcome.failure is not None:
        message = f"{job.name}: {outcome.failure}"
        raise RejectedError(message)
    return 0


def _print_submitted(submitted: Submitted, job: Job, options: Options) -> None:
    if options.json:
        print_json(submitted)
    elif not options.quiet:
        name = f" as {submitted.job_id}" if submitted.job_id else ""
        figures = f"its figures: sluice report {submitted.totals}"
        print_line(f"{job.name}: submitted to {submitted.runner}{name}; {figures}")


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_job_options(parser)
    parser.add_argument("--report", metavar="FILE", help="write the run report here, in JSON")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the run report on standard output as JSON, and nothing else there",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--quiet", action="store_true", help="print no progress and no report, but warnings and errors alone"
    )
    output.add_argument(
        "--verbose",
        action="store_true",
        help="print on standard error what a batch job reads and writes, and each phase with its time",
    )
    add_html_option(parser)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    _add_options(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="store nothing: say what would be read and written, and what the contracts say of the first "
        f"{_TRIED:,} records, or of as many as --limit says; the subscription of a topic of Pub/Sub is created if it "
        "does not exist",
    )
    parser.add_argument(
        "--limit",
        type=positive,
        metavar="N",
        help="read at most this many records, about as many of each file, and end; nothing is acknowledged",
    )
    parser.add_argument(
        "--metrics-port",
        metavar="PORT",
        help="streaming jobs on this machine: serve a live page, /metrics for Prometheus, /healthz and /readyz on this "
        "port of the loopback interface, or, as HOST:PORT, of another one, such as 0.0.0.0:9090, to clients that show "
        "the secret in SLUICE_METRICS_TOKEN",
    )


def _add_load_options(parser: argparse.ArgumentParser) -> None:
    _add_options(parser)
    parser.add_argument(
        "--backfill",
        metavar="COLUMN",
        help="load nothing, but fill this column, which sluice tables --apply has added, in the rows that have its "
        "value in _extra: they become what the event log says now",
    )


def _add_redeliver_options(parser: argparse.ArgumentParser) -> None:
    _add_options(parser)
    add_selection_options(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="contract=FILE",
        help="validate against this contract instead of the job's own contract of that event type",
    )
    parser.add_argument("--dry-run", action="store_true", help="list the dead letters, and redeliver none")


RUN = Command(
    name="run",
    summary="run a job: a batch job to the end of its source, a streaming job until Ctrl-C or SIGTERM drains it",
    example="sluice run jobs/backend_events.yaml --source 'history/*' --report report.json",
    add_options=_add_run_options,
    run=_run,
    takes_beam_options=True,
)

LOAD = Command(
    name="load",
    summary="load the segments that the warehouse lacks, after a failure or into a new warehouse",
    example="sluice load jobs/backend_events.yaml --warehouse duckdb:///rebuilt.duckdb",
    add_options=_add_load_options,
    run=_load,
    takes_beam_options=True,
)

REDELIVER = Command(
    name="redeliver",
    summary="process dead letters again, through the same graph, after their cause is fixed",
    example="sluice redeliver jobs/backend_events.yaml --where code=enum,event_type=order --dry-run",
    add_options=_add_redeliver_options,
    run=_redeliver,
    takes_beam_options=True,
)
