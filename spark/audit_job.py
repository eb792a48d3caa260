"""usage: python -m spark.audit_job --data FOLDER --out FOLDER --state FOLDER: the file audit in PySpark.

It reads the daily CSV files in a folder or bucket (`s3a://…`), computes the tables of the audit, and appends one row to
the central table for each day whose audit is new or has changed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Observation, SparkSession

from spark.audit import marts
from spark.audit.cleaning import clean_events, clean_transactions
from spark.audit.export import TABLES, columns_of, write_table
from spark.audit.files import DailyFile, find_files
from spark.audit.reading import EVENT_COLUMNS, TRANSACTION_COLUMNS, count_rows, read_rows, take_records
from spark.audit.session import start_session

ROWS_A_TASK = 100_000
"""Of the counts: a task works on as many."""


def run_audit(spark: SparkSession, data: str, state: str) -> tuple[dict[str, DataFrame], dict[str, Any]]:
    """Compute the audit of the files in `data`, and append to the central table in `state`.

    Returns:
        The tables by name, and the figures of what was read.

    """
    event_files = find_files(spark, data, "events")
    transaction_files = find_files(spark, data, "transactions")
    rows = {
        "events": read_rows(spark, event_files, EVENT_COLUMNS),
        "transactions": read_rows(spark, transaction_files, TRANSACTION_COLUMNS),
    }
    seen = {kind: Observation() for kind in rows}
    events, transactions = (take_records(rows[kind], seen[kind]) for kind in rows)
    counts = marts.count_daily(clean_events(events), clean_transactions(transactions)).cache()
    # All other tables are computed from these few rows, in few tasks: to start 16 takes longer than their work.
    tasks = 1 + counts.count() // ROWS_A_TASK
    figures = {kind: count_rows(rows[kind], seen[kind]) for kind in rows}
    empty = _empty_files(spark, event_files, set(figures["events"].pop("sources")))
    figures["transactions"].pop("sources")
    daily = marts.audit_daily(marts.add_empty_files(counts, empty)).coalesce(tasks).cache()
    top3 = marts.audit_top3(daily)
    days = marts.summarize_days(daily, top3)
    tables = {
        "mart_audit_daily": daily,
        "mart_audit_rolling": marts.audit_rolling(daily),
        "mart_audit_top3": top3,
        "central_audit": _append_to_central(spark, days, f"{state.rstrip('/')}/central_audit"),
    }
    return tables, {"files": len(event_files) + len(transaction_files), **figures}


def _empty_files(spark: SparkSession, files: Sequence[DailyFile], with_records: set[str]) -> DataFrame:
    rows = [(file.load_date, file.file_name) for file in files if file.name not in with_records]
    return spark.createDataFrame(rows, "load_date date, file_name string")


def _append_to_central(spark: SparkSession, days: DataFrame, address: str) -> DataFrame:
    """Append the new revisions to the central table at `address`; return all of it.

    Spark makes the files of an append visible at its end. A run that is repeated finds its rows, and adds none.
    """
    central = read_central(spark, address)
    added = marts.new_revisions(days, central).cache()
    if not added.isEmpty():
        added.coalesce(1).write.mode("append").parquet(address)
    return read_central(spark, address)


def read_central(spark: SparkSession, address: str) -> DataFrame:
    """Return the central table at `address`, without rows if it does not exist."""
    hadoop: Any = spark.sparkContext._jvm.org.apache.hadoop.fs
    path = hadoop.Path(address)
    if path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()).exists(path):
        return spark.read.schema(marts.CENTRAL_SCHEMA).parquet(address)
    return spark.createDataFrame([], marts.CENTRAL_SCHEMA)


def write_results(tables: dict[str, DataFrame], folder: Path) -> None:
    """Write each table as a CSV file."""
    for table in TABLES:
        write_table(folder, table, [tuple(row) for row in tables[table].select(*columns_of(table)).collect()])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the audit."""
    parser = argparse.ArgumentParser(prog="spark.audit_job", description=__doc__.splitlines()[2])
    parser.add_argument(
        "--data", required=True, help="folder of the daily CSV files; may be s3a://bucket/folder"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder for the four tables as CSV")
    parser.add_argument("--state", required=True, help="folder of the central table, which a next run needs")
    parser.add_argument("--report", type=Path, help="file for the figures, as JSON")
    options = parser.parse_args(arguments)
    spark = start_session()
    started = time.monotonic()
    try:
        tables, figures = run_audit(spark, options.data, options.state)
        write_results(tables, options.out)
    except PySparkException as error:
        sys.exit(f"spark: {str(error).splitlines()[0]}")
    figures["seconds"] = round(time.monotonic() - started, 3)
    if options.report:
        options.report.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    spark.stop()


if __name__ == "__main__":
    main()
