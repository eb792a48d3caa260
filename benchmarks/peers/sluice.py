"""What Sluice's outputs say; `replay.py` runs its command line itself, as a user would."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measurement.outcome import (
    TABLES,
    Outcome,
    dead_letters_outcome,
    files_outcome,
    main,
    windows_outcome,
)


def command(python: str, source: Path, out: Path) -> list[str]:
    """Return the command that does all the work."""
    return [
        *(python, "-m", "sluice", "run", "jobs/backend_events.yaml"),
        *("--source", str(source)),
        *("--files", str(out / "files")),
        *("--warehouse", f"duckdb:///{out / 'w.duckdb'}"),
        *("--dead-letters", str(out / "dead")),
        *("--report", str(out / "report.json")),
    ]


def run(_: Path, __: Path) -> None:
    """Do nothing: see `command`."""


def tally(out: Path) -> Outcome:
    """Read the outputs back, and what the report says about them."""
    connection = duckdb.connect(out / "w.duckdb", read_only=True)
    connection.execute("set TimeZone = 'UTC'")

    def query(sql: str) -> list[Any]:
        return connection.sql(sql).fetchall()

    report = json.loads((out / "report.json").read_text())
    by_type = {
        name: figures["duplicates"] for name, figures in report["by_type"].items() if figures["duplicates"]
    }
    return {
        **files_outcome(out / "files", re.compile(r"(?P<type>\w+)/(?P<minute>\d{4}(/\d\d){4})/")),
        "read": report["read"],
        "duplicates": by_type,
        "rows": {
            event_type: query(f"select count(*) from {table}")[0][0] for event_type, table in TABLES.items()
        },
        **windows_outcome(
            query("select event_type, strftime(window_start, '%Y-%m-%dT%H:%M:%SZ'), events from event_counts")
        ),
        **dead_letters_outcome(_dead_letters(out / "dead")),
    }


def _dead_letters(folder: Path) -> list[tuple[str, list[str]]]:
    dead_letters = []
    for path in sorted(folder.rglob("dead_letter_*.json")):
        for line in path.read_bytes().splitlines():
            dead_letter = json.loads(line)
            codes = [violation["code"] for violation in dead_letter["violations"]]
            dead_letters.append((dead_letter.get("event_type") or "unknown", codes))
    return dead_letters


if __name__ == "__main__":
    main(run, tally)
