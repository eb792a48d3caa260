"""The real `sluice run` into the emulators of BigQuery and Snowflake: what comes of a history, and of it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devservers.sluice_command import sluice
from devservers.tools import ROOT
from tests.live.monitored import check_monitors
from tests.warehouses.backends import BACKENDS, Backend

HISTORY = ROOT / "examples/backend_events/history/orders_and_stock.ndjson"
MINUTES = (b"T13:01:", b"T13:02:")
"""Of the history, so that there are few segments: every job of the emulators takes its time."""
TABLES = {"order_events": "order_date", "inventory_events": "timestamp", "dead_letters": "time"}


@pytest.fixture(params=["bigquery", "snowflake"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    folder = tmp_path / "server"
    folder.mkdir()
    with BACKENDS[request.param](folder) as make:
        yield make(tmp_path)


def run(
    backend: Backend,
    folder: Path,
    command: str = "run",
    job: str = "jobs/backend_events.yaml",
    source: str = "history.ndjson",
) -> dict[str, Any]:
    """Run a job into the warehouse and return its report."""
    arguments = [command, job, f"--source={folder}/{source}"]
    arguments += [
        f"--files={folder}/files",
        f"--dead-letters={folder}/dead_letters",
        f"--warehouse={backend.url}",
    ]
    done = sluice(*arguments, "--report", f"{folder}/report.json", environment=dict(backend.environment))
    assert done.code == 0, done.err
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def state(backend: Backend) -> dict[str, int]:
    """Return how many rows, counted events and segments there are."""
    # BigQuery's tables of events refuse a query without a filter on the partition.
    what = "`{}` WHERE `{}` >= TIMESTAMP '2000-01-01'" if backend.url.startswith("bigquery:") else "{}"
    numbers = {
        table: backend.query(f"SELECT COUNT(*) FROM {what.format(table, time)}")[0][0]
        for table, time in TABLES.items()
    }
    numbers["events"] = backend.query("SELECT SUM(events) FROM event_counts")[0][0]
    numbers["segments"] = backend.query("SELECT COUNT(*) FROM _segments WHERE event_type <> 'source_file'")[
        0
    ][0]
    return {name: int(number) for name, number in numbers.items()}


CLICKS = b"".join(
    b'{"user_id":"u%d","event_type":"%b","timestamp":"2025-02-08T13:09:%02dZ"}\n' % (n, kind, second)
    for n, (kind, second) in enumerate(
        ((b"click", 0), (b"view", 1), (b"click", 9), (b"click", 10), (b"purchase", 11), (b"scroll", 12))
    )
)


@pytest.mark.long
def test_clickstream_job_loads_only_counts_into_snowflake(tmp_path: Path) -> None:
    (tmp_path / "clicks.ndjson").write_bytes(CLICKS)
    with BACKENDS["snowflake"](tmp_path) as make:
        backend = make(tmp_path)
        for command, loaded, backfilled in (("run", 5, 0), ("run", 0, 0), ("load", 0, 0)):
            report = run(backend, tmp_path, command, "jobs/clickstream.yaml", "clicks.ndjson")
            assert (report["loaded"], report["backfilled"], report["reconciled"]) == (
                loaded,
                backfilled,
                True,
            )
        rows = backend.query("SELECT event_type, window_start, events FROM event_counts ORDER BY 2, 1")
        tables = backend.query("SELECT table_name FROM information_schema.tables ORDER BY 1")
        segments = backend.query("SELECT events FROM _segments")
    start = datetime(2025, 2, 8, 13, 9, tzinfo=UTC)
    after = start + timedelta(seconds=10)
    assert rows == [("click", start, 2), ("view", start, 1), ("click", after, 1), ("purchase", after, 1)]
    assert {name for (name,) in tables} == {
        "_EVENT_COUNTS",
        "_LOAD_LOCK",
        "_REFUSALS",
        "_SEGMENTS",
    }
    assert segments == [(5,)]
    assert len(list(tmp_path.glob("files/**/*.json"))) == 3  # with _log.json, also of the sources
    assert len(list(tmp_path.glob("dead_letters/**/dead_letter_*.json"))) == 1


def test_history_is_loaded_once_and_can_be_monitored(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = HISTORY.read_bytes().splitlines(keepends=True)
    chosen = [line for line in lines if any(minute in line for minute in MINUTES)]
    (tmp_path / "history.ndjson").write_bytes(b"".join([*chosen, b'{"event_type":"order"\n']))
    report = run(backend, tmp_path)
    figures = report["by_type"]
    outcome = state(backend)
    assert report["reconciled"]
    assert outcome["events"] == report["loaded"]
    assert outcome["order_events"] == figures["order"]["loaded"] > 0
    assert outcome["inventory_events"] == figures["inventory"]["loaded"] > 0
    assert outcome["dead_letters"] == report["rejected"] > 0
    again = run(backend, tmp_path)
    assert again["duplicates"] == report["read"] - report["rejected"] > 0
    run(backend, tmp_path, "load")
    assert state(backend) == outcome
    monkeypatch.chdir(ROOT)
    for variable, value in backend.environment.items():
        monkeypatch.setenv(variable, value)
    check_monitors(backend, capsys)
