"""Help, versions, dispatch and output of the command line."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest
from sluice import __version__
from sluice.cli.command import Command
from sluice.cli.main import COMMANDS, build_parser

from devservers.sluice_process import SLUICE
from devservers.tools import ROOT
from tests.end_to_end.replay_fixture import Replay, sluice


def test_help_shows_each_command_with_an_example() -> None:
    done = sluice("--help")
    assert (done.code, done.err) == (0, "")
    for name in [command.name for command in COMMANDS]:
        assert re.search(rf"^    {name} +\w", done.out, re.MULTILINE)
        own = sluice(name, "--help")
        assert (own.code, own.err) == (0, "")
        assert own.out.startswith(f"usage: sluice {name}")
        assert f"Example: sluice {name} " in own.out
    for flag in (
        "--source",
        "--files",
        "--warehouse",
        "--dead-letters",
        "--windows.counts",
        "--windows.shards",
        "--report",
    ):
        assert flag in sluice("run", "--help").out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "sluice: error: the following arguments are required: COMMAND"),
        (
            ["rum"],
            "sluice: error: argument COMMAND: invalid choice: 'rum' (choose from 'run', 'load', 'tables', 'publish', "
            "'redeliver', 'check', 'generate', 'report', 'sources', 'warehouses')",
        ),
        (["run"], "sluice run: error: the following arguments are required: JOB"),
        (["check", "--agains=x"], "sluice: error: unrecognized arguments: --agains=x"),
        (["report"], "sluice report: error: the following arguments are required: FILE"),
    ],
)
def test_wrong_command_is_printed_with_its_usage(arguments: list[str], line: str) -> None:
    done = sluice(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("usage: sluice")
    assert done.err.splitlines()[-1] == line


def test_python_m_sluice_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sluice", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == sluice("--help").out


def test_generated_files_are_up_to_date() -> None:
    assert sluice("generate", "--check") == (0, "all generated files are up to date\n", "")


@pytest.mark.parametrize("command", [["check"], ["report"], ["--help"]])
def test_closed_output_makes_no_traceback(replay: Replay, command: list[str]) -> None:
    if command == ["report"]:
        replay.run(ROOT / "examples/backend_events/history/*")
        command = ["report", str(replay.report_file)]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [SLUICE, *command], cwd=ROOT, stdout=closed, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.stderr.count("\n") <= 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_example_of_a_command_parses(command: Command) -> None:
    assert build_parser().parse_args(shlex.split(command.example)[1:]).command is command


def test_version_is_printed() -> None:
    assert sluice("--version") == (0, f"sluice {__version__}\n", "")


_WITHOUT_BEAM = """\
import sys
from sluice.cli.main import main
try:
    sys.exit(main(sys.argv[1:]))
finally:
    assert "apache_beam" not in sys.modules
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["run", "--help"], ["check"], ["generate", "--check"]]
)
def test_command_without_a_graph_does_not_import_beam(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_BEAM, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
