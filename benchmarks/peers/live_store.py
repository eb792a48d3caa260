"""What users of the stream processors would write around them: validation, deduplication, files, tables, dead letters.

Duplicates are found with a set in memory, which lasts as long as the process. Files and dead letters are appended to,
and rows and counts inserted into DuckDB, once a batch.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from benchmarks.measurement.outcome import (
    TABLES,
    Outcome,
    dead_letters_outcome,
    files_outcome,
    windows_outcome,
)
from benchmarks.peers.rules import SCHEMAS, check, time_of

WINDOW_SECONDS = 10

_FIRST: list[float] = []
"""When the first record came, in epoch seconds."""


class Checked:
    """A record that was validated."""

    __slots__ = ("dead_letter", "event", "event_type", "line")

    def __init__(self, line: bytes) -> None:
        """Check a line."""
        if not _FIRST:
            _FIRST.append(time.time())
        self.line = line
        self.event_type, self.event, violations = check(line)
        self.dead_letter = (
            {
                "payload": line.decode(errors="replace"),
                "event_type": self.event_type,
                "violations": violations,
            }
            if violations
            else None
        )


class Store:
    """Files, tables, counts and dead letters below `out`."""

    def __init__(self, out: Path) -> None:
        """Make the tables."""
        out.mkdir(parents=True, exist_ok=True)
        self._out = out
        self._seen: set[bytes] = set()
        self._connection = duckdb.connect(out / "w.duckdb")
        self._connection.execute("set TimeZone = 'UTC'")
        for event_type, schema in SCHEMAS.items():
            rows = schema.empty_table()  # noqa: F841  DuckDB finds it by its name
            self._connection.execute(f"create table {TABLES[event_type]} as from rows")
        self._connection.execute(
            "create table counts (event_type varchar, window_start timestamptz, events bigint)"
        )

    def write(self, batch: Sequence[Checked]) -> None:
        """Write a batch."""
        first = self._out / "first"
        if not first.exists():
            first.write_text(str(_FIRST[0]))
        fresh: dict[str, list[Checked]] = defaultdict(list)
        with (self._out / "dead_letters.json").open("a") as file:
            for record in batch:
                if record.dead_letter is not None:
                    file.write(json.dumps(record.dead_letter) + "\n")
                elif record.line not in self._seen:
                    self._seen.add(record.line)
                    fresh[record.event_type].append(record)
        for event_type, records in fresh.items():
            self._write(event_type, records)

    def _write(self, event_type: str, records: Sequence[Checked]) -> None:
        minutes: dict[str, list[bytes]] = defaultdict(list)
        windows: Counter[int] = Counter()
        for record in records:
            at = time_of(record.event)
            minutes[f"{at:%Y/%m/%d/%H/%M}"].append(record.line)
            windows[int(at.timestamp()) // WINDOW_SECONDS * WINDOW_SECONDS] += 1
        for minute, lines in minutes.items():
            path = self._out / "files" / event_type / minute / "events.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.writelines(line + b"\n" for line in lines)
        schema = SCHEMAS[event_type]
        values: list[dict[str, Any]] = [
            {name: record.event[name] for name in schema.names} for record in records
        ]
        rows = pa.Table.from_pylist(values, schema)  # noqa: F841  DuckDB finds it by its name
        self._connection.execute("begin")
        self._connection.execute(f"insert into {TABLES[event_type]} from rows")
        self._connection.executemany(
            "insert into counts values (?, to_timestamp(?), ?)",
            [(event_type, start, events) for start, events in windows.items()],
        )
        self._connection.execute("commit")


def tally(out: Path) -> Outcome:
    """Read the outputs back."""
    connection = duckdb.connect(out / "w.duckdb", read_only=True)
    connection.execute("set TimeZone = 'UTC'")

    def query(sql: str) -> list[Any]:
        return connection.sql(sql).fetchall()

    dead_letters = [json.loads(line) for line in (out / "dead_letters.json").read_text().splitlines()]
    return {
        **files_outcome(out / "files", re.compile(r"(?P<type>\w+)/(?P<minute>[0-9/]+)/events.json")),
        "rows": {
            event_type: query(f"select count(*) from {table}")[0][0] for event_type, table in TABLES.items()
        },
        **windows_outcome(
            query(
                "select event_type, strftime(window_start, '%Y-%m-%dT%H:%M:%SZ'), sum(events)::bigint "
                "from counts group by all"
            )
        ),
        **dead_letters_outcome(
            (dead_letter["event_type"], [violation["code"] for violation in dead_letter["violations"]])
            for dead_letter in dead_letters
        ),
    }
