"""The real `sluice run` into the emulators of BigQuery and Snowflake: what comes of a history, and of it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.replay_bench import ROOT, sluice
from tests.warehouses.places import PLACES, Place

HISTORY = ROOT / "examples/backend_events/history/orders_and_stock.ndjson"
RECORDS = 200
TABLES = {"order_events": "order_date", "inventory_events": "timestamp", "dead_letters": "time"}


@pytest.fixture(params=["bigquery", "snowflake"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path / "server"
    folder.mkdir()
    with PLACES[request.param](folder) as make:
        yield make(tmp_path)


def run(place: Place, folder: Path, command: str = "run") -> dict[str, Any]:
    """Run a job into the warehouse and return its report."""
    arguments = [command, "jobs/backend_events.yaml", f"--source={folder}/history.ndjson"]
    arguments += [f"--files={folder}/files", f"--dead-letters={folder}/letters", f"--warehouse={place.url}"]
    done = sluice(*arguments, "--report", f"{folder}/report.json", environment=dict(place.environment))
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def state(place: Place) -> dict[str, int]:
    """Return how many rows, counted events and segments there are."""
    every = " WHERE `{}` >= TIMESTAMP '2000-01-01'" if place.url.startswith("bigquery:") else ""
    numbers = {
        table: place.query(f"SELECT COUNT(*) FROM {table}{every.format(time)}")[0][0]
        for table, time in TABLES.items()
    }
    numbers["events"] = place.query("SELECT SUM(events) FROM event_counts")[0][0]
    numbers["segments"] = place.query("SELECT COUNT(*) FROM _segments")[0][0]
    return {name: int(number) for name, number in numbers.items()}


def test_a_history_is_loaded_once(place: Place, tmp_path: Path) -> None:
    lines = HISTORY.read_bytes().splitlines(keepends=True)[:RECORDS]
    (tmp_path / "history.ndjson").write_bytes(b"".join(lines))
    report = run(place, tmp_path)
    figures = report["by_type"]
    found = state(place)
    assert report["balanced"]
    assert (report["read"], found["events"]) == (RECORDS, report["loaded"])
    assert found["order_events"] == figures["order"]["loaded"] > 0
    assert found["inventory_events"] == figures["inventory"]["loaded"] > 0
    assert found["dead_letters"] == report["rejected"] > 0
    again = run(place, tmp_path)
    assert (again["read"], again["repeated"]) == (RECORDS, RECORDS - report["rejected"])
    run(place, tmp_path, "load")
    assert state(place) == found
