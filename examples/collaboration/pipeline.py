"""Logs of a collaboration platform to tables and metrics: what `scripts/collaboration` runs.

`sluice run` ingests the files into its event log and the warehouse, dbt builds the models (in SQLite the product runs
their SQL itself), and each table and metric is written to DIR as a CSV file. Run again after files were added to the
source, it continues: nothing is counted twice. docs/how-to/collaboration.md explains all of it.

Each of the three steps can run by itself (`--only`), in a container or a task of its own: what the last one reports of
the first one is in the event log's folder. dbt alone does the second one: `dbt build --selector collaboration`.
Schedulers have a step more, `check`, which compares what was ingested with the warehouse.
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
from sluice.config.variables import expand_variables
from sluice.errors import ConfigError, SluiceError
from sluice.warehouses.json_text import instant_text

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

REPORT, BEFORE = "report.json", "events_before.json"
"""Files beside the event log that lead from the ingestion to the export."""

FOLDERS: Mapping[str | None, tuple[str, ...]] = {
    None: ("source", "out"),
    "ingest": ("source",),
    "build": (),
    "check": (),
    "export": ("out",),
}
"""Step -> the folders that it needs."""

LOG_TABLE = "collaboration_event_log"
"""One row: the id of the event log that the warehouse was loaded from."""

WAREHOUSE_VARIABLE = "SLUICE_WAREHOUSE"
"""Has the URL of the warehouse for the commands of Sluice."""

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


def sluice_command(command: str, warehouse: Warehouse, log: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the environment of a command of Sluice for the job.

    The URL of the warehouse may have a password, so it is in the environment: all users of a machine can read its
    command lines.
    """
    line = [sys.executable, "-m", "sluice", command, str(ROOT / "jobs/collaboration.yaml")]
    line += [f"--contracts={ROOT}/schemas/collaboration", f"--warehouse=${{{WAREHOUSE_VARIABLE}}}"]
    line += [f"--files={log}/files", f"--dead-letters={log}/dead_letters"]
    return line, {**os.environ, WAREHOUSE_VARIABLE: warehouse.url}


def ingest(warehouse: Warehouse, source: Path, log: Path) -> None:
    """Run the job; keep its report, and how many events were in the models before it, in the folder of the event log.

    Raises:
        ConfigError: it failed; what it said has been printed.

    """
    report = log / f"new_{REPORT}"
    report.unlink(missing_ok=True)
    (log / BEFORE).write_text(json.dumps(_count_events(warehouse)), "utf-8")
    command, environment = sluice_command("run", warehouse, log)
    # A folder whose records are all broken has tables, too: empty ones.
    command += [f"--source={source}", "--max-rejected=100%", f"--report={report}"]
    print(f"ingest: sluice run jobs/collaboration.yaml --source {source}", file=sys.stderr)
    done = subprocess.run(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode or not report.exists():
        raise ConfigError(done.stderr.strip() or f"sluice run: exit code {done.returncode}")
    report.replace(log / REPORT)


def build(warehouse: Warehouse, log: Path) -> None:
    """Build and test the models.

    Raises:
        ConfigError: dbt is not installed, or a model or a test failed; dbt has printed which.

    """
    print("build: dbt models of collaboration", file=sys.stderr)
    if isinstance(warehouse, SQLite):
        from examples.collaboration import sqlite_build  # Jinja is no dependency of the product

        sqlite_build.build(warehouse)
        return
    if not DBT.exists():
        message = f"{DBT}: expected dbt, got nothing; install it with scripts/tools dbt"
        raise ConfigError(message)
    command = [str(DBT), "--quiet", "--log-level-file=none", "build"]
    command += ["--selector", "collaboration"]
    command += ["--project-dir", str(ROOT / "dbt"), "--profiles-dir", str(ROOT / "dbt")]
    # Without a path for its logs, dbt makes a folder in the project, which cannot be written to in a container.
    command += ["--target-path", str(log / "dbt"), "--log-path", str(log / "dbt/logs")]
    environment = {**os.environ, "PYTHONPATH": "", **warehouse.dbt_environment}
    code = subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode
    if code:
        failed = "a model or a test failed" if code == 1 else f"expected that it runs, got exit code {code}"
        message = f"dbt: {failed}"
        raise ConfigError(message)


def check(warehouse: Warehouse, log: Path) -> None:
    """Read the event log again, and compare it with itself and with the rows of the warehouse.

    Raises:
        ConfigError: they differ, or cannot be read; `sluice verify` has printed how.

    """
    command, environment = sluice_command("verify", warehouse, log)
    print("check: sluice verify jobs/collaboration.yaml", file=sys.stderr)
    if subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode:
        message = "check: the event log and the warehouse differ"
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


def export(warehouse: Warehouse, log: Path, out: Path) -> dict[str, Any]:
    """Write a CSV file of each table and metric, and the report of both steps before; return the report.

    Raises:
        ConfigError: they have not run.

    """
    if not (log / REPORT).exists():
        message = f"{log / REPORT}: expected the report of a run that ended well, got nothing; ingest first"
        raise ConfigError(message)
    print(f"export: {out}", file=sys.stderr)
    rows = {}
    for name, order in EXPORTS.items():
        table = warehouse.query(f"select * from {name} order by {order}")
        columns = [_csv_column(column) for column in table.columns]
        csv.write_csv(pa.table(columns, names=table.column_names), out / f"{name}.csv")
        rows[name] = table.num_rows
    report, before = (json.loads((log / name).read_text("utf-8")) for name in (REPORT, BEFORE))
    figures = ledger(report, rows["events"], before)
    (out / "report.json").write_text(json.dumps({**figures, "rows": rows}, indent=2) + "\n", "utf-8")
    counted = " + ".join(f"{name} {figures[name]}" for name in ("accepted", "repeated", "rejected"))
    print(f"read {figures['read']} = {counted}; {figures['new_events']} new events")
    return figures


def _csv_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return instant_text(column.cast(pa.timestamp("us", "UTC")))
    return column.cast(pa.string()) if isinstance(column.type, pa.BaseExtensionType) else column


def run(warehouse: Warehouse, source: Path, out: Path, only: str | None = None) -> None:
    """Ingest, build and export, or do `only` one step."""
    log = event_log(warehouse)
    if only in (None, "ingest"):
        ingest(warehouse, source, log)
    if only in (None, "build"):
        build(warehouse, log)
    if only == "check":
        check(warehouse, log)
    if only in (None, "export"):
        export(warehouse, log, out)


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
    parser.add_argument("--source", metavar="DIR", help="folder with files of events, nested or not")
    parser.add_argument(
        "--warehouse",
        required=True,
        metavar="URL",
        help="duckdb:///PATH, sqlite:///PATH or postgresql://USER@HOST/DATABASE, or '${NAME}' of a variable",
    )
    parser.add_argument("--out", metavar="DIR", help="folder for the CSV files and report.json")
    parser.add_argument("--only", choices=[step for step in FOLDERS if step], help="one step alone")
    given = parser.parse_args(arguments)
    missing = [f"--{name}" for name in FOLDERS[given.only] if getattr(given, name) is None]
    if missing:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    source, out = Path(given.source or ""), Path(given.out or "")
    try:
        if given.source and not source.exists():
            message = f"--source {source}: expected a folder of events, got nothing"
            raise ConfigError(message)
        out.mkdir(parents=True, exist_ok=True)
        url = expand_variables(given.warehouse, "--warehouse")
        run(open_warehouse(url, LOGS), source.absolute(), out, given.only)
    except (SluiceError, OSError) as error:
        print(f"collaboration: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
