"""Logs of a collaboration platform to tables and metrics: what `scripts/collaboration` runs.

`sluice run` ingests the files into its event log and the warehouse, dbt builds the models (in SQLite the product runs
their SQL itself), and each table and metric is written to DIR as a CSV file. Run again after files were added to the
source, it continues: nothing is counted twice. docs/how-to/collaboration.md explains all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pyarrow import csv
from sluice.errors import ConfigError, SluiceError
from sluice.warehouses.json_text import instant_text

from examples.collaboration import sqlite_build
from examples.collaboration.warehouse import DuckDB, Postgres, SQLite, open_warehouse

ROOT = Path(__file__).parents[2]
DBT = ROOT / ".tools/dbt/bin/dbt"
LOGS = ROOT / "out/collaboration"
"""Event logs of databases on servers; that of a file is beside the file."""

EXPORTS = {
    "users": "user_id",
    "documents": "document_id",
    "events": "occurred_at, event_id",
    "sessions": "started_at, session_key",
    "daily_active_users": "activity_date",
    "average_session_duration": "user_id",
    "most_edited_documents": "position",
    "shared_documents": "user_id",
    "anomalies": "activity_date, kind, user_id",
}
"""Table or view -> the order of its rows in the CSV file."""

LOG_TABLE = "collaboration_event_log"
"""One row: the id of the event log that the warehouse was loaded from."""

Warehouse = DuckDB | Postgres | SQLite


def event_log(warehouse: Warehouse) -> Path:
    """Return the folder of the event log of a warehouse; a warehouse without one gets a new one.

    Raises:
        ConfigError: the log that the warehouse was loaded from is gone, or it was loaded by other means.

    """
    if warehouse.has_table(LOG_TABLE):
        (log_id,) = warehouse.query(f"select log_id from {LOG_TABLE}").column("log_id").to_pylist()
        folder: Path = warehouse.logs / log_id
        if not folder.is_dir():
            expected = "expected the event log that the warehouse was loaded from, got nothing"
            message = f"{folder}: {expected}; restore it, or name an empty warehouse"
            raise ConfigError(message)
        return folder
    if warehouse.has_table("user_logins"):
        expected = "expected an empty warehouse or one of scripts/collaboration"
        message = f"--warehouse: {expected}, got events of another event log; name another"
        raise ConfigError(message)
    log_id = uuid4().hex
    (warehouse.logs / log_id).mkdir(parents=True)
    warehouse.execute(
        f"create table {LOG_TABLE} (log_id text not null)", f"insert into {LOG_TABLE} values ('{log_id}')"
    )
    return warehouse.logs / log_id


def ingest(warehouse: Warehouse, source: Path, log: Path) -> dict[str, Any]:
    """Run the job; return its report.

    Raises:
        ConfigError: it failed; what it said has been printed.

    """
    report = log / "report.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "sluice", "run", str(ROOT / "jobs/collaboration.yaml")]
    command += [f"--contracts={ROOT}/schemas/collaboration", f"--source={source}"]
    command += [f"--warehouse={warehouse.url}", f"--files={log}/files", f"--dead-letters={log}/dead_letters"]
    # A folder whose records are all broken has tables, too: empty ones.
    command += ["--max-rejected=100%", f"--report={report}"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode or not report.exists():
        raise ConfigError(done.stderr.strip() or f"sluice run: exit code {done.returncode}")
    figures: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return figures


def build(warehouse: Warehouse, log: Path) -> None:
    """Build and test the models.

    Raises:
        ConfigError: dbt is not installed, or a model or a test failed; dbt has printed which.

    """
    if isinstance(warehouse, SQLite):
        sqlite_build.build(warehouse)
        return
    if not DBT.exists():
        message = f"{DBT}: expected dbt, got nothing; install it with scripts/tools dbt"
        raise ConfigError(message)
    command = [str(DBT), "--quiet", "--log-level-file=none", "build"]
    command += ["--select", "stg_collaboration__events+"]
    command += ["--project-dir", str(ROOT / "dbt"), "--profiles-dir", str(ROOT / "dbt")]
    command += ["--target-path", str(log / "dbt")]
    environment = {**os.environ, "PYTHONPATH": "", **warehouse.dbt_environment}
    if subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode:
        message = "dbt: a model or a test failed"
        raise ConfigError(message)


def ledger(report: Mapping[str, Any], events: int, events_before: int) -> dict[str, Any]:
    """Return what became of the records of the source: read = accepted + repeated + rejected.

    The event log finds repeats within a type and a day, the models all of them; so events are counted in the models.
    """
    rejected = report["rejected"] + report["load_rejected"]
    valid = report["read"] - rejected
    is_complete = valid >= events
    # Without files of earlier runs the figures can be those of this run only.
    accepted = events if is_complete else events - events_before
    return {
        "read": report["read"],
        "accepted": accepted,
        "repeated": valid - accepted,
        "rejected": rejected,
        "rejections": report["rejections"],
        "new_events": events - events_before,
        "source_is_complete": is_complete,
    }


def export(warehouse: Warehouse, out: Path) -> dict[str, int]:
    """Write a CSV file of each table and metric; return table -> rows."""
    rows = {}
    for name, order in EXPORTS.items():
        table = warehouse.query(f"select * from {name} order by {order}")
        columns = [_csv_column(column) for column in table.columns]
        csv.write_csv(pa.table(columns, names=table.column_names), out / f"{name}.csv")
        rows[name] = table.num_rows
    return rows


def _csv_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return instant_text(column.cast(pa.timestamp("us", "UTC")))
    return column.cast(pa.string()) if isinstance(column.type, pa.BaseExtensionType) else column


def run(warehouse: Warehouse, source: Path, out: Path) -> dict[str, Any]:
    """Ingest, build, export and report; return the report."""
    log = event_log(warehouse)
    before = _count_events(warehouse)
    print(f"ingest: sluice run jobs/collaboration.yaml --source {source}", file=sys.stderr)
    report = ingest(warehouse, source, log)
    print("build: dbt models of collaboration", file=sys.stderr)
    build(warehouse, log)
    print(f"export: {out}", file=sys.stderr)
    rows = export(warehouse, out)
    figures = ledger(report, rows["events"], before)
    (out / "report.json").write_text(json.dumps({**figures, "rows": rows}, indent=2) + "\n", "utf-8")
    counted = " + ".join(f"{name} {figures[name]}" for name in ("accepted", "repeated", "rejected"))
    print(f"read {figures['read']} = {counted}; {figures['new_events']} new events")
    return figures


def _count_events(warehouse: Warehouse) -> int:
    if not warehouse.has_table("events"):
        return 0
    count: int = warehouse.query("select count(*) as events from events").column("events")[0].as_py()
    return count


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/collaboration",
        description="Turns logs of a collaboration platform into tables and metrics, each also as a CSV file.",
        epilog="example: scripts/collaboration --source data/events --warehouse duckdb:///out/docs.duckdb --out out",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--source", required=True, metavar="DIR", help="folder with files of events, nested or not"
    )
    parser.add_argument(
        "--warehouse",
        required=True,
        metavar="URL",
        help="duckdb:///PATH, sqlite:///PATH or postgresql://USER@HOST/DATABASE",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for the CSV files and report.json"
    )
    given = parser.parse_args(arguments)
    source, out = Path(given.source), Path(given.out)
    try:
        if not source.exists():
            message = f"--source {source}: expected a folder of events, got nothing"
            raise ConfigError(message)
        out.mkdir(parents=True, exist_ok=True)
        run(open_warehouse(given.warehouse, LOGS), source.absolute(), out)
    except (SluiceError, OSError) as error:
        print(f"collaboration: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
