"""Marts are the same however they were built: run by run, at once, and from the event log in a new warehouse."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devservers.sluice_command import sluice
from devservers.tools import ROOT
from tests.live.test_dbt import DOMAINS, INK, ORDER, PEN, PLACES, Place, dbt, duckdb_place, ingest

DAY = 86400
JOBS = ("commerce_sales", "commerce_logs", "commerce_catalog", "backend_events")
NO_OVERLAP = ("--vars", "{overlap_minutes: 0}")
HEADER = "sale_id,product_id,user_id,quantity,unit_price,amount,currency,sale_date\n"

FIRST_SALES = """\
S1,P1,U1,1,,10.00,EUR,2025-01-08
S2,P1,U1,1,,20.00,EUR,2025-01-08
S4,P1,U2,2,,-5.00,EUR,2025-01-08
S6,P1,U2,1,,6.00,EUR,2025-01-08
S6,P1,U2,1,,7.00,EUR,2025-01-08
"""
SECOND_SALES = """\
S1,P1,U1,1,,12.00,EUR,2025-01-08
S2,P1,U1,1,,21.00,EUR,2025-01-08
S5,P1,U1,3,,,EUR,2025-01-08
"""
THIRD_SALES = """\
S2,P1,U1,1,,20.00,EUR,2025-01-08
S1,P1,U1,1,,13.00,EUR,2025-01-09
"""
"""Corrections in a later row, in a later export, and back to an earlier value; a return that its amount shows."""

SALES = "select sale_id, sale_date, quantity, revenue from marts.fct_sales order by sale_id"
DAYS = "select date_day, day_of_week from marts.dim_dates order by date_day"
ORDERS = "select product_name, total_amount from marts.order_items join marts.orders using (order_id) order by 1, 2"
AFTER_TWO = [
    "('S1', '2025-01-08', 1, 12.00)",
    "('S2', '2025-01-08', 1, 21.00)",
    "('S4', '2025-01-08', -2, -5.00)",
    "('S5', '2025-01-08', 3, 12.00)",
    "('S6', '2025-01-08', 1, 7.00)",
]
ITEMS_AFTER_TWO = ["('Ink', '2.000000000')", "('Ink', '3.300000000')", "('Pen', '3.300000000')"]
AFTER_THREE = ["('S1', '2025-01-09', 1, 13.00)", "('S2', '2025-01-08', 1, 20.00)", *AFTER_TWO[2:]]

PRODUCT = {"product_id": "P1", "product_name": "Lamp", "category": "office"}
LOGS = [
    {"user_id": "U1", "event_type": "view", "timestamp": "1700-01-01T00:00:00Z"},
    {"user_id": "U1", "event_type": "view", "timestamp": "2025-01-08T10:00:00Z"},
]
OTHER = {**ORDER, "order_id": "0a0a0a0a-0000-4000-8000-000000000009", "order_date": "2025-02-08T13:00:00Z"}
FIRST_EVENTS: list[dict[str, Any]] = [
    {**ORDER, "order_date": "2025-02-08T13:00:00Z", "status": "pending", "items": [PEN, INK]},
    {**OTHER, "status": "pending", "items": [PEN], "total_amount": 1.00},
    {**OTHER, "status": "pending", "items": [INK], "total_amount": 2.00},
]
LATER_EVENTS: list[dict[str, Any]] = [
    {**ORDER, "order_date": "2025-02-08T14:00:00Z", "status": "processing", "items": []},
    {**OTHER, "status": "pending", "items": [], "total_amount": 3.00},
    *(
        json.loads(
            (ROOT / f"schemas/backend_events/examples/{kind}.accepts.ndjson").read_text().partition("\n")[0]
        )
        for kind in ("inventory", "user_activity")
    ),
]
"""An order that has no lines any more, another state of one instant, and what models were empty without at first."""


def write(folder: Path, name: str, day: int, text: str) -> None:
    """Write a file that was modified on a day of January 2025."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    seconds = 1735689600 + (day - 1) * DAY
    os.utime(path, (seconds, seconds))


