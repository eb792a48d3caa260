"""The DAGs under Airflow itself, with a metadata database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from devservers import postgres
from devservers.tools import require_path
from examples.collaboration.pipeline import EXPORTS, LOGS
from examples.collaboration.warehouse import open_warehouse
from spark.audit.export import TABLES
from tests.orchestration.airflow_fixture import Airflow

FIGURES = {"read": 3398, "accepted": 3302, "repeated": 56, "rejected": 40}


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of an Airflow whose metadata database was just made."""
    airflow = Airflow(tmp_path_factory.mktemp("migrated"), {})
    airflow.call("db", "migrate")
    return airflow.home


def outputs(warehouse: Any, out: Path) -> tuple[dict[str, bytes], dict[str, int]]:
    """Return the files of tables and metrics, and the number of rows of each table."""
    files = {path.name: path.read_bytes() for path in out.glob("*.csv")}
    counts = " union all ".join(f"select '{name}' as name, count(*) as rows from {name}" for name in EXPORTS)
    return files, {row["name"]: row["rows"] for row in warehouse.query(counts).to_pylist()}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_second_run_of_the_collaboration_dag_changes_nothing(migrated: Path, tmp_path: Path) -> None:
    require_path("dbt/bin/dbt")
    with postgres.start() as server:
        address = f"postgresql://127.0.0.1:{server.port}/postgres?schema=docs"
        connection = f"postgresql://{server.user}:{quote(server.password, safe='')}@127.0.0.1:{server.port}/"
        airflow = Airflow(tmp_path / "airflow", {"AIRFLOW_CONN_SLUICE_WAREHOUSE": connection})
        airflow.start_from(migrated)
        out = tmp_path / "out"
        configuration = json.dumps({"warehouse": address, "out": str(out)})
        warehouse = open_warehouse(server.url + "?schema=docs", LOGS)
        printed, results = "", []
        for new_events in (3302, 0):
            printed += airflow.call("dags", "test", "collaboration", "--conf", configuration)
            report = json.loads((out / "report.json").read_text())
            assert {name: report[name] for name in FIGURES} == FIGURES
            assert report["new_events"] == new_events
            results.append(outputs(warehouse, out))
        assert results[0] == results[1]
        assert sorted(results[0][0]) == sorted(f"{name}.csv" for name in EXPORTS)
        assert results[0][1] == report["rows"]
        assert_secret_is_nowhere(server.password, printed, airflow.home)


def assert_secret_is_nowhere(secret: str, printed: str, home: Path) -> None:
    """Neither in what Airflow printed nor in its logs and its metadata database, in any spelling."""
    for spelling in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
        assert spelling not in printed
        files = [path for path in home.rglob("*") if path.is_file()]
        assert files
        assert [path for path in files if spelling.encode() in path.read_bytes()] == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_second_run_of_the_audit_dag_changes_nothing(migrated: Path, tmp_path: Path) -> None:
    for tool in ("dbt/bin/dbt", "spark/bin/python"):
        require_path(tool)
    airflow, out = Airflow(tmp_path / "airflow", {}), tmp_path / "out"
    airflow.start_from(migrated)
    results = []
    for accepted, duplicates in ((1338, 0), (0, 1338)):
        printed = airflow.call("dags", "test", "audit", "--conf", json.dumps({"out": str(out)}))
        assert "spark and dbt are equal; read 1340, rejected 2; report: " in printed
        report = json.loads((out / "report.json").read_text())
        assert (report["read"], report["rejected"], report["equal"]) == (1340, 2, True)
        assert (report["accepted"], report["duplicates"]) == (accepted, duplicates)
        assert sorted(report["seconds"]) == ["dbt", "ingest", "spark"]
        results.append({str(path.relative_to(out)): path.read_bytes() for path in out.glob("*/*.csv")})
    assert sorted(results[0]) == [
        f"{side}/{name}.csv" for side in ("dbt", "spark") for name in sorted(TABLES)
    ]
    assert results[0] == results[1]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_dags_are_imported_without_errors_and_catch_nothing_up(tmp_path: Path) -> None:
    common = {"catchup": False, "max_active_runs": 1, "retries": [3]}
    collaboration = {"ingest": ["build"], "build": ["check"], "check": ["export"], "export": []}
    audit = {"ingest": ["dbt", "spark"], "dbt": ["compare"], "spark": ["compare"], "compare": []}
    assert Airflow(tmp_path, {}).dags() == {
        "errors": {},
        "dags": {
            "audit": {**common, "schedule": "0 6 * * *", "next": audit},
            "collaboration": {**common, "schedule": "@hourly", "next": collaboration},
            "monitor_audit": {**common, "schedule": "0 7 * * *", "next": {"audit": []}},
            "monitor_collaboration": {**common, "schedule": "0 7 * * *", "next": {"collaboration": []}},
        },
    }
