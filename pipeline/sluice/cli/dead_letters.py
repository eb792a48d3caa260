"""`sluice dead-letters`."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sluice.cli.command import Command, Options
from sluice.cli.job_options import add_job_argument, add_key_options, read_job
from sluice.cli.output import print_json, print_line

if TYPE_CHECKING:
    from sluice.dead_letters.reading import DeadLetterState, Status
    from sluice.tooling.dead_letter_groups import Group, Reason

_KEYS = ("dead_letters", "quarantine")
_OTHER_PLACES = ("source", "files", "warehouse")
_STATUSES: tuple[Status, ...] = ("open", "redelivered", "resolved")
_ID_CHARACTERS = 8


def _dead_letters(options: Options, _: list[str]) -> int:
    from sluice.clock import system_clock
    from sluice.sources.dead_letters.source import DeadLetterSource
    from sluice.tooling.dead_letter_groups import find_dead_letter, group_dead_letters, line_number
    from sluice.tooling.redelivery_plan import read_selection

    job = read_job(options, unused=_OTHER_PLACES)
    selection = read_selection(options.where, options.since, system_clock())
    source = DeadLetterSource(job.dead_letters, selection, job.quarantine)
    if options.show is not None:
        state = find_dead_letter(source, options.show)
        print_json(_whole(state, line_number(state)))
        return 0
    groups = group_dead_letters(source, options.status or _STATUSES)
    if options.json:
        print_json([_group(reason, group) for reason, group in groups.items()])
    else:
        _print_groups(job.name, groups, _command(options))
    return 0


def _whole(state: DeadLetterState, line: int | None) -> dict[str, Any]:
    """Return all that is known of a dead letter: its fields, its line, and each attempt to redeliver it."""
    return {
        "status": state.status,
        "attempts": state.attempts,
        "line": line,
        "dead_letter": state.dead_letter,
        "redeliveries": state.entries,
    }


def _group(reason: Reason, group: Group) -> dict[str, Any]:
    return {
        **reason._asdict(),
        **{status: group.statuses[status] for status in _STATUSES},
        "attempts": group.attempts,
        "first_rejected_at": group.first,
        "last_rejected_at": group.last,
        "example": group.example,
    }


def _print_groups(job: str, groups: Mapping[Reason, Group], command: list[str]) -> None:
    from rich.table import Table

    from sluice.cli.console import plain, wide_console

    total = sum(group.statuses.total() for group in groups.values())
    print_line(f"{job}: {total:,} dead letters for {len(groups):,} reasons")
    if not groups:
        return
    table = Table("code", "event type")
    table.add_column("expected", overflow="fold")
    for name in _STATUSES:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("example", no_wrap=True)
    for reason, group in groups.items():
        expected = f"{reason.path}: {reason.expected}" if reason.path else reason.expected
        figures = (f"{group.statuses[name]:,}" for name in _STATUSES)
        table.add_row(*map(plain, (*reason[:2], expected)), *figures, group.example[:_ID_CHARACTERS])
    wide_console().print(table)
    unsolved = {
        (reason.code, reason.event_type)
        for reason, group in groups.items()
        if group.statuses["open"] + group.statuses["redelivered"]
    }
    for code, event_type in sorted(unsolved):
        of_type = [] if event_type == "unknown" else [f"event_type={event_type}"]
        print_line(shlex.join([*command, "--where", ",".join([f"code={code}", *of_type])]))


def _command(options: Options) -> list[str]:
    """Return the command that redelivers the dead letters of the same job in the same places."""
    flags = [(name, getattr(options, name)) for name in _KEYS]
    given = [f"--{name.replace('_', '-')}={value}" for name, value in flags if value is not None]
    return ["sluice", "redeliver", options.job, *given]


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_job_argument(parser)
    add_key_options(parser, _KEYS)
    add_selection_options(parser)
    parser.add_argument(
        "--status",
        action="append",
        choices=_STATUSES,
        help="only those never redelivered, rejected again, or accepted when redelivered; may be given twice",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--show", metavar="ID", help="show one whole, as JSON; the first characters of its id suffice"
    )
    output.add_argument("--json", action="store_true", help="print the groups as JSON, and nothing else")


def add_selection_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags that select dead letters."""
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="NAME=VALUE,…",
        help="only dead letters whose code, event_type, job, step or contract is this; values of one name are "
        "alternatives",
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="only dead letters rejected since then: a time with its offset, or how long ago, such as 24h",
    )


DEAD_LETTERS = Command(
    name="dead-letters",
    summary="group the dead letters of a job by reason and status, and print the command that redelivers a group",
    example="sluice dead-letters jobs/backend_events.yaml --status open",
    add_options=_add_options,
    run=_dead_letters,
)
