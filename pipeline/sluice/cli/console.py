"""What a person sees: the progress bar while a run lasts, and its report as tables."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from sluice.arrow.window_counts import MICROSECONDS
from sluice.clock import Clock
from sluice.config.job import Job
from sluice.errors import REJECT_CODES
from sluice.graph.ledger import Figures, Report
from sluice.graph.progress import Progress
from sluice.graph.redelivery import Plan
from sluice.sources.acknowledgements import BACKLOG, DRAINING, PENDING_ACKS
from sluice.telemetry import FIGURES
from sluice.warehouses.urls import redact

_LOGGER = logging.getLogger("sluice")

_REFRESH_SECONDS = 0.25
_LIVE_SECONDS = 1.0
_LOG_SECONDS = 60.0
_SHOWN_WINDOWS = 3
_WIDTH = 110


@contextmanager
def progress_bar(title: str, size: int | None, progress: Progress | None) -> Iterator[None]:
    """Show bytes read of `size`, records a second and rejections on standard error, if that is a terminal."""
    console = Console(stderr=True)
    if progress is None or not console.is_terminal:
        yield
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rate]:,.0f} records/s  {task.fields[rejected]:,} rejected"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task(title, total=size, rate=0.0, rejected=0)

        def show() -> None:
            totals = progress.totals()
            rate = totals.records / (bar.tasks[0].elapsed or 1.0)
            bar.update(task, completed=totals.bytes, rate=rate, rejected=totals.rejected)

        with _repeatedly(_REFRESH_SECONDS, show):
            yield


@contextmanager
def counting(title: str) -> Iterator[Callable[[int], None]]:
    """Yield what shows a number that grows, and its rate, on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,} records, {task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, rate=0.0)
        yield lambda number: bar.update(task, completed=number, rate=number / (bar.tasks[0].elapsed or 1.0))


@contextmanager
def live_status(title: str, clock: Clock) -> Iterator[None]:
    """Show on standard error how a live run is doing: a line that changes on a terminal, else one a minute."""
    console = Console(stderr=True)
    rates = _Rates()
    if not console.is_terminal:
        with _repeatedly(_LOG_SECONDS, lambda: _LOGGER.info("%s: %s", title, _status(rates, clock))):
            yield
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show() -> None:
            lines = [f"{title}: {_status(rates, clock)}", *_window_lines(_SHOWN_WINDOWS)]
            live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)

        with _repeatedly(_LIVE_SECONDS, show):
            yield


class _Rates:
    """How many records a second were read since the last look."""

    def __init__(self) -> None:
        self._at, self._read = time.monotonic(), 0

    def look(self, read: int) -> float:
        now = time.monotonic()
        rate = (read - self._read) / max(now - self._at, 1e-3)
        self._at, self._read = now, read
        return rate


def _status(rates: _Rates, clock: Clock) -> str:
    read, rejected = FIGURES.total("read"), FIGURES.total("rejected")
    outstanding = PENDING_ACKS.outstanding()
    latest = FIGURES.windows(1)
    waiting = BACKLOG.total()
    backlog = f"backlog {waiting:,}, " if waiting is not None else ""
    lag = f"{max(clock() - latest[0][1] / MICROSECONDS, 0):,.0f} s" if latest else "-"
    return (
        f"{rates.look(read):,.0f} records/s, {read:,} read, {FIGURES.total('accepted'):,} accepted, "
        f"{FIGURES.total('duplicates'):,} duplicates, {rejected:,} rejected, {outstanding.records:,} unacknowledged, "
        f"{backlog}event-time lag {lag}{', draining' if DRAINING.is_set() else ''}"
    )


def _window_lines(number: int) -> Iterator[str]:
    for start, end, events in reversed(FIGURES.windows(number)):
        counts = ", ".join(f"{name} {count:,}" for name, count in sorted(events.items()))
        yield f"  {_time(start)} to {_time(end)}  {counts}"


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / MICROSECONDS, UTC).strftime("%H:%M:%S")


@contextmanager
def _repeatedly(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Call `action` in a thread every so many seconds while the block lasts, and once at its end."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(seconds):
            action()

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        action()


def wide_console() -> Console:
    """Return standard output as wide as its tables need, be it narrower or no terminal at all."""
    return Console(width=max(Console().width, _WIDTH))


def print_report(report: Report, job: Job | None = None) -> None:
    """Print the totals, the rejections by code, and, with its job, where a run's results lie."""
    console = wide_console()
    table = Table(title=f"{report.job}: {report.read:,} records in {report.seconds:,.1f} s")
    table.add_column("event type")
    for name in ("read", "accepted", "duplicates", "rejected", "loaded", "load_rejected", "segments"):
        table.add_column(name, justify="right")
    for event_type, figures in report.by_type.items():
        table.add_row(event_type, *_row(figures))
    table.add_section()
    table.add_row("all", *_row(report), style="bold")
    if report.read or not report.backfilled:
        console.print(table)
    if report.rejections:
        reasons = Table("code", "records", "meaning", title="rejected, by the code of the dead letter")
        for code, number in sorted(report.rejections.items(), key=lambda item: (-item[1], item[0])):
            reasons.add_row(code, f"{number:,}", REJECT_CODES.get(code, ""))
        console.print(reasons)
    if report.backfilled:
        console.print(
            f"backfilled: {report.backfilled:,} events of earlier runs, which the warehouse lacked, were loaded"
        )
    if report.repaired:
        console.print(
            f"repaired: {report.repaired:,} malformed records were repaired; their events are marked _repaired"
        )
    verdict = "reconciled: read = accepted + duplicates + rejected, accepted = loaded + load_rejected"
    console.print(
        verdict if report.reconciled else "[bold red]NOT RECONCILED[/]: some record is unaccounted for"
    )
    if job is not None:
        for name in ("files", "warehouse", "dead_letters"):
            place = f"{name.replace('_', ' ')}: {redact(getattr(job, name))}"
            console.print(place, soft_wrap=True, highlight=False)


def _row(figures: Figures) -> list[str]:
    shown = (
        figures.read,
        figures.accepted,
        figures.duplicates,
        figures.rejected,
        figures.loaded,
        figures.load_rejected,
        figures.segments,
    )
    return [f"{number:,}" for number in shown]


def print_plan(plan: Plan, job: Job, folder: str) -> None:
    """Print what a redelivery would deliver, from where and where to, and what it would leave alone."""
    console = wide_console()
    if plan.letters:
        table = Table("code", "event type")
        table.add_column("letters", justify="right")
        for (code, event_type), number in sorted(plan.letters.items(), key=lambda item: (-item[1], item[0])):
            table.add_row(code, event_type, f"{number:,}")
        console.print(f"{job.name}: {plan.letters.total():,} dead letters to deliver again", highlight=False)
        console.print(table)
    else:
        console.print(f"{job.name}: no dead letters to deliver again", highlight=False)
    if plan.done:
        console.print(f"{plan.done:,} were accepted before, when they were delivered again")
    if plan.load_rejected:
        console.print(
            f"{plan.load_rejected:,} are rows that the warehouse rejected: their events are in the log already"
        )
    if plan.unknown:
        console.print(f"{plan.unknown:,} broke their contract in a protected value, which was not kept")
    for name, place in (("from", folder), ("files", job.files), ("warehouse", job.warehouse)):
        console.print(f"{name}: {place}", soft_wrap=True, highlight=False)
