"""Each process of a batch run dies at each moment: one line, an exit code, and nothing left within seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from devservers.sluice_command import ForkedSluiceProcess
from devservers.sluice_process import SluiceProcess
from tests.cli.failures import history
from tests.end_to_end.replay_fixture import JOB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")

MOMENTS = ("fork", "build", "prepare", "submit", "start")
WORKER_MOMENTS = ("ready", "set_up", "work", "done")
LAUNCHER_MOMENTS = ("open", *MOMENTS, "report", "end", "clean_up")
CAUSES = {
    "SIGKILL": "killed by SIGKILL, as a full memory would",
    "SIGSEGV": "killed by SIGSEGV",
    "SIGTERM": "killed by SIGTERM",
    "exit:0": "exit code 0",
    "exit:3": "exit code 3",
}
SIGNALS = [how for how in CAUSES if how.startswith("SIG")]
INTERRUPTED = "sluice: interrupted; what was written stays valid, and the next run completes it\n"


def run_to_death(
    folder: Path, moment: str, victim: str, how: str, prefix: Sequence[str] = ()
) -> tuple[int, str]:
    """Run, by a program `prefix` if there is one; return exit code and output. Nothing may be left of the run."""
    command = [
        "tests.runtime.killed_run", moment, victim, how, "run", JOB,
        f"--source={history(folder / 'history.json', 60, 6)}", f"--files={folder}/files",
        f"--warehouse=duckdb:///{folder}/w.duckdb", f"--dead-letters={folder}/dead",
    ]  # fmt: skip
    environment, output = {**os.environ, "TMPDIR": str(folder)}, folder / "run.log"
    run = (
        SluiceProcess([*prefix, sys.executable, "-m", *command], environment, output)
        if prefix
        else ForkedSluiceProcess(command, environment, output)
    )
    code = run.finish()
    return code, run.output()


def assert_worker_death_is_one_line(folder: Path, moment: str, victim: str, how: str) -> None:
    line = f"sluice: a worker process died: {CAUSES[how]}; what was written stays valid, run again\n"
    assert run_to_death(folder, moment, victim, how) == (1, line)


@pytest.mark.parametrize(
    ("moment", "victim", "how"),
    [
        ("build", "worker", "SIGKILL"),
        ("start", "spawned", "SIGSEGV"),
        ("ready", "worker", "SIGSEGV"),
        ("work", "worker", "SIGTERM"),
        ("done", "worker", "exit:0"),
    ],
)
def test_worker_that_dies_is_one_line(tmp_path: Path, moment: str, victim: str, how: str) -> None:
    assert_worker_death_is_one_line(tmp_path, moment, victim, how)


@pytest.mark.long
@pytest.mark.parametrize(
    ("moment", "victim", "how"),
    [
        *((moment, "worker", how) for moment in WORKER_MOMENTS for how in CAUSES),
        *((moment, "worker", how) for moment in MOMENTS for how in SIGNALS),
        *((moment, "spawned", how) for moment in MOMENTS for how in SIGNALS),
    ],
)
def test_worker_that_dies_in_any_way_at_any_moment_is_one_line(
    tmp_path: Path, moment: str, victim: str, how: str
) -> None:
    assert_worker_death_is_one_line(tmp_path, moment, victim, how)


def test_worker_that_dies_where_sigchld_is_ignored_is_one_line(tmp_path: Path) -> None:
    ignoring = "from signal import *; signal(SIGCHLD, SIG_IGN)"
    prefix = (sys.executable, "-c", f"{ignoring}; import os, sys; os.execv(sys.argv[1], sys.argv[1:])")
    assert run_to_death(tmp_path, "work", "worker", "SIGKILL", prefix) == (
        1,
        "sluice: a worker process died: exit code unknown; what was written stays valid, run again\n",
    )


@pytest.mark.parametrize(("moment", "how"), [("build", "SIGKILL"), ("work", "SIGTERM"), ("end", "SIGTERM")])
def test_launcher_that_dies_leaves_no_process(tmp_path: Path, moment: str, how: str) -> None:
    assert_launcher_death_leaves_nothing(tmp_path, moment, how)


@pytest.mark.long
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGSEGV"])
@pytest.mark.parametrize("moment", [*LAUNCHER_MOMENTS, *WORKER_MOMENTS])
def test_launcher_that_dies_in_any_way_at_any_moment_leaves_no_process(
    tmp_path: Path, moment: str, how: str
) -> None:
    assert_launcher_death_leaves_nothing(tmp_path, moment, how)


def assert_launcher_death_leaves_nothing(folder: Path, moment: str, how: str) -> None:
    ends = {
        "SIGKILL": (-9, ""),
        "SIGSEGV": (-11, ""),
        "SIGTERM": (143, INTERRUPTED),
        "SIGINT": (130, INTERRUPTED),
        "SIGHUP": (129, INTERRUPTED),
    }
    assert run_to_death(folder, moment, "launcher", how) == ends[how]
