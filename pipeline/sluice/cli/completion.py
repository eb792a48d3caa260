"""`sluice completion`: what a shell needs to complete command lines."""

from __future__ import annotations

import argparse

from sluice.cli.command import Command, Options
from sluice.cli.output import print_text

_SHELLS = ("bash", "zsh", "fish")

_PATHS = frozenset({"FILE", "FILES", "FOLDER", "JOB", "PATH", "PLACE", "SAMPLE"})
"""Names of arguments that are paths."""


def _completion(options: Options, _: list[str]) -> int:
    import shtab

    _complete_paths(options.parser)
    print_text(f"{shtab.complete(options.parser, options.shell)}\n")
    return 0


def _complete_paths(parser: argparse.ArgumentParser) -> None:
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _complete_paths(command)
        elif action.metavar in _PATHS:
            action.complete = shtab.FILE  # type: ignore[attr-defined]


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=f"one of {', '.join(_SHELLS)}")


COMPLETION = Command(
    name="completion",
    summary="print the script with which bash, zsh or fish completes commands, options and paths",
    example="sluice completion bash",
    add_options=_add_options,
    run=_completion,
)
