"""The `sluice` command: parse, run one command, turn an error into one line and an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sluice import __version__
from sluice.cli.check import CHECK
from sluice.cli.command import Command, HelpFormatter
from sluice.cli.connectors import SOURCES, WAREHOUSES
from sluice.cli.generate import GENERATE
from sluice.cli.publish import PUBLISH
from sluice.cli.report import REPORT
from sluice.cli.run import LOAD, REDELIVER, RUN
from sluice.cli.tables import TABLES
from sluice.config.urls import mask_arguments
from sluice.errors import SluiceError

COMMANDS: Sequence[Command] = (
    RUN,
    LOAD,
    TABLES,
    PUBLISH,
    REDELIVER,
    CHECK,
    GENERATE,
    REPORT,
    SOURCES,
    WAREHOUSES,
)
"""In the order in which `--help` lists them."""

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 failed, 2 a mistake of the user, 130 interrupted."""
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    command: Command = options.command
    if rest and not command.takes_beam_options:
        parser.error(f"unrecognized arguments: {mask_arguments(rest)}")
    with _logging_to_standard_error():
        return _run(command, options, rest)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="sluice",
        description="Turn raw events into trusted tables: one Beam graph, exactly-once files and rows, dead letters.",
        epilog="Example: sluice run jobs/backend_events.yaml --source 'history/*.json.gz' --report report.json",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sluice {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def _run(command: Command, options: argparse.Namespace, beam_options: list[str]) -> int:
    try:
        return command.run(options, beam_options)
    except SluiceError as error:
        print(f"sluice: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        message = "sluice: interrupted; what was written stays valid, and the next run completes it"
        print(message, file=sys.stderr)
        return _INTERRUPTED


@contextmanager
def _logging_to_standard_error() -> Iterator[None]:
    """Show what the product itself logs while a command runs; what libraries log is not shown."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s sluice: %(message)s"))
    logger = logging.getLogger("sluice")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
