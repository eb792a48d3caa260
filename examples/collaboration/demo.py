"""The sample logs of a collaboration platform, to tables, metrics and anomalies: `scripts/demo collaboration`.

PostgreSQL is started for it if it is installed; otherwise the embedded warehouse is used.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sluice.cli.console import wide_console

from devservers import postgres
from devservers.tools import find_program
from examples.collaboration.pipeline import EXPORTS, run
from examples.collaboration.warehouse import DuckDB, Postgres, SQLite, open_warehouse

OUT = Path("out/collaboration_demo")
SOURCE = Path(__file__).parent / "events"
ROWS = 10
"""How many rows of each table are shown."""


@contextmanager
def warehouse(console: Console) -> Iterator[DuckDB | Postgres | SQLite]:
    """Start PostgreSQL, or yield the embedded warehouse."""
    if find_program("postgres") is None:
        console.print("warehouse: DuckDB, because PostgreSQL is not installed")
        yield open_warehouse(f"duckdb:///{OUT.absolute()}/warehouse.duckdb", OUT)
        return
    with postgres.start() as server:
        console.print("warehouse: PostgreSQL, for the time of the demonstration")
        yield open_warehouse(server.url, OUT.absolute())


def show(console: Console) -> None:
    """Print the first rows of each table and metric, all anomalies, and the ledger."""
    for name in EXPORTS:
        with (OUT / f"{name}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        limit = len(rows) if name in ("anomalies", "daily_active_users") else ROWS
        table = Table(*header, title=f"{name}: {min(limit, len(rows))} of {len(rows)} rows")
        for row in rows[:limit]:
            table.add_row(*row)
        console.print(table)


def main() -> None:
    """Run the demonstration."""
    console = wide_console()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    with warehouse(console) as target:
        run(target, SOURCE, OUT)
        console.print("the same once more, as a second run:")
        run(target, SOURCE, OUT)
    show(console)
    console.print(f"CSV files: {OUT}", soft_wrap=True)


if __name__ == "__main__":
    main()
