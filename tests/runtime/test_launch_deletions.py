"""What a run writes to is deleted while it lasts: it ends with one line, or `sluice verify` names what is gone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from devservers.sluice_command import ForkedSluiceProcess, sluice
from tests.cli.failures import history
from tests.end_to_end.replay_fixture import JOB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")

OLD_MINUTE = "files/inventory/2025/02/08/13/11"
"""A minute that has no events in the run in which it is deleted."""


class DeletedRun:
    """A run of 60 events in 6 minutes and 3 broken records, and what it writes to below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warehouse = f"duckdb:///{folder}/w.duckdb"
        self.scratch = folder / "scratch"
        self.scratch.mkdir()

    def arguments(self, command: str) -> list[str]:
        folder = self.folder
        places = (f"--files={folder}/files", f"--warehouse={self.warehouse}")
        return [command, JOB, *places, f"--dead-letters={folder}/dead"]

    def run(self, moment: str, deleted: str) -> tuple[int, str]:
        """Run, have a worker delete something at a moment, and return exit code and output."""
        source = history(self.folder / "history.json", 60, 6)
        with source.open("a") as file:
            file.write('{"event_type":"inventory"}\n' * 3)
        program = ["tests.runtime.killed_run", moment, "worker"]
        arguments = [f"delete:{self.folder / deleted}", *self.arguments("run"), f"--source={source}"]
        environment = {**os.environ, "TMPDIR": str(self.scratch)}
        run = ForkedSluiceProcess([*program, *arguments], environment, self.folder / "run.log")
        code = run.finish()
        assert (self.folder / f"{deleted}.deleted").exists()
        return code, run.output()


@pytest.fixture
def run(tmp_path: Path) -> DeletedRun:
    return DeletedRun(tmp_path)


@pytest.mark.parametrize(
    ("moment", "deleted"),
    [
        ("appended", "files"),
        ("dead_letters", "dead"),
        ("loaded", "files/inventory"),
        pytest.param("work", "files", marks=pytest.mark.long),
        pytest.param("work", "dead", marks=pytest.mark.long),
        pytest.param("loaded", "dead", marks=pytest.mark.long),
    ],
)
def test_log_that_is_deleted_in_mid_run_ends_it_with_one_line(
    run: DeletedRun, moment: str, deleted: str
) -> None:
    code, output = run.run(moment, deleted)
    assert code == 1
    assert output.count("\n") == 1
    assert output.startswith(f"sluice: {run.folder / deleted}")


@pytest.mark.parametrize(
    ("scheme", "moment", "deleted", "named"),
    [
        ("duckdb", "loaded", "w.duckdb", "w.duckdb"),
        ("duckdb", "loaded", "w/inventory_events", "w/inventory_events"),
        ("sqlite", "done", "w.sqlite", "w.sqlite"),
        # Another worker may be writing a file into the folder at that moment: then that one is named.
        pytest.param("duckdb", "loaded", "w", "w/", marks=pytest.mark.long),
        pytest.param("duckdb", "appended", "w.duckdb", "w.duckdb", marks=pytest.mark.long),
        pytest.param("sqlite", "appended", "w.sqlite", "w.sqlite", marks=pytest.mark.long),
        pytest.param("sqlite", "loaded", "w.sqlite", "w.sqlite", marks=pytest.mark.long),
    ],
)
def test_warehouse_that_is_deleted_in_mid_run_ends_it_with_one_line(
    run: DeletedRun, scheme: str, moment: str, deleted: str, named: str
) -> None:
    run.warehouse = f"{scheme}:///{run.folder}/w.{scheme}"
    code, output = run.run(moment, deleted)
    assert code == 1
    assert output.count("\n") == 1
    assert output.startswith(f"sluice: {run.folder}/{named}")


def test_old_minute_that_is_deleted_in_mid_run_is_named_by_verify(run: DeletedRun) -> None:
    first = history(run.folder / "first.json", 12, 12)
    assert sluice(*run.arguments("run"), f"--source={first}").code == 0
    (segment,) = (run.folder / OLD_MINUTE).iterdir()
    code, output = run.run("appended", OLD_MINUTE)
    assert (code, "Traceback" in output) == (0, False)
    verified = sluice(*run.arguments("verify"))
    assert verified.code == 1
    assert f"{segment}: expected the file of segment " in verified.out.replace("\n", "")


def test_folder_of_a_run_that_is_deleted_ends_it_with_one_line(run: DeletedRun) -> None:
    """It has the totals of finished work, from which the report is made."""
    code, output = run.run("loaded", "scratch")
    assert (code, output.count("\n")) == (1, 1)
    assert output.startswith("sluice: ")
