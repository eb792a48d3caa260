"""The dbt project on what the jobs load: exact marts, twice the same; compiled SQL for warehouses that are not here."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
import yaml

from devservers import bigquery as bigquery_emulator
from devservers import postgres
from devservers.dbt_command import dbt as run_dbt
from devservers.tools import ROOT, require_path
from tests.live.expected_marts import SAMPLES, Backend, Shop, add_products, add_sales, read_log, samples
from tests.live.job_fixture import run_job
from tests.live.monitored import ask_monitor
from tests.warehouses.backends import bigquery_client

DOMAINS = ("--select", "commerce", "backend_events")

EARLY_SALES = """\
sale_id,product_id,user_id,quantity,unit_price,amount,currency,sale_date
X1,P900,U900,2,,,,2025-01-08T10:00:00Z
X2,P100,U1,1,10,10.00,USD,2025-01-08T10:00:00Z
X3,P100,U1,-2,19.90,39.80,EUR,2025-01-08T10:00:00Z
X4,P100,U1,1,19.90,19.90,EUR,1899-12-31T10:00:00Z
X5,P101,U901,3,1.115,,EUR,2025-01-09T00:30:00+02:00
"""
"""A sale without a price of an unknown product, another currency, a return booked as a positive amount, an impossible
date, and a price that has to be rounded."""

LATE_SALES = """\
sale_id,product_id,user_id,quantity,unit_price,amount,currency,sale_date
S1000,P105,U11,1,249.00,200.00,EUR,2025-01-09T08:04:00Z
S1001,P105,U9,2,249.00,498.00,EUR,2025-01-13T11:02:00Z
X6,P900,U1,1,,,EUR,2025-01-13T12:00:00Z
"""
"""Corrections of an amount and of a day, and one more sale of the product without a price."""

LATE_PRODUCTS = [
    {"product_id": "P900", "product_name": "Hammock", "category": "garden", "price": 12.34},
    {"product_id": "P100", "product_name": "Desk lamp", "category": "office", "price": 21.90},
]
"""The price that was missing, and a product that changes its category."""

ORDER = {
    "event_type": "order",
    "order_id": "0a0a0a0a-0000-4000-8000-000000000001",
    "customer_id": "0a0a0a0a-0000-4000-8000-000000000002",
    "shipping_address": {"street": "1 Main St", "city": "Riga", "country": "LV"},
    "total_amount": 3.30,
}
PEN = {
    "product_id": "0a0a0a0a-0000-4000-8000-000000000003",
    "product_name": "Pen",
    "quantity": 3,
    "price": 1.10,
}
INK = {**PEN, "product_id": "0a0a0a0a-0000-4000-8000-000000000004", "product_name": "Ink", "quantity": 1}
EARLY_ORDERS = [
    {**ORDER, "order_date": "2025-02-08T13:10:00Z", "status": "shipped", "items": [PEN, INK]},
    {**ORDER, "order_date": "2025-02-08T13:00:00Z", "status": "pending", "items": [PEN]},
]
LATE_ORDERS = [
    {**ORDER, "order_date": "2025-02-08T13:05:00Z", "status": "processing", "items": [PEN]},
    {**ORDER, "order_date": "2025-02-08T13:20:00Z", "status": "delivered", "items": [INK]},
]
"""The last status leaves a line of the order out, and one between the first two comes late."""


@dataclass(frozen=True)
class Place:
    """A warehouse: its URL, what leads dbt to it, and how it is asked."""

    url: str
    environment: dict[str, str]
    query: Callable[[str], list[tuple[Any, ...]]]
    profiles: Path = ROOT / "dbt"


@contextmanager
def duckdb_place(folder: Path) -> Iterator[Place]:
    path = folder / "warehouse.duckdb"

    def query(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(path)) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(sql).fetchall()

    yield Place(f"duckdb:///{path}", {"SLUICE_DBT_TARGET": "duckdb", "SLUICE_DUCKDB": str(path)}, query)


@contextmanager
def postgres_place(_: Path) -> Iterator[Place]:
    from adbc_driver_postgresql import dbapi

    with postgres.start() as server:

        def query(sql: str) -> list[tuple[Any, ...]]:
            with dbapi.connect(server.url) as connection, connection.cursor() as cursor:
                cursor.execute("set timezone = 'UTC'")
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []

        environment = {"SLUICE_DBT_TARGET": "postgres", "PGHOST": "127.0.0.1", "PGPORT": str(server.port)}
        environment |= {"PGUSER": server.user, "PGPASSWORD": server.password, "PGDATABASE": "postgres"}
        yield Place(server.url, environment, query)


@contextmanager
def bigquery_place(folder: Path) -> Iterator[Place]:
    (folder / "emulator").mkdir()
    with bigquery_emulator.start(folder / "emulator") as emulator:
        endpoint = emulator.address
        profile = yaml.safe_load((ROOT / "dbt/profiles.yml").read_text())
        profile["sluice"]["outputs"]["bigquery"] |= {"method": "oauth-secrets", "token": "none"}
        profile["sluice"]["outputs"]["bigquery"] |= {"api_endpoint": endpoint, "location": "US", "threads": 1}
        (folder / "profiles").mkdir()
        (folder / "profiles/profiles.yml").write_text(yaml.safe_dump(profile))

        def query(sql: str) -> list[tuple[Any, ...]]:
            with closing(bigquery_client(endpoint)) as client:
                return [tuple(row.values()) for row in client.query_and_wait(sql)]

        environment = emulator.environment | {
            "SLUICE_DBT_TARGET": "bigquery",
            "GOOGLE_CLOUD_PROJECT": "emulator",
        }
        yield Place("bigquery://emulator/commerce", environment, query, folder / "profiles")


PLACES = {"duckdb": duckdb_place, "postgres": postgres_place, "bigquery": bigquery_place}


_ONCE = ["--exclude", "test_name:not_null"]
LEFT_OUT = {"duckdb": [], "postgres": _ONCE, "bigquery": _ONCE}
"""Most tests are of one kind, whose SQL is the same everywhere; once is enough."""


def dbt(folder: Path, place: Place, *arguments: str, code: int = 0) -> str:
    """Run dbt with this repository's project; return what it said."""
    command = [
        "--no-use-colors",
        "--log-level-file=none",
        *arguments,
        "--target-path",
        str(folder / "target"),
    ]
    environment = {**os.environ, "PYTHONPATH": "", **place.environment}
    done = run_dbt(command, environment, place.profiles)
    assert done.code == code, done.out[-6000:] + done.err
    return done.out


