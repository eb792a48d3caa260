"""The real `sluice run` and `sluice load` of 30 days into BigQuery's emulator: few loads, and each row once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery
from sluice.retry import wait_until

from devservers.sluice_command import sluice
from devservers.sluice_process import EXIT_SECONDS, SLUICE
from devservers.tools import ROOT
from tests.warehouses.backends import BACKENDS, Backend, MakeBackend, bigquery_client

DAYS, MINUTES = 30, 4
START = datetime(2025, 1, 10, tzinfo=UTC)
EVENT = (
    '{"event_type":"inventory","inventory_id":"b774d438-2c28-4976-a77d-6ddf54a2f8d6",'
    '"product_id":"58d98cba-fdee-4846-a648-13569c5c90c1","warehouse_id":"e38a42d9-5aec-4d51-a9ff-c6b5c7463a30",'
    '"quantity_change":%d,"reason":"sale","timestamp":"%s"}\n'
)


@pytest.fixture(scope="module")
def make_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBackend]:
    with BACKENDS["bigquery"](tmp_path_factory.mktemp("server")) as make:
        yield make


@pytest.fixture
def backend(make_backend: MakeBackend, tmp_path: Path) -> Backend:
    lines = [
        EVENT % (number + 1, (START + timedelta(days=day, minutes=minute, seconds=number)).isoformat())
        for day in range(DAYS)
        for minute in range(MINUTES)
        for number in range(2)
    ]
    (tmp_path / "history.ndjson").write_text("".join([*lines, "{\n"]))
    return make_backend(tmp_path)


def arguments(backend: Backend, folder: Path, command: str = "run") -> list[str]:
    return [
        *(
            command,
            "jobs/backend_events.yaml",
            f"--source={folder}/history.ndjson",
            f"--files={folder}/files",
        ),
        *(f"--dead-letters={folder}/dead_letters", f"--warehouse={backend.url}"),
        *(
            "--report",
            f"{folder}/report.json",
            "--load=events,counts,dead_letters",
        ),  # no manifest, a load a run
    ]


def run(backend: Backend, folder: Path, command: str = "run") -> tuple[dict[str, Any], str]:
    """Run a command; return its report and what it says."""
    done = sluice(*arguments(backend, folder, command), environment=dict(backend.environment))
    assert done.code == 0, done.err
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report, done.err


def load_jobs(backend: Backend) -> list[str]:
    """Return the ids of the load jobs of this warehouse."""
    dataset = backend.url.rpartition("/")[2]
    client = bigquery_client(backend.environment["BIGQUERY_EMULATOR_HOST"])
    try:
        jobs = client.list_jobs(max_results=100_000)
        return [
            job.job_id
            for job in jobs
            if isinstance(job, bigquery.LoadJob) and job.job_id.startswith(f"sluice-{dataset}-")
        ]
    finally:
        client.close()


def state(backend: Backend) -> tuple[int, ...]:
    """Return rows, distinct events, counted events, segments, distinct segments and dead letters."""
    queries = (
        "SELECT COUNT(*) FROM `inventory_events` WHERE timestamp >= @first",
        "SELECT COUNT(DISTINCT _event_id) FROM `inventory_events` WHERE timestamp >= @first",
        "SELECT SUM(events) FROM event_counts",
        "SELECT COUNT(*) FROM _segments",
        "SELECT COUNT(DISTINCT segment_id) FROM _segments",
        "SELECT COUNT(*) FROM `dead_letters` WHERE time >= @first",
    )
    return tuple(int(backend.query(sql)[0][0]) for sql in queries)


SEGMENTS = DAYS * MINUTES
EVENTS = 2 * SEGMENTS
DONE = (EVENTS, EVENTS, EVENTS, SEGMENTS + 1, SEGMENTS + 1, 1)


@pytest.mark.timeout(900)
def test_history_of_30_days_is_one_load_a_day(backend: Backend, tmp_path: Path) -> None:
    report, said = run(backend, tmp_path)
    assert (report["loaded"], report["segments"], report["rejected"]) == (EVENTS, SEGMENTS, 1)
    assert "one load, and one change of a partition, for each event type and day of the input" in said
    assert state(backend) == DONE
    assert len(load_jobs(backend)) == DAYS + 1  # with that of the dead letter
    again, _ = run(backend, tmp_path)
    loaded, said = run(backend, tmp_path, "load")
    assert (again["duplicates"], again["backfilled"], loaded["backfilled"]) == (EVENTS, 0, 0)
    expected = (
        f"{SEGMENTS + 1} segments of {DAYS + 1} days, counted for each event type: at most {DAYS + 1} loads"
    )
    assert expected in said
    assert (state(backend), len(load_jobs(backend))) == (DONE, DAYS + 1)


def _has_loads(backend: Backend, loads: int) -> bool:
    return len(load_jobs(backend)) >= loads


@pytest.mark.timeout(900)
@pytest.mark.long
def test_history_that_is_killed_in_the_midst_of_its_loads_is_completed(
    backend: Backend, tmp_path: Path
) -> None:
    for command, loads in (("run", 2), ("load", 9)):
        process = subprocess.Popen(
            [SLUICE, *arguments(backend, tmp_path, command)],
            cwd=ROOT,
            env={**os.environ, **backend.environment},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert wait_until(partial(_has_loads, backend, loads), EXIT_SECONDS, 0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    report, _ = run(backend, tmp_path, "load")
    assert report["reconciled"]
    run(backend, tmp_path)
    assert state(backend) == DONE
    assert len(load_jobs(backend)) <= DAYS + 1 + 2
