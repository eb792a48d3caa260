"""What a terminal shows: the progress or the status of a run while it lasts, and its report as tables."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from sluice.cli.output import printable
from sluice.clock import Clock, window_time
from sluice.config.job import Job
from sluice.config.urls import Url
from sluice.contracts import REPAIRED_KEY
from sluice.errors import REJECT_CODES
from sluice.graph.ledger import Figures, Report
from sluice.graph.progress import Progress, Totals, phase_of
from sluice.run_state import SILENT_SECONDS, RunState
from sluice.runtime.background import in_background
from sluice.telemetry import RunTotals, figure_sums
from sluice.tooling.job_facts import contract_labels, places_of
from sluice.tooling.redelivery_plan import RedeliveryPlan
from sluice.warehouses import parse_warehouse

_LOGGER = logging.getLogger("sluice")

_REFRESH_SECONDS = 0.25
_LIVE_SECONDS = 1.0
_LOG_SECONDS = 60.0
_SHOWN_WINDOWS = 3
_WIDTH = 110


class ConsoleObserver:
    """Shows a run on standard error while it lasts; if it is `quiet`, nothing of it."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        """Begin with no run; `verbose` is for lines that stay, where others see a bar."""
        self._quiet = quiet
        self._verbose = verbose
        self._run: RunState | None = None

    def is_draining(self) -> bool:
        """Return whether a streaming run was shown that drains or has drained."""
        return self._run is not None and self._run.draining.is_set()

    def show_plan(self, job: Job, plan: str) -> None:
        """Print a line."""
        if self._quiet:
            return
        Console(stderr=True).print(plain(f"{job.name}: {plan}"), soft_wrap=True)

    def watch_batch(
        self, job: Job, size: int | None, progress: Progress | None
    ) -> AbstractContextManager[None]:
        """Show a progress bar, or lines."""
        if self._quiet:
            return nullcontext()
        if self._verbose:
            return progress_lines(job, size, progress)
        return progress_bar(f"sluice {job.name}", size, progress)

    def watch_streaming(self, job: Job, run: RunState, clock: Clock) -> AbstractContextManager[None]:
        """Show a status line."""
        self._run = run
        return nullcontext() if self._quiet else live_status(f"sluice {job.name}", run, clock)


@contextmanager
def progress_bar(title: str, size: int | None, progress: Progress | None) -> Iterator[None]:
    """Show a line for each phase of a run on standard error, if that is a terminal; `size` is the bytes to read."""
    console = Console(stderr=True)
    if progress is None or not console.is_terminal:
        yield
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _DoneColumn(),
        TimeElapsedColumn(),
        _RemainingColumn(),
    )
    with Bar(*columns, console=console) as bar:
        with _repeatedly(_REFRESH_SECONDS, _PhaseLines(bar, title, size, progress).show):
            yield


@contextmanager
def progress_lines(job: Job, size: int | None, progress: Progress | None) -> Iterator[None]:
    """Print on standard error what a run reads and writes, and each phase with its time, be it a terminal or not."""
    console = Console(stderr=True)
    started = time.monotonic()

    def print_line(text: str) -> None:
        console.print(plain(f"{job.name}: {time.monotonic() - started:,.1f} s: {text}"), soft_wrap=True)

    for name, contract in contract_labels(job).items():
        print_line(f"contract of {name}: {contract}")
    for name, place in places_of(job).items():
        print_line(f"{name.replace('_', ' ')}: {place}")
    print_line("reading" if size is None else f"reading {size:,} bytes")
    last: list[str] = []

    def show() -> None:
        totals = Totals() if progress is None else progress.totals()
        phase = phase_of(totals, size, loads_apart=progress is not None and progress.loads_apart)
        if last and phase.name != last[0]:
            print_line(f"{phase.name}; read: {totals.records:,} records, {totals.rejected:,} rejected")
        last[:] = [phase.name]

    with _repeatedly(_REFRESH_SECONDS, show):
        yield
    print_line("all steps have ended")


class _PhaseLines:
    """The lines of a progress bar, one for each phase that has begun; only the last one changes.

    Each phase has a speed of its own, so that the time which remains is that of the phase, and said to be.
    """

    def __init__(self, bar: Bar, title: str, size: int | None, progress: Progress) -> None:
        """Show that the run reads."""
        self._bar, self._title, self._size, self._progress = bar, title, size, progress
        self._phase = ""
        self._task = TaskID(0)
        self.show()

    def show(self) -> None:
        """Show what is done."""
        totals = self._progress.totals()
        phase = phase_of(totals, self._size, loads_apart=self._progress.loads_apart)
        if phase.name != self._phase:
            if self._phase:
                task = self._bar.tasks[-1]
                self._bar.update(self._task, total=task.completed if task.total is None else task.total)
                self._bar.update(self._task, completed=task.total)
            self._phase = phase.name
            self._task = self._bar.add_task(printable(f"{self._title}: {phase.name}"), total=phase.of)
        read = f"{totals.records:,} records, {totals.rejected:,} rejected"
        done = read if phase.unit == "bytes" else f"{phase.done:,} {phase.unit}"
        self._bar.update(self._task, completed=phase.done, total=phase.of, unit=phase.unit, done=done)


class _DoneColumn(DownloadColumn):
    """What is done of a phase: bytes as they are read, and the records in them, or events."""

    def render(self, task: Task) -> Text:
        if task.fields.get("unit") != "bytes":
            return Text(task.fields.get("done", ""))
        return Text.assemble(super().render(task), "  ", task.fields["done"])


class _RemainingColumn(ProgressColumn):
    """The time until a phase ends, once its speed is known; that of a whole run is not."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        seconds = None if task.finished or task.total is None else task.time_remaining
        return Text("" if seconds is None else f"{timedelta(seconds=round(seconds))} left of this phase")


