"""`sluice check`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sluice.cli.command import Command, Options, print_problems
from sluice.cli.generate import SCHEMAS
from sluice.cli.output import print_line

_FOLDERS, _IF_THERE = ("schemas", "jobs"), ("monitors",)


def _check(options: Options, _: list[str]) -> int:
    from sluice.tooling.lint import check_files

    paths = options.paths or [*_FOLDERS, *(folder for folder in _IF_THERE if Path(folder).is_dir())]
    notes: list[str] = []
    problems = check_files(paths, notes)
    for note in notes:
        print_line(f"note: {note}")
    if options.against is not None and not problems:
        from sluice.tooling.compatibility import breaking_changes_against

        problems = [str(change) for change in breaking_changes_against(options.against, SCHEMAS)]
    return print_problems(problems, f"{', '.join(paths)}: no problems found")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="contracts, jobs, monitors or folders of them (default: schemas jobs, and monitors if it is there)",
    )
    parser.add_argument(
        "--against",
        metavar="REVISION",
        help="git revision, or folder of contracts, that consumers rely on: report breaking changes",
    )


CHECK = Command(
    name="check",
    summary="check contracts, examples, jobs and monitors: file, key and fix of each problem, and breaking changes",
    example="sluice check --against main",
    add_options=_add_options,
    run=_check,
)
