"""Help, versions, dispatch and output of the command line."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sluice import __version__
from sluice.cli import commands
from sluice.cli.command import Command
from sluice.cli.commands import COMMANDS, build_parser
from sluice.cli.main import main
from sluice.errors import ConfigError, SluiceError

from devservers.sluice_command import sluice
from devservers.sluice_process import SLUICE
from devservers.tools import ROOT
from tests.end_to_end.replay_fixture import Replay


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
            "sluice: error: argument COMMAND: invalid choice: 'rum' (choose from 'init', 'infer', 'run', 'load', "
            "'verify', 'tables', 'publish', 'dead-letters', 'redeliver', 'check', 'generate', 'report', 'monitor', "
            "'sources', 'warehouses', 'completion')",
        ),
        (["run"], "sluice run: error: the following arguments are required: JOB"),
        (["check", "--agains=x"], "sluice: error: unrecognized arguments: --agains"),
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
def test_closed_pipe_is_one_line(replay: Replay, command: list[str]) -> None:
    if command == ["report"]:
        replay.run(ROOT / "examples/backend_events/history/*")
        command = ["report", str(replay.report_file)]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [SLUICE, *command], cwd=ROOT, stdout=closed, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "sluice: cannot write to standard output: Broken pipe\n")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_example_of_a_command_parses(command: Command) -> None:
    assert build_parser().parse_args(shlex.split(command.example)[1:]).command is command


def test_version_is_printed() -> None:
    native = "" if importlib.util.find_spec("sluice_native") is None else "+native"
    assert sluice("--version") == (0, f"sluice {__version__}{native}\n", "")


_WITHOUT_MODULES = """\
import sys
from sluice.cli.main import main
try:
    sys.exit(main(sys.argv[2:]))
finally:
    assert not {*sys.argv[1].split()} & {*sys.modules}
