"""A Prism that never works: how often it is started again, and how the run is given up. No broker is asked."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sluice.config.job import load_job
from sluice.errors import SluiceError
from sluice.runtime import streaming_run
from sluice.runtime.launch import run_job


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
    assert [record.getMessage() for record in caplog.records] == [
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
