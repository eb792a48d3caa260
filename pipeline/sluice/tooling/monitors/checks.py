"""What a monitor file can ask for: one dataclass for each type of check, whose fields are the keys of the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Literal

from sluice.config.durations import duration
from sluice.config.options import OneOf, option
from sluice.errors import ConfigError, quote

MetricType = Literal["amount", "count"]

_METRIC_TYPE = OneOf("amount", "count")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)%")
_ALL = 100


def name(value: Any, where: str) -> str:
    """Return a name of letters, digits, `_`, `.` and `-`."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        message = f"{where}: expected a name of letters, digits, _, . and -, got {quote(value)}"
        raise ConfigError(message)
    return value


def _metrics(value: Any, where: str) -> dict[str, MetricType]:
    if not isinstance(value, dict) or not value:
        expected = "columns and their types, such as {revenue: amount, sales: count}"
        message = f"{where}: expected {expected}, got {quote(value)}"
        raise ConfigError(message)
    return {
        name(column, where): "count" if _METRIC_TYPE(kind, f"{where}: {column}") == "count" else "amount"
        for column, kind in value.items()
    }


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{where}: expected a number, got {quote(value)}"
        raise ConfigError(message)
    return float(value)


def _factor(value: Any, where: str) -> float:
    if _number(value, where) <= 1:
        message = f"{where}: expected a number above 1, such as 2, got {quote(value)}"
        raise ConfigError(message)
    return float(value)


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        message = f"{where}: expected a whole number from 1, got {quote(value)}"
        raise ConfigError(message)
    return value