def ingest(place: Place, folder: Path, job: str, source: object) -> dict[str, Any]:
    report = run_job(job, source, folder, place.environment, [f"--warehouse={place.url}"])
    assert report["reconciled"]
    return report


def check_marts(place: Place, shop: Shop, backend: Backend) -> None:
    """Compare each mart with what the samples say."""
    shown = {
        "marts.fct_daily_product_revenue": (
            "sale_date, product_id, category, sales, units_sold, units_returned, revenue",
            shop.daily_revenue(),
        ),
        "reporting.top_products_by_category": (
            "category, revenue_rank, product_id, product_name, revenue",
            shop.top_products(),
        ),
        "reporting.customer_activity": (
            "user_id, activity_rank, events, most_common_event_type, sales, revenue",
            shop.customers(),
        ),
        "reporting.event_type_activity": ("event_type, frequency_rank, events, users", shop.event_types()),
        "reporting.reporting_metrics": (
            "metric_date, metric, dimension, dimension_value, value",
            shop.metrics(),
        ),
        "marts.orders": ("order_id, customer_id, status, total_amount, events", backend.orders()),
        "marts.order_items": ("order_id, line_number, product_id, quantity, price", backend.items()),
        "marts.order_status_history": ("order_id, version, status, valid_from, valid_to", backend.history()),
        "marts.stock_levels": ("warehouse_id, product_id, quantity, sale_quantity, events", backend.stock()),
        "marts.user_sessions": (
            "session_id, user_id, started_at, duration_seconds, events",
            backend.sessions(),
        ),
    }
    for table, (columns, expected) in shown.items():
        rows = place.query(f"select {columns} from {table}")
        assert sorted(map(_key, rows)) == sorted(map(_key, expected)), table
    assert place.query("select * from reporting.reconciliation where difference <> 0") == []
    (total,) = place.query("select sum(revenue) from marts.fct_product_revenue")
    assert _key(total) == _key((sum(row[-1] for row in shop.daily_revenue()),))


