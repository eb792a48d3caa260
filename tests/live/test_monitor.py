"""The commerce monitor after the sales job and dbt: faults of a day are found in the layer where they are."""

from __future__ import annotations

import csv
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from devservers.tools import ROOT
from tests.live.job_fixture import run_job
from tests.live.monitored import check_monitors
from tests.live.test_dbt import Place, dbt
from tests.tooling.monitors.simulated_series import Shape, simulate
from tests.warehouses.backends import BACKENDS

DOUBLED, DROPPED, BALANCED = 60, 70, 80
"""Numbers of days: sold twice as much, without any sale, and one to put faults into."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return a folder with the warehouse of 100 days of sales, with models built, and the days."""
    folder = tmp_path_factory.mktemp("shop")
    days = write_sales(folder / "sales.csv")
    shutil.copytree(ROOT / "examples/commerce/sales", folder / "sales")
    (folder / "sales.csv").rename(folder / "sales/simulated.csv")
    run_job("commerce_sales", f"{folder}/sales/*.csv", folder)
    url = f"duckdb:///{folder}/w.duckdb"
    for job in ("commerce_catalog", "commerce_logs"):
        command = [
            sys.executable,
            "-m",
            "sluice",
            "tables",
            f"jobs/{job}.yaml",
            "--create",
            f"--warehouse={url}",
        ]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    place = Place(url, {"SLUICE_DBT_TARGET": "duckdb", "SLUICE_DUCKDB": f"{folder}/w.duckdb"}, lambda _: [])
    dbt(folder, place, "run", "--select", "+reporting_metrics", "+daily_product_performance")
    return folder, days


def write_sales(path: Path) -> list[str]:
    """Write sales of 100 days, among them repeated exports, returns, other currencies and sales without a price."""
    rng = random.Random(3)
    simulated = simulate(rng, Shape(0.03, 150, 0.6, 0.0015), faults=False)
    lines = ["sale_id,product_id,user_id,quantity,unit_price,amount,currency,sale_date"]
    for at, day in enumerate(simulated.days[:100]):
        factor = {DOUBLED: 2, DROPPED: 0}.get(at, 1)
        for sale in range(int(simulated.values["sales"][at] or 0) * factor):
            price = rng.choice(["9.99", "19.90", "4.995"])
            quantity = rng.choice([1, 1, 2, -1]) if sale % 20 == 0 else 1
            amount = "" if sale % 3 else f"{quantity * float(price):.2f}"
            currency = "USD" if sale % 31 == 0 else "EUR" if sale % 2 else ""
            line = f"M{at}-{sale},P{sale % 7},U{sale % 11},{quantity},{price},{amount},{currency},{day}T12:00:00Z"
            lines += [line, line.replace(",U", ",V")] if sale % 17 == 0 else [line]
    path.write_text("\n".join(lines) + "\n")
    return [day.isoformat() for day in simulated.days]


