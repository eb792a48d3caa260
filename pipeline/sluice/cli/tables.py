"""`sluice tables`."""

from __future__ import annotations

import argparse

from sluice.cli.command import Command, Options, print_problems
from sluice.cli.job_options import add_job_argument, add_key_options, read_job
from sluice.cli.output import print_line

_KEYS = ("contracts", "warehouse", "load")
"""Keys of the job file that its tables depend on."""

_OTHER_PLACES = ("source", "files", "dead_letters", "quarantine")


def _tables(options: Options, _: list[str]) -> int:
    from sluice.tooling.tables import apply_contracts, compare_tables, contracts_of, create_tables
    from sluice.warehouses import open_warehouse

    job = read_job(options, unused=_OTHER_PLACES)
    change = create_tables if options.create else apply_contracts if options.apply else compare_tables
    changes = change(open_warehouse(job.warehouse), contracts_of(job))
    for message in changes.applied:
        print_line(message)
    if changes.applied and not changes.remaining:
        return 0
    return print_problems(
        changes.remaining, f"{job.name}: {'all tables exist' if options.create else 'no difference'}"
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_job_argument(parser)
    add_key_options(parser, _KEYS)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        "--create", action="store_true", help="create what is missing, and change nothing else"
    )
    action.add_argument("--diff", action="store_true", help="change nothing; exit 1 if a table differs")
    action.add_argument(
        "--apply",
        action="store_true",
        help="create tables, and add columns that may be null; exit 1 if something else differs",
    )


TABLES = Command(
    name="tables",
    summary="create the tables of a job, compare them with its contracts, or add missing columns",
    example="sluice tables jobs/backend_events.yaml --diff",
    add_options=_add_options,
    run=_tables,
)
