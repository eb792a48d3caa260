"""Measure what loading segments costs beside the barest way to insert the same rows into the same table.

`python -m benchmarks.warehouses --events 200000 --runs 3` prints a ratio for each warehouse and event type: rows a
second of `Warehouse.load`, with counts, marks and transactions, over those of one `COPY` by psql (PostgreSQL), one
`executemany` of prepared tuples (SQLite), or one `COPY ... TO` of the Arrow table into a Parquet file (the embedded
warehouse of DuckDB). Both begin with what they need in memory or in the page cache, and end with the commit, or with
the whole file, which DuckDB does not sync. They take turns; the medians count. PostgreSQL is started for the purpose,
with its default settings. Exit code 1: a ratio is below that in `TARGETS`.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb
import pyarrow as pa
from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import count_windows
from sluice.contracts import Contract, load_contracts
from sluice.elements import Segment
from sluice.validation.explainer import compile_explainer
from sluice.warehouses import SegmentLoad, Warehouse, open_warehouse

from benchmarks import generate_events
from devservers import postgres
from devservers.tools import require_program

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {"postgresql": 1.2, "sqlite": 0.9, "duckdb": 0.8}
"""Warehouse -> least ratio."""
NOW = datetime(2025, 2, 8, 14, tzinfo=UTC)


class Rows(NamedTuple):
    """All rows of one event type: as segments, a table each."""

    contract: Contract
    segments: list[tuple[Segment, pa.Table]]
    number: int


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000, help="events of all types together")
    parser.add_argument("--segment", type=int, default=100_000, help="most rows of one segment")
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="bench") as name:
        everything = generate(Path(name), options.events, options.segment)
        below = [
            ratio
            for warehouse, compare in COMPARISONS.items()
            for ratio in compare(everything, options.runs, Path(name))
            if ratio < TARGETS[warehouse]
        ]
    return 1 if below else 0


def generate(folder: Path, events: int, size: int) -> list[Rows]:
    """Return the rows of the benchmark's events that keep their contracts."""
    source = folder / "events.ndjson"
    generate_events.write_events(events, source)
    contracts = load_contracts(str(ROOT / "schemas/backend_events"))
    explain = compile_explainer(contracts, "event_type").explain
    lines: dict[str, dict[bytes, None]] = {name: {} for name in contracts}
    for line in source.read_bytes().splitlines():
        explanation = explain(line)
        if explanation.event_type is not None and not explanation.violations:
            lines[explanation.event_type][line] = None
    return [_rows(contract, list(lines[name]), size) for name, contract in contracts.items()]


def _rows(contract: Contract, lines: list[bytes], size: int) -> Rows:
    segments = []
    for start in range(0, len(lines), size):
        part = lines[start : start + size]
        number = f"{contract.event_type}{start}".encode().hex().zfill(32)[-32:]
        segment = Segment(number, contract.event_type, "files/x.json", 1739020140, part)
        ids = [f"{start + at:032x}" for at in range(len(part))]
        table, _ = to_table(contract, segment, ids, NOW)
        segments.append((segment, table))
    return Rows(contract, segments, sum(table.num_rows for _, table in segments))


def load(warehouse: Warehouse, rows: Rows) -> None:
    """Load all segments, one after the other."""
    for segment, table in rows.segments:
        windows = count_windows(table[rows.contract.event_time])
        warehouse.load(SegmentLoad(rows.contract, segment, table, [], windows, NOW))


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action took."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def report(name: str, rows: Rows, ours: Sequence[float], bare: Sequence[float]) -> float:
    """Print one line; return the ratio of the medians."""
    mine, theirs = rows.number / statistics.median(ours), rows.number / statistics.median(bare)
    print(
        f"{name:<10} {rows.contract.table:<22} {rows.number:>9,} rows  Sluice {mine:>9,.0f}/s"
        f"  bare {theirs:>9,.0f}/s  ratio {mine / theirs:.2f}, wanted {TARGETS[name]}",
        flush=True,
    )
    return mine / theirs


