"""dlt into DuckDB, as its tutorial goes: a resource that yields batches, routed to a table by type.

dlt infers the schema and normalises nested lists into child tables. It checks no rule of the contracts; lines
that are not JSON or have no known type go to a table `dead`, because something has to happen to them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt  # type: ignore[import-not-found]  # in the environment of the peers
import duckdb
import orjson

from benchmarks.measurement.outcome import TABLES, Outcome, main

BATCH = 5_000


def run(source: Path, out: Path) -> None:
    """Do all the work."""
    out.mkdir(parents=True)

    def table(event: dict[str, Any]) -> str:
        return TABLES.get(event.get("event_type", ""), "dead")

    @dlt.resource(table_name=table)  # type: ignore[untyped-decorator]  # as above
    def events() -> Iterator[list[dict[str, Any]]]:
        batch = []
        with source.open("rb") as lines:
            for line in lines:
                try:
                    batch.append(orjson.loads(line))
                except orjson.JSONDecodeError:
                    batch.append({"payload": line.decode(errors="replace")})
                if len(batch) == BATCH:
                    yield batch
                    batch = []
        yield batch

    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(out / "state"),
        destination=dlt.destinations.duckdb(str(out / "warehouse.duckdb")),
        dataset_name="events",
    )
    pipeline.run(events())


def tally(out: Path) -> Outcome:
    """Count the rows, repeats and all; only their number is dlt's to answer for."""
    connection = duckdb.connect(out / "warehouse.duckdb", read_only=True)
    rows: Counter[str] = Counter()
    for table in (*TABLES.values(), "dead"):
        counts = connection.sql(f"select count(*) from events.{table}").fetchall()
        rows["any"] += counts[0][0]
    return {"read": rows["any"]}


if __name__ == "__main__":
    main(run, tally)