@contextmanager
def counter(title: str, unit: str) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows a growing number of `unit`s, and its rate, on standard error, if a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:,} " + unit + ", {task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(printable(title), total=None, rate=0.0)
        yield lambda number: bar.update(task, completed=number, rate=number / (bar.tasks[0].elapsed or 1.0))


@contextmanager
def live_status(title: str, run: RunState, clock: Clock) -> Iterator[None]:
    """Show the figures of a streaming run on standard error: a changing line on a terminal, else a line a minute."""
    console = Console(stderr=True)
    rate = _ReadRate()
    if not console.is_terminal:
        with _repeatedly(_LOG_SECONDS, lambda: _LOGGER.info("%s: %s", title, _status(run, rate, clock))):
            yield
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show() -> None:
            lines = [f"{title}: {_status(run, rate, clock)}", *_window_lines(run.totals, _SHOWN_WINDOWS)]
            live.update(
                Text("\n".join(map(printable, lines)), no_wrap=True, overflow="ellipsis"), refresh=True
            )

        with _repeatedly(_LIVE_SECONDS, show):
            yield


class _ReadRate:
    """Records a second that were read since the last call."""

    def __init__(self) -> None:
        self._at, self._read = time.monotonic(), 0

    def update(self, read: int) -> float:
        now = time.monotonic()
        rate = (read - self._read) / max(now - self._at, 1e-3)
        self._at, self._read = now, read
        return rate


def _status(run: RunState, rate: _ReadRate, clock: Clock) -> str:
    sums = figure_sums(run.totals.counts())
    outstanding = run.acks.outstanding()
    loaded_until = run.totals.loaded_until()
    waiting = run.backlog.total()
    backlog = f"backlog {waiting:,}, " if waiting is not None else ""
    if run.backlog.silent() > SILENT_SECONDS:
        backlog = f"source silent for {run.backlog.silent():,.0f} s, "
    lag = "-" if loaded_until is None else f"{max(clock() - loaded_until, 0):,.0f} s"
    return (
        f"{rate.update(sums['read']):,.0f} records/s, {sums['read']:,} read, {sums['accepted']:,} accepted, "
        f"{sums['duplicates']:,} duplicates, {sums['rejected']:,} rejected, "
        f"{outstanding.records:,} unacknowledged, "
        f"{backlog}event-time lag {lag}{', draining' if run.draining.is_set() else ''}"
    )


def _window_lines(totals: RunTotals, number: int) -> Iterator[str]:
    for start, end, events in reversed(totals.windows(number)):
        counts = ", ".join(f"{name} {count:,}" for name, count in sorted(events.items()))
        yield f"  {window_time(start):%H:%M:%S} to {window_time(end):%H:%M:%S}  {counts}"


@contextmanager
def _repeatedly(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Call `action` in a thread every so many seconds while the block lasts, and once at its end if it succeeds."""

    def repeat(over: threading.Event) -> None:
        with suppress(OSError):  # the terminal is gone: the run goes on
            while not over.wait(seconds):
                action()

    with in_background("progress", repeat):
        yield
    with suppress(OSError):
        action()


def plain(text: str) -> Text:
    """Return names and data as tables show them: no markup, no control characters."""
    return Text(printable(text))


def wide_console() -> Console:
    """Return standard output, at least as wide as the tables need, also where it is not a terminal."""
    return Console(width=max(Console().width, _WIDTH))


def print_report(report: Report, job: Job | None = None) -> None:
    """Print the totals, the rejections by code, and, with its job, where the results of a run are."""
    console = wide_console()
    if report.read or not report.backfilled:
        console.print(_figures_table(report))
    if report.rejections:
        console.print(_rejections_table(report))
    if report.backfilled:
        console.print(
            f"backfilled: {report.backfilled:,} events of earlier runs, which the warehouse lacked, were loaded"
        )
    if report.restarts:
        console.print(
            f"restarts: {report.restarts:,}; the runner ended by itself and was started again; "
            f"{report.reread:,} records were read again"
        )
    if report.repaired:
        console.print(
            f"repaired: {report.repaired:,} malformed records were repaired; their events are marked {REPAIRED_KEY}"
        )
    for warning in report.warnings:
        console.print(plain(f"warning: {warning}"), style="yellow", soft_wrap=True)
    if report.failure is not None:
        console.print(plain(f"FAILED: {report.failure}"), style="bold red", soft_wrap=True)
    verdict = "reconciled: read = accepted + duplicates + rejected, accepted = loaded + load_rejected"
    console.print(
        verdict if report.reconciled else "[bold red]NOT RECONCILED[/]: some record is unaccounted for"
    )
    if job is not None:
        _print_places(
            console,
            files=job.files,
            warehouse=parse_warehouse(job.warehouse).url,
            dead_letters=job.dead_letters,
        )


_COLUMNS = ("read", "accepted", "duplicates", "rejected", "loaded", "load_rejected", "segments")


def _figures_table(report: Report) -> Table:
    title = plain(f"{report.job}: {report.read:,} records in {report.seconds:,.1f} s")
    title.stylize("table.title")
    table = Table(title=title)
    table.add_column("event type")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for event_type, figures in report.by_type.items():
        table.add_row(plain(event_type), *_row(figures))
    table.add_section()
    table.add_row("all", *_row(report), style="bold")
    return table


def _row(figures: Figures) -> list[str]:
    return [f"{getattr(figures, name):,}" for name in _COLUMNS]


def _rejections_table(report: Report) -> Table:
    table = Table("code", "records", "meaning", title="rejected, by the code of the dead letter")
    for code, number in sorted(report.rejections.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(plain(code), f"{number:,}", REJECT_CODES.get(code, ""))
    return table


def print_plan(plan: RedeliveryPlan, job: Job, source: Url) -> None:
    """Print what a redelivery would process, from where and where to, and what it would leave alone."""
    console = wide_console()
    if plan.open:
        table = Table("code", "event type")
        table.add_column("dead letters", justify="right")
        for (code, event_type), number in sorted(plan.open.items(), key=lambda item: (-item[1], item[0])):
            table.add_row(plain(code), plain(event_type), f"{number:,}")
        console.print(plain(f"{job.name}: {plan.open.total():,} dead letters to redeliver"))
        console.print(table)
    else:
        console.print(plain(f"{job.name}: no dead letters to redeliver"))
    if plan.accepted_before:
        console.print(f"{plan.accepted_before:,} were accepted before, when they were redelivered")
    if plan.conflicting:
        console.print(
            f"{plan.conflicting:,} are conflicting duplicates: the event log has their keys with other content"
        )
    if plan.undecidable:
        console.print(f"{plan.undecidable:,} broke their contract in a masked value, which was not kept")
    _print_places(
        console, **{"from": source, "files": job.files, "warehouse": parse_warehouse(job.warehouse).url}
    )


def _print_places(console: Console, **places: Url) -> None:
    """Print each place on a line, without its secrets."""
    for name, place in places.items():
        console.print(plain(f"{name.replace('_', ' ')}: {place}"), soft_wrap=True)