def lines(events: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def command(place: Place, verb: str, job: str, *flags: str) -> None:
    """Run a command of the product that reads no source."""
    environment = {**place.environment, "PYTHONPATH": str(ROOT)}
    done = sluice(verb, f"jobs/{job}.yaml", f"--warehouse={place.url}", *flags, environment=environment)
    assert done.code == 0, done.err


def texts(place: Place, query: str) -> list[str]:
    """Return rows as texts; those of PostgreSQL have their decimals as texts already."""
    return [
        "(" + ", ".join(f"'{value}'" if index < 2 else str(value) for index, value in enumerate(row)) + ")"
        for row in place.query(query)
    ]


def models(place: Place, prefix: str = "") -> dict[str, list[str]]:
    """Return all rows of the models that are built here, without the time at which dbt wrote one."""
    rows = {}
    for path in (path for domain in DOMAINS[1:] for path in (ROOT / "dbt/models" / domain).glob("*/*.sql")):
        written = "metric_date, metric, dimension, dimension_value, value"
        columns = written if path.stem == "reporting_metrics" else "*"
        query = f"select {columns} from {prefix}{path.parent.name}.{path.stem}"
        rows[path.stem] = sorted(map(repr, place.query(query)))
    return rows


@contextmanager
def other_place(name: str, place: Place, folder: Path) -> Iterator[tuple[Place, str]]:
    """Yield a warehouse without tables, and what the names of dbt's schemas begin with in it."""
    if name == "duckdb":
        (folder / "rebuilt").mkdir()
        with duckdb_place(folder / "rebuilt") as rebuilt:
            yield rebuilt, ""
        return
    schemas = {
        f"SLUICE_{schema.upper()}_SCHEMA": f"new_{schema}" for schema in ("staging", "marts", "reporting")
    }
    environment = place.environment | schemas | {"SLUICE_SCHEMA": "rebuilt"}
    yield replace(place, url=f"{place.url}?schema=rebuilt", environment=environment), "new_"


def read(place: Place, folder: Path, job: str, name: str, day: int, text: str) -> None:
    """Write the next file of a source, and read all of them."""
    write(folder / job, name, day, text)
    ingest(place, folder, job, f"{folder / job}/*")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["duckdb", "postgres"])
def test_marts_are_the_same_however_they_were_built(name: str, tmp_path: Path) -> None:
    with PLACES[name](tmp_path) as place:
        for job in JOBS:
            command(place, "tables", job, "--create")
        dbt(tmp_path, place, "run", *DOMAINS, *NO_OVERLAP)

        write(tmp_path / "commerce_sales", "z.csv", 9, HEADER + FIRST_SALES)
        read(place, tmp_path, "commerce_sales", "a.csv", 10, HEADER + SECOND_SALES)
        snapshots = lines([{**PRODUCT, "price": 3}, {**PRODUCT, "price": 4}])
        read(place, tmp_path, "commerce_catalog", "b.ndjson", 5, snapshots)
        read(place, tmp_path, "commerce_logs", "c.ndjson", 9, lines(LOGS))
        read(place, tmp_path, "backend_events", "z.ndjson", 9, lines(FIRST_EVENTS))
        dbt(tmp_path, place, "run", *DOMAINS, *NO_OVERLAP)
        assert texts(place, SALES) == AFTER_TWO
        assert texts(place, DAYS) == ["('2025-01-08', '3')"]
        assert texts(place, ORDERS) == ITEMS_AFTER_TWO

        read(place, tmp_path, "commerce_sales", "c.csv", 11, HEADER + THIRD_SALES)
        dbt(tmp_path, place, "run", "--select", "fct_sales", *NO_OVERLAP)
        assert texts(place, SALES) == AFTER_THREE
        read(place, tmp_path, "commerce_catalog", "a.ndjson", 20, lines([{**PRODUCT, "price": 9}]))
        read(place, tmp_path, "backend_events", "a.ndjson", 10, lines(LATER_EVENTS))
        dbt(tmp_path, place, "run", *DOMAINS, *NO_OVERLAP)
        assert texts(place, SALES) == AFTER_THREE
        assert texts(place, DAYS) == ["('2025-01-08', '3')", "('2025-01-09', '4')"]
        assert texts(place, ORDERS) == []

        with other_place(name, place, tmp_path) as (rebuilt, prefix):
            places = (f"--files={tmp_path}/files", f"--dead-letters={tmp_path}/dead_letters")
            for job in JOBS:
                command(rebuilt, "load", job, *places)
            dbt(tmp_path, rebuilt, "run", "--full-refresh", *DOMAINS, *NO_OVERLAP)
            assert models(rebuilt, prefix) == models(place)