def _percent(value: Any, where: str) -> float:
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None or float(match[1]) > _ALL:
        message = f"{where}: expected a share from 0% to 100%, such as 5%, got {quote(value)}"
        raise ConfigError(message)
    return float(match[1]) / _ALL


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Columns that balance: `before` less all `explained` is `after`, to within `tolerance`."""

    before: str
    explained: tuple[str, ...]
    after: str
    tolerance: Decimal


_FIGURE_KEYS = ("before", "explained", "after", "tolerance")


def _figures(value: Any, where: str) -> dict[str, Figure]:
    if not isinstance(value, dict) or not value:
        message = (
            f"{where}: expected figures and their columns, such as "
            f"{{rows: {{before: raw_rows, explained: [rejected_rows], after: rows}}}}, got {quote(value)}"
        )
        raise ConfigError(message)
    return {name(figure, where): _figure(keys, f"{where}: {figure}") for figure, keys in value.items()}


def _figure(value: Any, where: str) -> Figure:
    if not isinstance(value, dict) or not {"before", "after"} <= set(value) <= set(_FIGURE_KEYS):
        message = (
            f"{where}: expected before and after, and at most explained and tolerance, got {quote(value)}"
        )
        raise ConfigError(message)
    explained = value.get("explained", [])
    if not isinstance(explained, list):
        message = f"{where}: explained: expected a list of columns, got {quote(explained)}"
        raise ConfigError(message)
    tolerance = _number(value.get("tolerance", 0), f"{where}: tolerance")
    return Figure(
        before=name(value["before"], f"{where}: before"),
        explained=tuple(name(column, f"{where}: explained") for column in explained),
        after=name(value["after"], f"{where}: after"),
        tolerance=Decimal(str(tolerance)),
    )


@dataclass(frozen=True, kw_only=True)
class Check:
    """What every check has."""

    type: ClassVar[str]

    name: str = option("name of the check, unique in the file", example="daily_figures", parse=name)
    where: str = option(
        "where to look when it finds something", default="", example="reporting.reporting_metrics"
    )
    command: str = option("a command that helps", default="", example="scripts/dbt build --select commerce")


_QUERY = "SQL; its result has the column `day`, and a column for each name that the check uses"


@dataclass(frozen=True, kw_only=True)
class AnomaliesCheck(Check):
    """Judges each day of daily series by the days before it: high, low or missing."""

    type = "anomalies"

    query: str = option(_QUERY, example="select day, revenue, sales from daily_metrics")
    metrics: Mapping[str, MetricType] = option(
        "columns that are judged; a count varies by chance the more the smaller it is",
        example="{revenue: amount, sales: count}",
        parse=_metrics,
    )
    series: str | None = option(
        "column that tells several series apart, each judged by itself",
        default=None,
        example="event_type",
        parse=name,
    )


@dataclass(frozen=True, kw_only=True)
class ReconcileCheck(Check):
    """Compares two layers by day: what the first has, less what is explained, is in the second."""

    type = "reconcile"

    query: str = option(_QUERY, example="select day, raw_rows, rejected_rows, rows from layers")
    figures: Mapping[str, Figure] = option(
        "figures and the columns that balance",
        example="{rows: {before: raw_rows, explained: [rejected_rows], after: rows}}",
        parse=_figures,
    )


@dataclass(frozen=True, kw_only=True)
class FreshnessCheck(Check):
    """Compares the newest time, or day, with now or with the end of the day of `--as-of`."""

    type = "freshness"

    query: str = option(
        "SQL; its result has a column `newest`, and may have a column `series`", example="select …"
    )
    max_age: float = option("how old the newest may be", example="26h", parse=duration)


@dataclass(frozen=True, kw_only=True)
class VolumeCheck(Check):
    """Compares the values of each day with fixed bounds."""

    type = "volume"

    query: str = option(_QUERY, example="select day, count(*) as rows from orders group by day")
    metrics: Mapping[str, MetricType] = option(
        "columns that are compared", example="{rows: count}", parse=_metrics
    )
    series: str | None = option(
        "column that tells several series apart", default=None, example="event_type", parse=name
    )
    at_least: float | None = option(
        "smallest value that is usual", default=None, example="1000", parse=_number
    )
    at_most: float | None = option(
        "largest value that is usual", default=None, example="50000", parse=_number
    )


@dataclass(frozen=True, kw_only=True)
class ErrorRateCheck(Check):
    """Compares the share of invalid records of each day, by file, type or code, with a limit and its own average."""

    type = "error_rate"

    query: str = option("SQL; its result has the columns `day`, `total` and `invalid`", example="select …")
    series: str | None = option(
        "column whose values have rates of their own", default=None, example="file_name", parse=name
    )
    at_most: float | None = option("largest share that is usual", default=None, example="20%", parse=_percent)
    times_average: float | None = option(
        "a share is unusual above so many times its average of the days before",
        default=None,
        example="2",
        parse=_factor,
    )
    average_days: int = option(
        "days with a row that the average has at most", default=7, example="7", parse=_whole
    )
    least_records: int = option(
        "days with fewer records are not compared with the average", default=20, example="20", parse=_whole
    )


@dataclass(frozen=True, kw_only=True)
class DriftCheck(Check):
    """Compares the tables of the job with its contracts."""

    type = "drift"


CHECKS: Mapping[str, type[Check]] = {
    check.type: check
    for check in (AnomaliesCheck, ReconcileCheck, FreshnessCheck, VolumeCheck, ErrorRateCheck, DriftCheck)
}
"""Type of a check, as monitor files write it -> its class."""


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """A monitor file, read and checked; its texts still have their variables."""

    name: str = option("name of the monitor", example="commerce", parse=name)
    job: str | None = option(
        "job file: its warehouse and contracts", default=None, example="jobs/orders.yaml"
    )
    warehouse: str | None = option(
        "warehouse, instead of the job's", default=None, example="duckdb:///out/warehouse.duckdb"
    )
    tables: Mapping[str, str] = field(
        default_factory=dict, metadata={"help": "table -> CSV file, instead of a warehouse"}
    )
    variables: Mapping[str, str] = field(
        default_factory=dict, metadata={"help": "environment variable -> value if it is not set"}
    )
    warehouse_variables: Mapping[str, Mapping[str, str]] = field(
        default_factory=dict, metadata={"help": "warehouse -> variables that have another value there"}
    )
    checks: tuple[Check, ...] = ()
    alerts: Any = None
    path: str = ""
