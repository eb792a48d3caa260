"""`sluice verify`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sluice.cli.command import Command, Options
from sluice.cli.job_options import add_job_argument, add_key_options, read_job
from sluice.cli.output import print_line

if TYPE_CHECKING:
    from sluice.tooling.verify import Verification

_KEYS = ("contracts", "files", "warehouse", "dead_letters", "quarantine", "load", "windows.shards")
"""Keys of the job file that say what is verified."""


def _verify(options: Options, _: list[str]) -> int:
    from sluice.cli.console import counter
    from sluice.tooling.verify import Verification

    job = read_job(options, unused=("source",))
    with counter(f"sluice verify {job.name}", "segments") as show:
        verification = Verification(job, show)
        for problem in verification.problems():
            print_line(problem)
    return _print_totals(verification)


def _print_totals(verification: Verification) -> int:
    """Print the totals of each event type and the verdict; return the exit code, 1 or 0."""
    from rich.table import Table

    from sluice.cli.console import plain, wide_console

    console, name = wide_console(), verification.job.name
    table = Table(title=plain(f"{name}: what was verified"))
    table.add_column("event type")
    for column in ("segments", "events", "loaded segments", "rows", "problems"):
        table.add_column(column, justify="right")
    for event_type, totals in verification.totals.items():
        numbers = (totals.segments, totals.events, totals.loaded, totals.rows, totals.problems)
        table.add_row(plain(event_type), *("-" if number is None else f"{number:,}" for number in numbers))
    console.print(table)
    if verification.other_logs:
        text = f"{verification.other_logs:,} loaded segments are of other folders, and were not compared with files"
        console.print(text, highlight=False)
    problems = sum(totals.problems for totals in verification.totals.values())
    print_line(f"{name}: {problems:,} problems" if problems else f"{name}: log and warehouse agree")
    return 1 if problems else 0


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_job_argument(parser)
    add_key_options(parser, _KEYS)


VERIFY = Command(
    name="verify",
    summary="read a job's whole log again, and compare it with itself and with the warehouse; change nothing",
    example="sluice verify jobs/backend_events.yaml",
    add_options=_add_options,
    run=_verify,
)
