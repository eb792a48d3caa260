"""What a person sees: the progress bar while a run lasts, and its report as tables."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from pipeline.errors import REJECT_CODES
from pipeline.job import Job
from pipeline.ledger import Figures, Report
from pipeline.progress import Progress

_REFRESH_SECONDS = 0.25
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
    stop = threading.Event()
    with Bar(*columns, console=console) as bar:
        task = bar.add_task(title, total=size, rate=0.0, rejected=0)

        def show() -> None:
            totals = progress.totals()
            rate = totals.records / (bar.tasks[0].elapsed or 1.0)
            bar.update(task, completed=totals.bytes, rate=rate, rejected=totals.rejected)

        def watch() -> None:
            while not stop.wait(_REFRESH_SECONDS):
                show()

        watcher = threading.Thread(target=watch, name="progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
            show()


def wide_console() -> Console:
    """Return standard output as wide as its tables need, be it narrower or no terminal at all."""
    return Console(width=max(Console().width, _WIDTH))


def print_report(report: Report, job: Job | None = None) -> None:
    """Print the totals, the rejections by code, and, with its job, where a run's results lie."""
    console = wide_console()
    table = Table(title=f"{report.job}: {report.read:,} records in {report.seconds:,.1f} s")
    table.add_column("event type")
    for name in ("read", "accepted", "repeated", "rejected", "loaded", "refused", "segments"):
        table.add_column(name, justify="right")
    for event_type, figures in report.by_type.items():
        table.add_row(event_type, *_row(figures))
    table.add_section()
    table.add_row("all", *_row(report), style="bold")
    if report.read or not report.recovered:
        console.print(table)
    if report.rejections:
        reasons = Table("code", "records", "meaning", title="rejected, by the code of the dead letter")
        for code, number in sorted(report.rejections.items(), key=lambda item: (-item[1], item[0])):
            reasons.add_row(code, f"{number:,}", REJECT_CODES.get(code, ""))
        console.print(reasons)
    if report.recovered:
        console.print(
            f"recovered: {report.recovered:,} events of earlier runs, which the warehouse lacked, were loaded"
        )
    if report.salvaged:
        console.print(
            f"salvaged: {report.salvaged:,} damaged records were mended; their events are marked _salvaged"
        )
    verdict = "balanced: read = accepted + repeated + rejected, accepted = loaded + refused"
    console.print(verdict if report.balanced else "[bold red]NOT BALANCED[/]: some record is unaccounted for")
    if job is not None:
        for name in ("files", "warehouse", "dead_letters"):
            console.print(f"{name.replace('_', ' ')}: {getattr(job, name)}", soft_wrap=True, highlight=False)


def _row(figures: Figures) -> list[str]:
    shown = (
        figures.read,
        figures.accepted,
        figures.repeated,
        figures.rejected,
        figures.loaded,
        figures.refused,
        figures.segments,
    )
    return [f"{number:,}" for number in shown]
