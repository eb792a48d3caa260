"""Which warehouse a monitor asks: that of the command, of its file, or of its job, with variables in each."""

from __future__ import annotations

from pathlib import Path

import pytest
from sluice.errors import ConfigError
from sluice.tooling.monitors.reading import load_monitor
from sluice.tooling.monitors.run import job_of, open_tables, run_monitor
from sluice.warehouses import Queryable
from sluice.warehouses.duckdb import DuckDBWarehouse

ROOT = Path(__file__).parents[3]
CHECKS = "checks: [{name: f, type: freshness, query: select 1, max_age: 1h}]"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADDRESS", f"duckdb:///{tmp_path}/variable.duckdb")


def asked(folder: Path, keys: str, warehouse: str | None) -> str:
    """Return the name of the file that a monitor asks."""
    path = folder / "m.yaml"
    path.write_text(f"{{name: m, {keys}, {CHECKS}}}")
    monitor = load_monitor(str(path))
    tables = open_tables(monitor, job_of(monitor, warehouse), warehouse)
    assert isinstance(tables, DuckDBWarehouse)
    return Path(tables.file).name


JOB = f"job: {ROOT}/jobs/collaboration.yaml"
FILE = "warehouse: 'duckdb:///file.duckdb'"


@pytest.mark.parametrize(
    ("keys", "warehouse", "name"),
    [
        (FILE, None, "file.duckdb"),
        (FILE, "duckdb:///flag.duckdb", "flag.duckdb"),
        (FILE, "${ADDRESS}", "variable.duckdb"),
        ("warehouse: '${ADDRESS}'", None, "variable.duckdb"),
        (JOB, None, "warehouse.duckdb"),
        (f"{JOB}, {FILE}", None, "file.duckdb"),
        (f"{JOB}, {FILE}", "duckdb:///flag.duckdb", "flag.duckdb"),
        (f"{JOB}, {FILE}", "${ADDRESS}", "variable.duckdb"),
        ("warehouse: '${FILE}', variables: {FILE: 'duckdb:///default.duckdb'}", None, "default.duckdb"),
    ],
)
def test_warehouse_is_that_of_the_command_the_file_or_the_job(
    keys: str, warehouse: str | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contracts = tmp_path / "schemas"
    contracts.symlink_to(ROOT / "schemas")
    monkeypatch.delenv("FILE", raising=False)
    assert asked(tmp_path, keys, warehouse) == name


def test_variable_of_the_command_that_is_not_set_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    with pytest.raises(ConfigError) as raised:
        asked(tmp_path, FILE, "${ABSENT}")
    assert str(raised.value) == "--warehouse: expected the environment variable ABSENT, got nothing; set it"


@pytest.mark.parametrize(("scheme", "value"), [("sqlite", 2.0), ("duckdb", 1.0)])
def test_variables_have_other_values_in_some_warehouses(scheme: str, value: float, tmp_path: Path) -> None:
    volume = 'checks: [{name: v, type: volume, query: "${QUERY}", metrics: {x: count}, at_most: 0}]'
    query = "select '2026-11-28' as day, {} as x"
    path = tmp_path / "m.yaml"
    path.write_text(
        f'name: m\nwarehouse: {scheme}:///w.db\nvariables: {{QUERY: "{query.format(1)}"}}\n'
        f'warehouse_variables: {{sqlite: {{QUERY: "{query.format(2)}"}}}}\n{volume}\n'
    )
    monitor = load_monitor(str(path))
    tables = open_tables(monitor, None, None)
    assert isinstance(tables, Queryable)
    tables.execute("create table t (x integer)", [])
    ((result,),) = (check.results for check in run_monitor(monitor, tables, None, 0.0).checks)
    assert result.observed == value
