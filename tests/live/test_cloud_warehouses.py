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
MINUTES = (b"T13:01:", b"T13:02:")
"""Of the history, so that there are few segments: every job of the emulators takes its time."""
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
    # BigQuery's tables of events refuse a query without a filter on the partition.
    what = "`{}` WHERE `{}` >= TIMESTAMP '2000-01-01'" if place.url.startswith("bigquery:") else "{}"
    numbers = {
        table: place.query(f"SELECT COUNT(*) FROM {what.format(table, time)}")[0][0]
        for table, time in TABLES.items()
    }
    numbers["events"] = place.query("SELECT SUM(events) FROM event_counts")[0][0]
    numbers["segments"] = place.query("SELECT COUNT(*) FROM _segments")[0][0]
    return {name: int(number) for name, number in numbers.items()}


def test_a_history_is_loaded_once(place: Place, tmp_path: Path) -> None:
    lines = HISTORY.read_bytes().splitlines(keepends=True)
    chosen = [line for line in lines if any(minute in line for minute in MINUTES)]
    (tmp_path / "history.ndjson").write_bytes(b"".join([*chosen, b'{"event_type":"order"\n']))
    report = run(place, tmp_path)
    figures = report["by_type"]
    found = state(place)
    assert report["balanced"]
    assert found["events"] == report["loaded"]
    assert found["order_events"] == figures["order"]["loaded"] > 0
    assert found["inventory_events"] == figures["inventory"]["loaded"] > 0
    assert found["dead_letters"] == report["rejected"] > 0
    again = run(place, tmp_path)
    assert again["repeated"] == report["read"] - report["rejected"] > 0
    run(place, tmp_path, "load")
    assert state(place) == found
