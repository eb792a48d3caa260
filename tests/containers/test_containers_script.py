"""`scripts/containers` without containers: which images it builds, and what it bears while a scheduler starts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from devservers.tools import ROOT


class Checkout:
    """A checkout with scripts/containers, in which all other programs do what a test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "state").mkdir()
        for name in ("scripts/containers", "tools/base_images/engine.sh", "Dockerfile"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        self.program("scripts/tools", "")
        self.program("bin/sleep", "")

    def program(self, name: str, commands: str) -> None:
        """Make an executable file of shell commands."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\nstate={self.folder}/state\n{commands}\n")
        path.chmod(0o755)

    def start(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the script to its end."""
        return subprocess.run(
            ["bash", str(self.folder / "scripts/containers"), *arguments],
            env={"PATH": f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def lines(self, name: str) -> list[str]:
        """Return what programs have written to a file of the state."""
        return (self.folder / "state" / name).read_text().splitlines()


class Scheduler(Checkout):
    """One whose `docker` does one thing after the other."""

    def answers(self, trigger: str, looks: list[str]) -> None:
        """Make the Docker: it does `trigger` for a run, and gives one of `looks` each time that runs are listed."""
        shown = " ".join(f"'{look}'" for look in looks)
        self.program(
            "bin/docker",
            f"""case "$*" in
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


@pytest.fixture
def scheduler(tmp_path: Path) -> Scheduler:
    return Scheduler(tmp_path)


def test_look_that_fails_is_no_news_of_the_run(scheduler: Scheduler) -> None:
    scheduler.answers('echo "$run" >"$state/run"', ["queued", "fail", "running", "success"])
    done = scheduler.start("airflow")
    assert (done.returncode, done.stderr, len(scheduler.lines("looks"))) == (0, "", 4)


def test_run_that_was_triggered_by_a_try_that_failed_is_waited_for(scheduler: Scheduler) -> None:
    """The first try makes the run and fails; each further one would say that it is there already."""
    trigger = '[ -f "$state/run" ] && echo "already exists" >&2; echo "$run" >"$state/run"; exit 1'
    scheduler.answers(trigger, ["fail", "queued", "success"])
    done = scheduler.start("airflow")
    assert (done.returncode, done.stderr) == (0, "")
    assert (len(scheduler.lines("tries")), len(scheduler.lines("looks"))) == (2, 3)


def test_run_that_cannot_be_triggered_ends_with_what_airflow_says(scheduler: Scheduler) -> None:
    scheduler.answers('echo "no such DAG" >&2; exit 1', ["none"])
    done = scheduler.start("airflow")
    assert (done.returncode, done.stderr, len(scheduler.lines("tries"))) == (1, "no such DAG\n", 61)


def test_run_that_failed_is_said(scheduler: Scheduler) -> None:
    scheduler.answers('echo "$run" >"$state/run"', ["running", "failed"])
    done = scheduler.start("airflow")
    assert done.returncode == 1
    run = scheduler.lines("run")[0]
    assert (
        done.stderr == f"containers: airflow: expected the run {run} to succeed, got failed after 2 looks\n"
    )


PODMAN = """case "$*" in
  *"dags trigger"*) echo "${@: -1}" >"$state/run" ;;
  *"dags list-runs"*) echo "collaboration $(cat "$state/run") success" ;;
  *psql*) echo "order 1" ;;
  ps*) echo container-7 ;;
  wait*) echo 0 ;;
  build*) echo "$@" >>"$state/commands" ;;
esac"""


@pytest.mark.parametrize("profile", [(), ("live",), ("airflow",), ("prefect",)], ids=str)
def test_podman_has_the_image_of_each_service_that_it_starts(
    profile: tuple[str, ...], tmp_path: Path
) -> None:
    checkout = Checkout(tmp_path)
    checkout.program("bin/docker", "exit 1  # no daemon")
    checkout.program("bin/podman", PODMAN)
    checkout.program(".tools/containers/bin/python", 'echo "up of ${@: -1}" >>"$state/commands"')
    checkout.program("tools/base_images/live/make.sh", "")
    done = checkout.start(*profile)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    built, started = set(), []
    for command in checkout.lines("commands"):
        if tag := re.search(r"--tag=localhost/(\S+)", command):
            built.add(tag[1])
            continue
        service = command.removeprefix("up of ")
        started.append(service)
        assert "build" not in services[service] or services[service]["image"] in built, command
    assert len(started) > 2
