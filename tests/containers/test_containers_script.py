"""`scripts/containers airflow`: what it bears while the scheduler starts, with a Docker that answers for Airflow."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from devservers.tools import ROOT


class Scheduler:
    """A checkout with scripts/containers alone, and a `docker` that does one thing after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("scripts", "tools/base_images", "bin", "state"):
            (folder / name).mkdir(parents=True)
        shutil.copy(ROOT / "scripts/containers", folder / "scripts")
        shutil.copy(ROOT / "tools/base_images/engine.sh", folder / "tools/base_images")
        self._program("scripts/tools", "")
        self._program("bin/sleep", "")

    def answers(self, trigger: str, looks: list[str]) -> None:
        """Make the Docker: it does `trigger` for a run, and gives one of `looks` each time that runs are listed."""
        shown = " ".join(f"'{look}'" for look in looks)
        self._program(
            "bin/docker",
            f"""state={self.folder}/state
case "$*" in
  *"dags trigger"*) echo x >>"$state/tries"; run="${{@: -1}}"; {trigger} ;;
  *"dags list-runs"*)
    looks=({shown})
    echo x >>"$state/looks"
    number=$(wc -l <"$state/looks")
    [ "$number" -gt ${{#looks[@]}} ] && number=${{#looks[@]}}
    case "${{looks[number - 1]}}" in
      fail) echo "no connection" >&2; exit 1 ;;
      none) ;;
      *) echo "collaboration $(cat "$state/run") ${{looks[number - 1]}}" ;;
    esac ;;
  *ps*) echo container-7 ;;
esac""",
        )

    def start(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.folder / "scripts/containers"), "airflow"],
            env={"PATH": f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def count(self, what: str) -> int:
        return len((self.folder / "state" / what).read_text().splitlines())

    def _program(self, name: str, commands: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/usr/bin/env bash\n{commands}\n")
        path.chmod(0o755)


@pytest.fixture
def scheduler(tmp_path: Path) -> Scheduler:
    return Scheduler(tmp_path)


def test_look_that_fails_is_no_news_of_the_run(scheduler: Scheduler) -> None:
    scheduler.answers('echo "$run" >"$state/run"', ["queued", "fail", "running", "success"])
    done = scheduler.start()
    assert (done.returncode, done.stderr, scheduler.count("looks")) == (0, "", 4)


def test_run_that_was_triggered_by_a_try_that_failed_is_waited_for(scheduler: Scheduler) -> None:
    """The first try makes the run and fails; each further one would say that it is there already."""
    trigger = '[ -f "$state/run" ] && echo "already exists" >&2; echo "$run" >"$state/run"; exit 1'
    scheduler.answers(trigger, ["fail", "queued", "success"])
    done = scheduler.start()
    assert (done.returncode, done.stderr) == (0, "")
    assert (scheduler.count("tries"), scheduler.count("looks")) == (2, 3)


def test_run_that_cannot_be_triggered_ends_with_what_airflow_says(scheduler: Scheduler) -> None:
    scheduler.answers('echo "no such DAG" >&2; exit 1', ["none"])
    done = scheduler.start()
    assert (done.returncode, done.stderr, scheduler.count("tries")) == (1, "no such DAG\n", 61)


def test_run_that_failed_is_said(scheduler: Scheduler) -> None:
    scheduler.answers('echo "$run" >"$state/run"', ["running", "failed"])
    done = scheduler.start()
    assert done.returncode == 1
    run = (scheduler.folder / "state/run").read_text().strip()
    assert (
        done.stderr == f"containers: airflow: expected the run {run} to succeed, got failed after 2 looks\n"
    )
