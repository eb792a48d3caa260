"""Verdicts are kept in the warehouse that was asked: those of the last run of each check."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from sluice.errors import WarehouseError
from sluice.tooling.monitors.checks import DriftCheck, Monitor
from sluice.tooling.monitors.results import Result
from sluice.tooling.monitors.run import CheckRun, MonitorRun
from sluice.tooling.monitors.storing import store_results
from sluice.warehouses import Queryable, open_warehouse

NOW = 1_780_000_000.0

ADDRESSES = {"duckdb": "duckdb:///{}/w.duckdb", "sqlite": "sqlite:///{}/w.db"}


@pytest.fixture(params=ADDRESSES)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Queryable:
    opened = open_warehouse(ADDRESSES[request.param].format(tmp_path))
    assert isinstance(opened, Queryable)
    return opened


def run(*checks: CheckRun, name: str = "shop") -> MonitorRun:
    return MonitorRun(Monitor(name=name), None, checks)


def result(metric: str, kind: str | None = None, observed: float | None = 1.5) -> Result:
    return Result(
        metric=metric,
        day=date(2026, 1, 5),
        kind=kind,
        observed=observed,
        severity=2,
        explanation=f"{metric} is 'it'",
    )


def rows(warehouse: Queryable) -> list[tuple[object, ...]]:
    sql = "select check_name, metric, kind, observed, explanation from monitor_results order by check_name, metric"
    return warehouse.ask(sql)[1]


def test_verdicts_are_stored_and_replaced_by_the_next_run(warehouse: Queryable) -> None:
    first, second = DriftCheck(name="first"), DriftCheck(name="second")
    results = (result("a"), result("it's", "high"), result("c", "missing", None))
    store_results(run(CheckRun(first, results), CheckRun(second, (result("z"),))), warehouse, NOW)
    store_results(run(CheckRun(first, (result("other"),)), name="another"), warehouse, NOW)
    stored = [
        ("first", "a", "usual", 1.5, ""),
        ("first", "c", "missing", None, "c is 'it'"),
        ("first", "it's", "high", 1.5, "it's is 'it'"),
        ("first", "other", "usual", 1.5, ""),
        ("second", "z", "usual", 1.5, ""),
    ]
    assert rows(warehouse) == stored
    failed = CheckRun(second, (), "no such table")
    store_results(run(CheckRun(first, (result("b"),)), failed), warehouse, NOW)
    assert [row[1] for row in rows(warehouse)] == ["b", "other", "z"]


def test_days_and_times_have_the_types_of_the_warehouse(warehouse: Queryable) -> None:
    store_results(run(CheckRun(DriftCheck(name="c"), (result("a"),))), warehouse, NOW)
    names, ((day, judged_at),) = warehouse.ask("select day, judged_at from monitor_results")
    assert names == ["day", "judged_at"]
    assert str(day) == "2026-01-05"
    assert str(judged_at).startswith(("2026-05-28 20:26:40", "2026-05-28T20:26:40"))


def test_many_verdicts_are_stored(warehouse: Queryable) -> None:
    results = tuple(result(f"m{number}") for number in range(1_201))
    store_results(run(CheckRun(DriftCheck(name="c"), results)), warehouse, NOW)
    assert warehouse.ask("select count(*) from monitor_results")[1] == [(1_201,)]


def test_wrong_query_is_an_error_of_the_warehouse(warehouse: Queryable) -> None:
    store_results(run(CheckRun(DriftCheck(name="c"), (result("a"),))), warehouse, NOW)
    with pytest.raises(WarehouseError):
        warehouse.ask("select nothing from nowhere")


def test_check_that_failed_alone_stores_nothing(warehouse: Queryable) -> None:
    store_results(run(CheckRun(DriftCheck(name="c"), (), "failed")), warehouse, NOW)
    with pytest.raises(WarehouseError):
        rows(warehouse)