"""


@pytest.mark.parametrize(
    ("arguments", "modules"),
    [
        (["--help"], "apache_beam pyarrow"),
        (["--version"], "apache_beam pyarrow"),
        (["run", "--help"], "apache_beam pyarrow"),
        (["check"], "apache_beam duckdb open_data_contract_standard pydantic"),
        (["generate", "--check"], "apache_beam"),
    ],
)
def test_command_does_not_import_what_takes_long_and_it_does_not_need(
    arguments: list[str], modules: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_MODULES, modules, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments", [["sources"], ["sources", "kafka"], ["check"], ["--help"], ["--version"]]
)
def test_full_output_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [SLUICE, *arguments], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (
        1,
        "sluice: cannot write to standard output: No space left on device\n",
    )


@pytest.mark.parametrize(
    ("redirections", "code", "line"),
    [
        (">&-", 1, "sluice: cannot write to standard output: Bad file descriptor\n"),
        ("<&- >&-", 1, "sluice: cannot write to standard output: Bad file descriptor\n"),
        ("2>&-", 0, ""),
        (">/dev/full 2>/dev/full", 1, ""),
        (">&- 2>&-", 1, ""),
    ],
)
def test_closed_standard_stream_is_never_a_traceback(redirections: str, code: int, line: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {shlex.quote(SLUICE)} sources {redirections}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, line)


def test_run_without_standard_error_reports_on_standard_output_alone(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(
        "sale_id,product_id,user_id,quantity,sale_date\nS1,P,U,1,2025-01-10\n"
    )
    places = ("--files=files", "--dead-letters=dead", "--warehouse=duckdb:///w.duckdb")
    job = f"{shlex.quote(str(ROOT))}/jobs/commerce_sales.yaml"
    contract = f"--contracts={shlex.quote(str(ROOT))}/schemas/commerce/sale.odcs.yaml"
    command = f"exec {shlex.quote(SLUICE)} run {job} {contract} {' '.join(places)} --source="
    for source, code, last in (("sales.csv", 0, "dead letters: dead\n"), ("nothing.csv", 1, "")):
        done = subprocess.run(
            ["sh", "-c", f"{command}{source} 2>&-"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (code, "")
        assert done.stdout.endswith(last)
        assert bool(done.stdout) == bool(last)


class NativePanicError(BaseException):
    """As extensions raise it that are written in Rust."""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("a\nb  c"), 1, "ValueError: a b c; --debug shows the traceback"),
        (KeyError("x"), 1, "KeyError: 'x'; --debug shows the traceback"),
        (MemoryError(), 1, "MemoryError; --debug shows the traceback"),
        (RecursionError("too deep"), 1, "RecursionError: too deep; --debug shows the traceback"),
        (OSError(28, "No space"), 1, "OSError: [Errno 28] No space; --debug shows the traceback"),
        (OSError(36, "File name too long", "x"), 1, "'x': File name too long"),
        (NativePanicError("panic"), 1, "NativePanicError: panic; --debug shows the traceback"),
        (SluiceError("one\x1b[2J\ntwo"), 1, "one\\x1b[2J\\ntwo"),
        (ConfigError("wrong"), 2, "wrong"),
        (
            KeyboardInterrupt(),
            130,
            "interrupted; what was written stays valid, and the next run completes it",
        ),
        (
            RuntimeError("failed at postgresql://me:s3cr3t@host/db?password=s3cr3t, sorry"),
            1,
            "RuntimeError: failed at postgresql://host/db sorry; --debug shows the traceback",
        ),
        (
            RuntimeError(
                "Traceback (most recent call last):\n  File\nKeyError: 'x' [while running 'Load']\n"
            ),
            1,
            "KeyError: 'x' [while running 'Load']; --debug shows the traceback",
        ),
    ],
)
def test_any_exception_is_one_line(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(commands, "run_command", fail)
    assert main(["check"]) == code
    assert capsys.readouterr() == ("", f"sluice: {line}\n")


@pytest.mark.parametrize("arguments", [["--debug", "check"], ["check", "--debug"]])
def test_debug_shows_the_traceback_before_the_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build_parser().parse_args(arguments).debug

    def fail(_: object) -> int:
        raise ValueError("x")  # noqa: EM101  a message of one letter

    monkeypatch.setattr(commands, "run_command", fail)
    assert main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2:] == ["ValueError: x", "sluice: ValueError: x; --debug shows the traceback"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_a_command_with_one_line_and_its_own_code(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler
    given = signal.signal(number, before)  # a shell has its background jobs ignore SIGINT, and nohup SIGHUP
    monkeypatch.setattr(commands, "run_command", lambda _: signal.raise_signal(number))
    try:
        code, after = main(["check"]), signal.getsignal(number)
    finally:
        signal.signal(number, given)
    assert code == 128 + number
    assert capsys.readouterr().err == (
        "sluice: interrupted; what was written stays valid, and the next run completes it\n"
    )
    assert after is before


_TWO_SIGNALS = """\
import signal, sys
from sluice.cli import commands
from sluice.cli.main import main

def run(arguments):
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.raise_signal(signal.SIGTERM)

commands.run_command = run
sys.exit(main())
"""


def test_second_signal_ends_the_process_at_once_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TWO_SIGNALS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        143,
        "sluice: interrupted; what was written stays valid, and the next run completes it\n",
    )


_AT_THE_END = """\
import atexit, sys
from sluice.cli import commands
from sluice.cli.main import main

class Kept:
    def __del__(self):
        print("taken apart")

def run(arguments):
    atexit.register(print, "called")
    return 3

kept = Kept()
commands.run_command = run
sys.exit(main())
"""


def test_process_ends_with_what_is_registered_for_it_but_is_not_taken_apart() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _AT_THE_END], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "called\n", "")


def test_process_that_cannot_print_at_its_end_says_so_by_its_code() -> None:
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", _AT_THE_END], cwd=ROOT, env=buffered, stdout=full, check=False
        )
    assert done.returncode == 120  # Python's code for it