def monitor(
    folder: Path, warehouse: Path, *flags: str
) -> tuple[int, list[tuple[str, str, str]], set[tuple[str, str]]]:
    """Run the monitor; return its exit code, its alerts, and the days and figures that do not balance."""
    command = [
        sys.executable,
        "-m",
        "sluice",
        "monitor",
        "monitors/commerce.yaml",
        f"--out={folder}/found",
        *flags,
    ]
    environment = {**os.environ, "SLUICE_DUCKDB": str(warehouse)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    with (folder / "found/alerts.csv").open(newline="") as file:
        alerts = [(row["metric"], row["day"], row["kind"]) for row in csv.DictReader(file)]
    with (folder / "found/reconciliation.csv").open(newline="") as file:
        return done.returncode, alerts, {(row["day"], row["figure"]) for row in csv.DictReader(file)}


def expected_alerts(days: Sequence[str]) -> list[tuple[str, str, str]]:
    return [
        (metric, days[at], kind)
        for at, kind in ((DOUBLED, "high"), (DROPPED, "missing"))
        for metric in ("revenue", "sales")
    ]


def test_days_that_were_doubled_or_dropped_are_found_and_layers_balance(shop: tuple[Path, list[str]]) -> None:
    folder, days = shop
    code, alerts, unbalanced = monitor(folder, folder / "w.duckdb", f"--as-of={days[99]}")
    assert (code, alerts, unbalanced) == (1, expected_alerts(days), set())
    code, alerts, _ = monitor(folder, folder / "w.duckdb", f"--as-of={days[DOUBLED - 1]}")
    assert (code, alerts) == (0, [])
    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        query = "select count(*), count(distinct day), count(distinct check_name) from monitor_results"
        ((verdicts, judged, checks),) = connection.execute(query).fetchall()
    assert (verdicts > 500, judged, checks) == (True, DOUBLED, 6)


FAULTS = {
    "a day that is not reported": (
        ["delete from reporting.reporting_metrics where metric_date = '{day}'"],
        {("{day}", "rows")},
    ),
    "revenue that moved to another day": (
        [
            "update reporting.reporting_metrics set value = value + 10 where metric_date = '{day}'"
            " and metric = 'revenue' and dimension = 'all'",
            "update reporting.reporting_metrics set value = value - 10 where metric_date = '{next}'"
            " and metric = 'revenue' and dimension = 'all'",
        ],
        {("{day}", "revenue"), ("{next}", "revenue")},
    ),
    "a fact that is gone": (
        ["delete from marts.fct_sales where sale_id = 'M80-1'"],
        {("{day}", "rows"), ("{day}", "revenue")},
    ),
    "a cent in a report": (
        [
            "update reporting.daily_product_performance set revenue = revenue + 0.01"
            " where metric_date = '{day}' and product_id = 'P1'"
        ],
        {("{day}", "revenue")},
    ),
    "a sum of a product that is gone": (
        ["delete from marts.fct_daily_product_revenue where sale_date = '{day}' and product_id = 'P1'"],
        {("{day}", "rows"), ("{day}", "revenue")},
    ),
}


@pytest.mark.parametrize(("statements", "unbalanced"), FAULTS.values(), ids=FAULTS)
def test_fault_of_a_layer_is_found_by_day_and_figure(
    shop: tuple[Path, list[str]], statements: list[str], unbalanced: set[tuple[str, str]], tmp_path: Path
) -> None:
    folder, days = shop
    names = {"day": days[BALANCED], "next": days[BALANCED + 1]}
    shutil.copy(folder / "w.duckdb", tmp_path / "w.duckdb")
    with duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement.format(**names))
    code, _, found = monitor(tmp_path, tmp_path / "w.duckdb", f"--as-of={days[99]}")
    assert (code, found) == (1, {(day.format(**names), figure) for day, figure in unbalanced})


def test_models_that_were_not_built_are_said(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "x.duckdb")).close()
    command = [sys.executable, "-m", "sluice", "monitor", "monitors/commerce.yaml"]
    environment = {**os.environ, "SLUICE_DUCKDB": str(tmp_path / "x.duckdb")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    first = done.stderr.splitlines()[0]
    assert first.startswith(f"sluice: monitors/commerce.yaml: checks[0] daily_figures: {tmp_path}/x.duckdb: ")
    assert "reporting_metrics" in first
    assert "does not exist" in first


EVENTS = ROOT / "examples/backend_events/history/orders_and_stock.ndjson"


@pytest.mark.parametrize("kind", ["duckdb", "sqlite", "postgres"])
def test_monitors_work_in_every_warehouse(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """tests/live/test_cloud_warehouses.py has those that take longer."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "server").mkdir()
    lines = [line for line in EVENTS.read_bytes().splitlines(keepends=True) if b"T13:01:" in line]
    (tmp_path / "events.ndjson").write_bytes(b"".join([*lines, b'{"event_type":"order"}\n']))
    with BACKENDS[kind](tmp_path / "server") as make:
        backend = make(tmp_path)
        for variable, value in backend.environment.items():
            monkeypatch.setenv(variable, value)
        run_job("backend_events", f"{tmp_path}/events.ndjson", tmp_path, {}, [f"--warehouse={backend.url}"])
        check_monitors(backend, capsys)
