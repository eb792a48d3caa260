"""Names of records and contracts that are Sluice's own or mean something elsewhere, through the command."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from devservers.sluice_command import sluice

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: odd
version: 1.0.0
domain: odd
schema:
  - name: odd
    physicalName: odd_events
    description: "Was it paid? 100% of 'them' \\\\ done; -- drop"
    customProperties: [{custom}]
    properties:
      - {{name: ts, logicalType: {time}, description: "When? {{x}} %s :name ?"}}
      - {{name: n, logicalType: integer, description: n}}
      - {{name: "ok?", logicalType: boolean, description: "Is it?"}}
      - {{name: a, logicalType: object, properties: [{{name: b, logicalType: integer}}]}}
      - {{name: "a.b", logicalType: string}}
"""
TIMED = "timestamp, required: true"
BY_TIME = "{property: eventTime, value: ts}"
DELIVERY = f"{BY_TIME}, {{property: identity, value: delivery}}"


def run(folder: Path, custom: str, time: str, *records: str) -> dict[str, list[dict[str, Any]]]:
    """Run a job twice into DuckDB, and once into SQLite; return the rows of each without what Sluice adds, in order."""
    (folder / "odd.odcs.yaml").write_text(CONTRACT.format(custom=custom, time=time))
    source = folder / "in.ndjson"
    source.write_text("".join(f"{record}\n" for record in records))
    os.utime(source, (1736503200, 1736503200))  # 2025-01-10T10:00:00Z
    job = folder / "job.yaml"
    job.write_text(f"""\
name: odd
contracts: {folder}/odd.odcs.yaml
source: {source}
files: {folder}/files
warehouse: duckdb:///{folder}/w.duckdb
dead_letters: {folder}/dead
""")
    embedded, in_file = f"duckdb:///{folder}/w.duckdb", f"sqlite:///{folder}/w.db"
    for warehouse in (embedded, embedded, in_file):
        done = sluice("run", str(job), "--warehouse", warehouse, "--report", str(folder / "report.json"))
        assert done.code == 0, done.err
        assert json.loads((folder / "report.json").read_bytes())["reconciled"]
    assert sluice("tables", str(job), "--diff").code == 0
    columns = 'ts, n, "ok?", a, "a.b", _extra'
    sql = f"SELECT {columns} FROM odd_events ORDER BY n"
    names = ("ts", "n", "ok?", "a", "a.b", "_extra")
    with duckdb.connect(str(folder / "w.duckdb"), read_only=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        answer = connection.execute(
            f"SELECT {columns.replace('ts', 'ts::VARCHAR', 1)} FROM odd_events ORDER BY n"
        )
        in_duckdb = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    with closing(sqlite3.connect(folder / "w.db")) as opened:
        in_sqlite = [dict(zip(names, row, strict=True)) for row in opened.execute(sql)]
    return {"duckdb": in_duckdb, "sqlite": in_sqlite}


@pytest.mark.parametrize("custom", [BY_TIME, DELIVERY], ids=["content", "delivery"])
def test_own_members_with_names_of_sluice_are_in_extra(tmp_path: Path, custom: str) -> None:
    stored = run(
        tmp_path,
        custom,
        TIMED,
        '{"ts":"2025-01-01T00:00:00Z","n":1,"_id":"mongo-65f0","other":1}',
        '{"ts":"2025-01-01T00:00:01Z","n":2,"_id":5}',
        '{"ts":"2025-01-01T00:00:02Z","n":3,"_event_id":"mine"}',
        '{"ts":"2025-01-01T00:00:03Z","n":4,"_repaired":{"line":1}}',
        '{"ts":"2025-01-01T00:00:04Z","n":5}',
    )
    for rows in stored.values():
        assert [row["_extra"] for row in rows] == [
            '{"_id":"mongo-65f0","other":1}',
            '{"_id":5}',
            '{"_event_id":"mine"}',
            '{"_repaired":{"line":1}}',
            None,
        ]


def test_name_with_a_dot_is_no_member_of_an_object(tmp_path: Path) -> None:
    stored = run(
        tmp_path, BY_TIME, TIMED, '{"ts":"2025-01-01T00:00:00Z","a":{"b":1},"a.b":"dotted","ok?":true}'
    )
    assert [(row["a"], row["a.b"], row["ok?"]) for row in stored["duckdb"]] == [({"b": 1}, "dotted", True)]
    assert [(row["a"], row["a.b"], row["ok?"]) for row in stored["sqlite"]] == [('{"b":1}', "dotted", 1)]


def test_contract_without_event_time_is_placed_by_arrival(tmp_path: Path) -> None:
    stored = run(tmp_path, "", "string", '{"ts":"a","n":1}', '{"n":2}', '{"n":"x"}')
    for rows in stored.values():
        assert [(row["ts"], row["n"]) for row in rows] == [("a", 1), (None, 2)]
    (segment,) = (tmp_path / "files").rglob("*_2*.json")
    assert segment.relative_to(tmp_path) == Path("files/odd/2025/01/10/10/00/odd_2025011010000001.json")
    with duckdb.connect(str(tmp_path / "w.duckdb"), read_only=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        counts = connection.execute(
            "SELECT event_type, window_start::VARCHAR, events FROM event_counts"
        ).fetchall()
        dates = connection.execute("SELECT DISTINCT event_date::VARCHAR FROM odd_events").fetchall()
        (letters,) = connection.execute("SELECT count(*) FROM dead_letters").fetchone() or ()
    assert (counts, dates, letters) == ([("odd", "2025-01-10 10:00:00+00", 2)], [("2025-01-10",)], 1)
