"""A Prism that never works: how often it is started again, and how the run is given up. No broker is asked."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from sluice.acknowledgements import PendingAcks
from sluice.config.job import load_job
from sluice.errors import SluiceError
from sluice.run_state import Activity, RunState
from sluice.runtime import streaming_run
from sluice.runtime.launch import run_job
from sluice.runtime.streaming_run import RunningGraph, StreamingRun


def run_on(program: str, folder: Path) -> str:
    """Run a streaming job on a program in place of Prism; return how it was given up."""
    fake = folder / "prism"
    fake.write_text(f"#!/bin/sh\n{program}\n")
    fake.chmod(0o755)
    job = load_job(
        "jobs/backend_events.yaml",
        {
            "source": "kafka://127.0.0.1:1/none?group=g",
            "files": f"{folder}/files",
            "warehouse": f"duckdb:///{folder}/w.duckdb",
            "dead_letters": f"{folder}/dead",
        },
    )
    with pytest.raises(SluiceError) as raised:
        run_job(job, [f"--prism_location={fake}"])
    return str(raised.value)


@pytest.mark.parametrize(("program", "code"), [("exit 0", 0), ("kill -9 $$", 137)])
def test_prism_that_dies_at_once_each_time_is_given_up_with_one_line(
    program: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streaming_run, "PAUSE_SECONDS", 0.0)
    ended = f"Prism, the runner of streaming jobs, ended with exit code {code}"
    with caplog.at_level(logging.WARNING, "sluice"):
        assert run_on(program, tmp_path) == (
            f"{ended}; it was started again 5 times within 600 s; what was not stored was not acknowledged, run again"
        )
    # Threads of a vendor's client that another test has used may log, too.
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("sluice")]
    assert logged == [
        f"{ended}; starting it again ({number} of at most 5 times within 600 s); 0 records are not stored, and are "
        "read again"
        for number in range(1, 6)
    ]


def test_failures_that_are_long_ago_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Prism lives longer than the time within which failures count; the fourth deletes the program."""
    monkeypatch.setattr(streaming_run, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(streaming_run, "RESTART_SECONDS", 0.01)
    monkeypatch.setattr(streaming_run, "MOST_RESTARTS", 1)
    count = tmp_path / "count"
    program = f'echo >> {count}; sleep 0.05; [ "$(wc -l < {count})" = 4 ] && rm "$0"; exit 3'
    assert run_on(program, tmp_path).startswith("expected Prism, the runner of streaming jobs: ")
    assert len(count.read_text().splitlines()) == 4


def stall_after(seconds: float, *, storing: bool, idle: bool = False) -> str | None:
    """Return why a run is taken for one that stands still, so many seconds after it has read a record."""
    now = [0.0]
    state = RunState(acks=PendingAcks(lambda: now[0]), activity=Activity(lambda: now[0]))
    run = StreamingRun(state, PipelineOptions, lambda *_: None, lambda: "")
    run.graphs.append(RunningGraph(state, ""))
    state.acks.issue(1, 1, lambda: None)
    now[0] = seconds
    if not idle:
        with state.activity.at_work():
            pass
    with state.activity.at_work(stores=True) if storing else nullcontext():
        stall = run.stall(flush=10.0)
    return None if stall is None else str(stall)


@pytest.mark.parametrize(
    ("seconds", "storing", "idle", "stall"),
    [
        (60.0, False, True, None),
        (60.1, False, True, "did nothing for 60 s"),
        (60.1, True, True, None),  # a step waits for its warehouse
        (310.0, False, False, None),
        (310.1, False, False, "stored nothing of what was read for 310 s"),
        (310.1, True, False, None),
    ],
)
def test_runner_that_makes_no_progress_is_told_from_a_step_that_waits(
    seconds: float, storing: bool, idle: bool, stall: str | None
) -> None:
    expected = None if stall is None else f"Prism, the runner of streaming jobs, {stall}"
    assert stall_after(seconds, storing=storing, idle=idle) == expected


def test_record_that_is_stored_is_progress() -> None:
    now = [0.0]
    acks = PendingAcks(lambda: now[0])
    first, _ = acks.issue(1, 1, lambda: None), acks.issue(1, 1, lambda: None)
    now[0] = 100.0
    acks.complete({first: 1})
    now[0] = 150.0
    assert (acks.unmoved(), acks.outstanding().seconds) == (50.0, 150.0)