def compare_postgres(everything: list[Rows], runs: int, folder: Path) -> Iterator[float]:
    """Compare with one COPY, in text, as psql sends a file."""
    with postgres.start() as server:
        root = server.url

        def psql(sql: str) -> None:
            command = ["-X", "-q", "-v", "ON_ERROR_STOP=1", root, "-c", "SET search_path TO bench", "-c", sql]
            subprocess.run([require_program("psql"), *command], check=True)

        warehouse = open_warehouse(f"{root}?schema=bench")
        warehouse.prepare([rows.contract for rows in everything])
        for rows in everything:
            table, file = rows.contract.table, folder / f"{rows.contract.table}.copy"
            load(warehouse, rows)
            psql(f"\\copy {table} TO '{file}'")
            own = "_segments, _event_counts, _refusals"
            ours, bare = [], []
            for _ in range(runs):
                psql(f"TRUNCATE {table}, {own}")
                psql("CHECKPOINT")
                bare.append(seconds(partial(psql, f"\\copy {table} FROM '{file}'")))
                psql(f"TRUNCATE {table}, {own}")
                psql("CHECKPOINT")
                ours.append(seconds(partial(load, warehouse, rows)))
            yield report("postgresql", rows, ours, bare)


def compare_sqlite(everything: list[Rows], runs: int, folder: Path) -> Iterator[float]:
    """Compare with one prepared insert of tuples, in one transaction."""
    for rows in everything:
        ours, bare = [], []
        for _ in range(runs):
            with _sqlite(folder, rows) as (file, warehouse):
                ours.append(seconds(partial(load, warehouse, rows)))
                with closing(sqlite3.connect(file)) as connection:
                    tuples = connection.execute(f"SELECT * FROM {rows.contract.table}").fetchall()
            with _sqlite(folder, rows) as (file, _), closing(sqlite3.connect(file)) as connection:
                insert = f"INSERT INTO {rows.contract.table} VALUES ({', '.join('?' * len(tuples[0]))})"

                def insert_all(
                    connection: sqlite3.Connection = connection,
                    insert: str = insert,
                    tuples: list[tuple[object, ...]] = tuples,
                ) -> None:
                    connection.executemany(insert, tuples)
                    connection.commit()

                bare.append(seconds(insert_all))
        yield report("sqlite", rows, ours, bare)


def compare_duckdb(everything: list[Rows], runs: int, folder: Path) -> Iterator[float]:
    """Compare with one Parquet file for each segment, written by DuckDB with the same compression."""
    for rows in everything:
        ours, bare = [], []
        for _ in range(runs):
            with TemporaryDirectory(dir=folder) as name, duckdb.connect() as connection:
                warehouse = open_warehouse(f"duckdb:///{name}/w.duckdb")
                warehouse.prepare([rows.contract])
                bare.append(seconds(partial(_copy, connection, rows, Path(name))))
                ours.append(seconds(partial(load, warehouse, rows)))
        yield report("duckdb", rows, ours, bare)


def _copy(connection: duckdb.DuckDBPyConnection, rows: Rows, folder: Path) -> None:
    for number, (_, table) in enumerate(rows.segments):
        connection.register("segment", table)
        connection.execute(
            f"COPY segment TO '{folder}/{number}.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
        )


COMPARISONS = {"postgresql": compare_postgres, "sqlite": compare_sqlite, "duckdb": compare_duckdb}
"""Warehouse -> what compares it, and yields a ratio for each event type."""


@contextmanager
def _sqlite(folder: Path, rows: Rows) -> Iterator[tuple[Path, Warehouse]]:
    """Make an empty warehouse; it is removed when the block ends."""
    file = folder / "w.db"
    warehouse = open_warehouse(f"sqlite:///{file}")
    warehouse.prepare([rows.contract])
    try:
        yield file, warehouse
    finally:
        for part in folder.glob("w.db*"):
            part.unlink()


if __name__ == "__main__":
    sys.exit(main())