def _key(row: tuple[Any, ...]) -> list[str]:
    """Return a row in a form that sorts, the same for numbers that are equal; PostgreSQL's come as texts."""
    texts = [str(value) for value in row]
    return [f"{Decimal(text):.9f}" if _NUMBER.fullmatch(text) else text for text in texts]


_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def contents(place: Place) -> dict[str, list[str]]:
    """Return all rows of all models."""
    rows = {}
    for path in (path for domain in DOMAINS[1:] for path in ROOT.glob(f"dbt/models/{domain}/*/*.sql")):
        table = f"{path.parent.name}.{path.stem}"
        rows[table] = sorted(map(repr, place.query(f"select * from {table}")))
    return rows


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PLACES)
def test_marts_have_the_expected_rows_on_every_warehouse(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = samples()
    add_sales(shop, EARLY_SALES, ",")
    sales = tmp_path / "sales"
    sales.mkdir()
    for path in (SAMPLES / "sales").glob("*.csv"):
        (sales / path.name).symlink_to(path)
    (sales / "early.csv").write_text(EARLY_SALES)
    history = tmp_path / "history"
    history.mkdir()
    for path in (ROOT / "examples/backend_events/history").iterdir():
        (history / path.name).symlink_to(path)
    (history / "early.ndjson").write_text("".join(json.dumps(event) + "\n" for event in EARLY_ORDERS))
    with PLACES[name](tmp_path) as place:
        read = {
            "sales": ingest(place, tmp_path, "commerce_sales", f"{sales}/*.csv"),
            "events": ingest(place, tmp_path, "commerce_logs", f"{SAMPLES}/logs/*"),
            "products": ingest(place, tmp_path, "commerce_catalog", f"{SAMPLES}/catalog.json"),
        }
        ingest(place, tmp_path, "backend_events", f"{history}/*")
        dbt(tmp_path, place, "build", *DOMAINS, *LEFT_OUT[name])
        check_marts(place, shop, Backend(read_log(tmp_path / "files")))
        counted = "select figure, from_value, to_value from reporting.reconciliation where from_relation = '_segments'"
        assert sorted(map(_key, place.query(counted))) == sorted(
            _key((f"rows of {figure}", report["accepted"], report["accepted"]))
            for figure, report in read.items()
        )

        (sales / "late.csv").write_text(LATE_SALES)
        add_sales(shop, LATE_SALES, ",")
        (tmp_path / "catalog.json").write_text(json.dumps(LATE_PRODUCTS))
        add_products(shop, LATE_PRODUCTS)
        (history / "late.ndjson").write_text("".join(json.dumps(event) + "\n" for event in LATE_ORDERS))
        ingest(place, tmp_path, "commerce_sales", f"{sales}/*.csv")
        ingest(place, tmp_path, "commerce_catalog", tmp_path / "catalog.json")
        ingest(place, tmp_path, "backend_events", f"{history}/late.ndjson")
        dbt(tmp_path, place, "run", *DOMAINS)
        check_marts(place, shop, Backend(read_log(tmp_path / "files")))
        before = contents(place)
        dbt(tmp_path, place, "run", *DOMAINS)
        assert contents(place) == before
        check_layers(place, monkeypatch, capsys)
        if name == "duckdb":
            check_documentation(place, tmp_path)
            check_alarms(place, tmp_path)


def check_layers(place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The monitor of commerce finds that all layers balance, on each day."""
    monkeypatch.chdir(ROOT)
    for variable, value in place.environment.items():
        monkeypatch.setenv(variable, value)
    code, document = ask_monitor("commerce", place.url, capsys)
    assert (code, document["findings"]) == (0, [])
    judged = {check["name"]: check["judged"] for check in document["checks"]}
    assert judged.pop("daily_figures") == 0  # there are fewer than 42 days
    assert len(judged) == 5
    assert all(judged.values())


def check_documentation(place: Place, folder: Path) -> None:
    """Generate it; each column that a model has is described, and docs/marts.md has the same columns."""
    dbt(folder, place, "docs", "generate", *DOMAINS)
    manifest = json.loads((folder / "target/manifest.json").read_text())
    catalog = json.loads((folder / "target/catalog.json").read_text())
    page = (ROOT / "docs/marts.md").read_text()
    for unique_id, table in catalog["nodes"].items():
        described = manifest["nodes"][unique_id]["columns"]
        assert table["columns"].keys() == described.keys(), unique_id
        assert all(column["description"] for column in described.values()), unique_id
        name = unique_id.rpartition(".")[2]
        if not name.startswith("stg_"):
            section = page.split(f"### {name}\n")[1].split("\n##")[0]
            lines = [f"| `{column}` |" for column in described]
            assert [line for line in lines if line in section] == lines, name
            assert section.count("\n| `") == len(lines), name


def check_alarms(place: Place, folder: Path) -> None:
    """Fresh sources pass; revenue that is a cent off fails."""
    dbt(folder, place, "source", "freshness", "--select", "source:commerce")
    place.query(
        "update reporting.top_products_by_category set revenue = revenue + 0.01 where product_id = 'P101'"
    )
    said = dbt(folder, place, "test", "--select", "assert_revenue_agrees_to_the_cent", code=1)
    assert "Got 1 result, configured to fail if != 0" in said


COMPILE = Path(__file__).with_name("compile_dbt.py")

NOWHERE = {
    "bigquery": {"GOOGLE_CLOUD_PROJECT": "emulator"},
    "snowflake": {
        f"SNOWFLAKE_{name}": "none"
        for name in ("ACCOUNT", "USER", "PASSWORD", "ROLE", "WAREHOUSE", "DATABASE")
    },
}


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("dialect", NOWHERE)
def test_compiled_sql_parses_in_every_dialect(dialect: str, tmp_path: Path) -> None:
    python = str(require_path("dbt/bin/python"))
    done = subprocess.run(
        [python, str(COMPILE), str(tmp_path), dialect],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "", **NOWHERE[dialect]},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    compiled = list((tmp_path / "False/compiled").rglob("*.sql"))
    every = ROOT.glob("dbt/models/*/*/*.sql")
    # Those of collaboration are for PostgreSQL, DuckDB and SQLite.
    models = {path.stem for path in every if path.parts[-3] != "collaboration"}
    assert models <= {path.stem for path in compiled}
    again = list((tmp_path / "True/compiled").rglob("*.sql"))
    assert {"reporting_metrics", "fct_sales", "orders", "order_status_history"} <= {
        path.stem for path in again
    }
    for path in [*compiled, *again]:
        (statement,) = sqlglot.parse(path.read_text(), dialect=dialect)
        assert isinstance(statement, sqlglot.exp.Query), path


@pytest.mark.long
def test_models_that_differ_from_a_revision_are_selected_with_what_is_made_of_them(tmp_path: Path) -> None:
    require_path("dbt")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    (clone / ".tools").symlink_to(ROOT / ".tools")
    model = clone / "dbt/models/audit/marts/mart_audit_rolling.sql"

    def changed() -> list[str]:
        command = ["scripts/dbt-changed", "HEAD", "--quiet", "ls", "--resource-type", "model"]
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=True, timeout=600)
        return [line.rpartition(".")[2] for line in done.stdout.splitlines() if line.startswith("sluice.")]

    assert changed() == []
    model.write_text(model.read_text("utf-8") + "\n-- another line\n", "utf-8")
    assert changed() == ["mart_audit_rolling"]
