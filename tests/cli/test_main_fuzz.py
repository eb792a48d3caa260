"""Whatever a job file, a contract or a command line says: exit code 0, 1 or 2, at most one line, no traceback."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sluice.cli.main import main

from devservers.sluice_process import SLUICE
from devservers.tools import ROOT
from tests.cli.odd_input import CONTRACTS, JOBS, command_lines, files_like

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
FUZZ = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
JOB = f"""\
name: fuzz
contracts: {ROOT}/schemas/clickstream
source: nowhere/*.json
files: files
warehouse: sqlite:///tables.db
dead_letters: dead
"""

LOADS_NOTHING = "fuzz: 0 segments of 0 days, counted for each event type: "
"""What a `load` of the job says before it begins."""


@pytest.fixture(scope="module", autouse=True)
def _in_a_folder_of_its_own() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        (Path(folder) / "job.yaml").write_text(JOB)
        for name in ("schemas", "jobs"):
            shutil.copytree(ROOT / name, Path(folder) / name)  # `sluice generate` writes there
        yield


def assert_ends_in_order(*arguments: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    assert_one_line(arguments, code, out.getvalue(), err.getvalue())


def assert_one_line(arguments: object, code: int, out: str, err: str) -> None:
    said = f"{arguments}: {code}\n{out}\n{err}"
    assert code in (0, 1, 2), said
    assert "Traceback" not in err, said
    assert "--debug shows the traceback" not in err, said
    lines = [line for line in err.splitlines() if not line.startswith(LOADS_NOTHING)]
    if lines and lines[0].startswith("usage: sluice"):
        assert code == 2, said
        lines = lines[-1:]
    assert len(lines) == (1 if code and not out else len(lines) and 1), said
    assert all(line.startswith("sluice") for line in lines), said


@FUZZ
@given(files_like(JOBS))
def test_any_job_file_is_checked_in_order(data: bytes) -> None:
    Path("fuzzed.yaml").write_bytes(data)
    assert_ends_in_order("check", "fuzzed.yaml")
    assert_ends_in_order("tables", "fuzzed.yaml", "--diff", "--warehouse=sqlite:///fuzzed.db")


@FUZZ
@given(files_like(CONTRACTS))
def test_any_contract_is_checked_and_makes_tables_in_order(data: bytes) -> None:
    folder = Path("fuzzed")
    folder.mkdir(exist_ok=True)
    (folder / "fuzzed.odcs.yaml").write_bytes(data)
    Path("fuzzed.db").unlink(missing_ok=True)
    assert_ends_in_order("check", "fuzzed/fuzzed.odcs.yaml")
    flags = ("--contracts=fuzzed/fuzzed.odcs.yaml", "--warehouse=sqlite:///fuzzed.db")
    assert_ends_in_order("tables", "job.yaml", "--create", *flags)
    assert_ends_in_order("tables", "job.yaml", "--diff", *flags)


@FUZZ
@given(command_lines("job.yaml"))
def test_any_command_line_ends_in_order(arguments: list[str]) -> None:
    assert_ends_in_order(*arguments)


@settings(FUZZ, max_examples=5)
@given(st.data())
def test_any_command_line_ends_in_order_as_a_process(data: st.DataObject) -> None:
    arguments = data.draw(command_lines("job.yaml"))
    done = subprocess.run([SLUICE, *arguments], capture_output=True, text=True, errors="replace", check=False)
    assert_one_line(arguments, done.returncode, done.stdout, done.stderr)
