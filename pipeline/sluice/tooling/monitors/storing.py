"""Verdicts of monitors as rows of a table `monitor_results` in the warehouse."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sluice.contracts import ValueType
from sluice.tooling.monitors.run import MonitorRun
from sluice.warehouses import Queryable
from sluice.warehouses.dialect import Dialect

_ROWS_PER_INSERT = 500


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: ValueType
    description: str


_COLUMNS = (
    _Column("monitor", "string", "Name of the monitor."),
    _Column("check_name", "string", "Name of the check in it."),
    _Column("metric", "string", "What was measured."),
    _Column("day", "date", "The day that it is about; null: now."),
    _Column("kind", "string", "What is unusual, such as high or missing; usual if nothing is."),
    _Column("observed", "float", "What was measured; null if there was nothing."),
    _Column("expected", "float", "What was expected."),
    _Column("low", "float", "The smallest value that is usual."),
    _Column("high", "float", "The largest value that is usual."),
    _Column("severity", "float", "How far outside of what is usual; above 1 is unusual."),
    _Column("explanation", "string", "One sentence about it; empty if it is usual."),
    _Column("judged_at", "timestamp", "When the monitor ran."),
)

TABLE = "monitor_results"


def store_results(run: MonitorRun, warehouse: Queryable, now: float) -> None:
    """Replace the verdicts of a monitor by those of a run; a check that could not be asked keeps its earlier ones.

    Args:
        run: what was judged.
        warehouse: where the table is; it is created if it is missing.
        now: when the monitor ran, in epoch seconds.

    Raises:
        WarehouseError: it cannot be written; the earlier verdicts stay, where the warehouse has transactions.

    """
    dialect = warehouse.dialect
    table = dialect.quote_name(TABLE)
    asked = ", ".join(dialect.quote_text(check.check.name) for check in run.checks if not check.failure)
    if not asked:
        return
    names = [dialect.quote_name(column.name) for column in _COLUMNS]
    monitor, check = names[:2]
    changes = [
        f"DELETE FROM {table} WHERE {monitor} = {dialect.quote_text(run.monitor.name)} AND {check} IN ({asked})"
    ]
    rows = [f"({', '.join(values)})" for values in _rows(run, dialect, now)]
    for at in range(0, len(rows), _ROWS_PER_INSERT):
        part = ",\n".join(rows[at : at + _ROWS_PER_INSERT])
        changes.append(f"INSERT INTO {table} ({', '.join(names)}) VALUES\n{part}")
    warehouse.execute(_create_sql(dialect), changes)


def _type_of(dialect: Dialect, column: _Column) -> str:
    """Return the type of a column as DDL has it: BigQuery's API has another name for one."""
    sql_type = dialect.types[column.type]
    return "FLOAT64" if sql_type == "FLOAT" and dialect.name == "BigQuery" else sql_type


def _create_sql(dialect: Dialect) -> str:
    columns = (f"{dialect.quote_name(column.name)} {_type_of(dialect, column)}" for column in _COLUMNS)
    return f"CREATE TABLE IF NOT EXISTS {dialect.quote_name(TABLE)} ({', '.join(columns)})"


def _rows(run: MonitorRun, dialect: Dialect, now: float) -> Iterator[list[str]]:
    instant = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    judged_at = _cast(dialect, instant, "timestamp")
    for check in run.checks:
        for result in check.results:
            texts = (run.monitor.name, check.check.name, result.metric)
            numbers = (result.observed, result.expected, result.low, result.high, result.severity)
            yield [
                *map(dialect.quote_text, texts),
                "NULL" if result.day is None else _cast(dialect, result.day.isoformat(), "date"),
                dialect.quote_text(result.kind or "usual"),
                *map(_number, numbers),
                dialect.quote_text(result.explanation if result.kind else ""),
                judged_at,
            ]


def _cast(dialect: Dialect, text: str, value_type: ValueType) -> str:
    return f"CAST({dialect.quote_text(text)} AS {dialect.types[value_type]})"


def _number(value: float | None) -> str:
    return "NULL" if value is None or not math.isfinite(value) else repr(float(value))
