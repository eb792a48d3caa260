from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from sluice.runtime import local_workers as workers
from sluice.runtime.local_workers import local_workers

ROOT = Path(__file__).parents[2]

LOST = "what was written stays valid, run again"


@pytest.mark.parametrize(
    ("kind", "step", "raised"),
    [
        ("forked", "work", ""),
        ("forked", "work_in_a_notebook", ""),
        ("spawned", "work_in_a_notebook", ""),
        (
            "forked",
            "be_killed",
            f"WorkerError: a worker process died: killed by SIGKILL, as a full memory would; {LOST}",
        ),
        ("forked", "leave", f"WorkerError: a worker process died: exit code 3; {LOST}"),
        ("forked", "die_before_start", f"WorkerError: a worker process died: killed by SIGTERM; {LOST}"),
        ("spawned", "leave", f"WorkerError: a worker process died: exit code 3; {LOST}"),
    ],
)
def test_worker_that_dies_ends_the_run_and_no_worker_outlives_it(kind: str, step: str, raised: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.worker_run", kind, step],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"raised": raised, "ended": True}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with the one that made it")
@pytest.mark.parametrize("kind", ["forked", "spawned"])
def test_worker_that_keeps_pythons_lock_ends_with_its_killed_launcher(kind: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.runtime.worker_run", kind, "hold_the_lock"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    ) as launcher:
        assert launcher.stdout is not None
        worker = os.pidfd_open(int(launcher.stdout.readline()))
        launcher.kill()
    try:
        ended, _, _ = select.select([worker], [], [], 30)
    finally:
        os.close(worker)
    assert ended == [worker]


def test_workers_that_nobody_starts_end_with_the_context() -> None:
    before = children()
    with local_workers(2, PipelineOptions([])):
        assert len(children() - before) == 2
    assert children() == before


def children() -> set[str]:
    """Return the ids of the processes that this one has started and that have not ended."""
    return {
        pid
        for thread in Path("/proc/self/task").iterdir()
        for pid in (thread / "children").read_text().split()
    }


def test_process_is_forked_where_the_system_starts_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    assert workers._can_fork()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not workers._can_fork()
