"""The real `sluice run` and `sluice load` of ten days into Snowflake's emulator: few transactions, each row once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devservers.sluice_command import sluice
from tests.warehouses.backends import BACKENDS, Backend, MakeBackend

DAYS, MINUTES = 10, 6
START = datetime(2025, 1, 10, tzinfo=UTC)
EVENT = (
    '{"event_type":"inventory","inventory_id":"b774d438-2c28-4976-a77d-6ddf54a2f8d6",'
    '"product_id":"58d98cba-fdee-4846-a648-13569c5c90c1","warehouse_id":"e38a42d9-5aec-4d51-a9ff-c6b5c7463a30",'
    '"quantity_change":%d,"reason":"sale","timestamp":"%s"}\n'
)
EVENTS = DAYS * MINUTES


@pytest.fixture(scope="module")
def make_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBackend]:
    with BACKENDS["snowflake"](tmp_path_factory.mktemp("server")) as make:
        yield make


def run(backend: Backend, folder: Path, command: str) -> tuple[dict[str, Any], str]:
    """Run a command; return its report and what it says."""
    done = sluice(
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
        environment=dict(backend.environment),
    )
    assert done.code == 0, done.err
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report, done.err


def state(backend: Backend) -> tuple[int, ...]:
    """Return rows, distinct events, counted events, segments, dead letters and transactions."""
    queries = (
        "SELECT COUNT(*) FROM inventory_events",
        "SELECT COUNT(DISTINCT _event_id) FROM inventory_events",
        "SELECT SUM(events) FROM event_counts",
        "SELECT COUNT(*) FROM _segments",
        "SELECT COUNT(*) FROM dead_letters",
        "SELECT loads FROM _load_lock",
    )
    return tuple(int(backend.query(sql)[0][0]) for sql in queries)


def test_history_of_ten_days_is_one_transaction_a_day(make_backend: MakeBackend, tmp_path: Path) -> None:
    lines = [
        EVENT % (minute + 1, (START + timedelta(days=day, minutes=minute)).isoformat())
        for day in range(DAYS)
        for minute in range(MINUTES)
    ]
    (tmp_path / "history.ndjson").write_text("".join([*lines, "{\n"]))
    done = (EVENTS, EVENTS, EVENTS, EVENTS + 1, 1, DAYS + 1)
    first = make_backend(tmp_path)
    report, said = run(first, tmp_path, "run")
    assert (report["loaded"], report["segments"], report["rejected"]) == (EVENTS, EVENTS, 1)
    assert "one load, in one transaction, for each event type and day of the input" in said
    assert state(first) == done
    assert run(first, tmp_path, "run")[0]["duplicates"] == EVENTS
    assert state(first) == done
    second = make_backend(tmp_path)
    report, said = run(second, tmp_path, "load")
    assert (report["backfilled"], report["reconciled"]) == (EVENTS, True)
    assert (
        f"{EVENTS + 1} segments of {DAYS + 1} days, counted for each event type: at most {DAYS + 1} loads, each in "
        "one transaction, and another one"
    ) in said
    assert state(second) == done
