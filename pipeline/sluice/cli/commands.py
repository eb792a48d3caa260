"""The commands of `sluice`, their parser, and how one of them is run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sluice.addresses import mask_flags
from sluice.cli.check import CHECK
from sluice.cli.command import DEBUG_HELP, ArgumentParser, Command, HelpFormatter
from sluice.cli.completion import COMPLETION
from sluice.cli.connectors import SOURCES, WAREHOUSES
from sluice.cli.dead_letters import DEAD_LETTERS
from sluice.cli.generate import GENERATE
from sluice.cli.init import INFER, INIT
from sluice.cli.monitor import MONITOR
from sluice.cli.publish import PUBLISH
from sluice.cli.report import REPORT
from sluice.cli.run import LOAD, REDELIVER, RUN
from sluice.cli.tables import TABLES
from sluice.cli.verify import VERIFY
from sluice.native_core import running_version

COMMANDS: Sequence[Command] = (
    INIT,
    INFER,
    RUN,
    LOAD,
    VERIFY,
    TABLES,
    PUBLISH,
    DEAD_LETTERS,
    REDELIVER,
    CHECK,
    GENERATE,
    REPORT,
    MONITOR,
    SOURCES,
    WAREHOUSES,
    COMPLETION,
)
"""In the order in which `--help` lists them."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = ArgumentParser(
        prog="sluice",
        description="Turn raw events into trusted tables: one Beam graph, exactly-once files and rows, dead letters.",
        epilog="Example: sluice run jobs/backend_events.yaml --source 'history/*.json.gz' --report report.json",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(parser=parser)
    parser.add_argument("--version", action="version", version=f"sluice {running_version()}")
    parser.add_argument("--debug", action="store_true", help=DEBUG_HELP)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def run_command(arguments: Sequence[str] | None) -> int:
    """Parse a command line, by default that of the process, run its command, and return the exit code.

    Raises:
        SluiceError: the command failed.
        SystemExit: the command line is wrong, or asked for help.

    """
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    command: Command = options.command
    if rest and not command.takes_beam_options:
        parser.error(f"unrecognized arguments: {mask_flags(rest)}")
    return command.run(options, rest)
