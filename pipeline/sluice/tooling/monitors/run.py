"""Runs a monitor: asks each check, and keeps what it found, what it judged, and why a check could not be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from sluice.config.job import Job, load_job, option_fields
from sluice.config.urls import Url
from sluice.errors import ConfigError, SluiceError
from sluice.tooling.monitors.checks import Check, DriftCheck, FreshnessCheck, Monitor
from sluice.tooling.monitors.drift import judge_drift
from sluice.tooling.monitors.finding import Finding
from sluice.tooling.monitors.judging import (
    judge_anomalies,
    judge_error_rates,
    judge_freshness,
    judge_reconciliation,
    judge_volume,
)
from sluice.tooling.monitors.reading import expand
from sluice.tooling.monitors.results import Result, finding_of
from sluice.tooling.monitors.tables import CsvTables, Tables
from sluice.warehouses import Queryable, open_warehouse


@dataclass(frozen=True, slots=True)
class CheckRun:
    """What one check said; `failure` is why it could not be asked, '' if it was."""

    check: Check
    results: tuple[Result, ...]
    failure: str = ""


@dataclass(frozen=True, slots=True)
class MonitorRun:
    """What all checks of a monitor said."""

    monitor: Monitor
    as_of: date | None
    checks: tuple[CheckRun, ...]

    @property
    def findings(self) -> list[Finding]:
        """What is unusual, the worst first; of the same severity, the newest first."""
        findings = [
            finding_of(self.monitor.name, run.check, result)
            for run in self.checks
            for result in run.results
            if result.kind is not None
        ]
        newest = sorted(findings, key=lambda finding: finding.day or date.max, reverse=True)
        return sorted(newest, key=lambda finding: -finding.severity)

    @property
    def failures(self) -> list[str]:
        """Why checks could not be asked."""
        return [run.failure for run in self.checks if run.failure]


def run_monitor(
    monitor: Monitor, tables: Tables, as_of: date | None, now: float, job: Job | None = None
) -> MonitorRun:
    """Ask all checks of a monitor; one that fails does not stop the others.

    Args:
        monitor: what is asked.
        tables: what answers.
        as_of: the newest day; later rows are ignored. None: all rows, and freshness is that of now.
        now: what time it is, in epoch seconds.
        job: whose contracts tables are compared with.

    """
    instant = datetime.fromtimestamp(now, UTC)
    monitor = _for_warehouse(monitor, tables)
    runs = []
    for number, check in enumerate(monitor.checks):
        where = f"{monitor.path}: checks[{number}] {check.name}"
        try:
            runs.append(
                CheckRun(
                    check, tuple(_ask(_expanded(monitor, check, where), tables, as_of, instant, where, job))
                )
            )
        except SluiceError as error:
            text = str(error)
            runs.append(CheckRun(check, (), text if text.startswith(monitor.path) else f"{where}: {text}"))
    return MonitorRun(monitor, as_of, tuple(runs))


_JUDGES: Mapping[str, Callable[..., list[Result]]] = {
    "anomalies": judge_anomalies,
    "reconcile": judge_reconciliation,
    "volume": judge_volume,
    "error_rate": judge_error_rates,
}


def _ask(
    check: Any, tables: Tables, as_of: date | None, now: datetime, where: str, job: Job | None
) -> list[Result]:
    if isinstance(check, DriftCheck):
        return judge_drift(job, tables)
    if isinstance(check, FreshnessCheck):
        return judge_freshness(check, tables, as_of, now, where)
    return _JUDGES[check.type](check, tables, as_of, where)


def _for_warehouse(monitor: Monitor, tables: Tables) -> Monitor:
    """Return a monitor with the variables that have another value in the warehouse that is asked."""
    if not isinstance(tables, Queryable):
        return monitor
    own = monitor.warehouse_variables.get(tables.dialect.name.lower(), {})
    return replace(monitor, variables={**monitor.variables, **own})


def _expanded(monitor: Monitor, check: Check, where: str) -> Check:
    """Return a check with the values of the variables in its texts."""
    texts = {key: getattr(check, key) for key in ("query", "where", "command") if getattr(check, key, None)}
    return replace(check, **{key: expand(monitor, value, f"{where}: {key}") for key, value in texts.items()})


def open_tables(monitor: Monitor, job: Job | None, warehouse: str | None) -> Tables:
    """Return what answers the queries of a monitor: CSV files, the warehouse given, that of the file, or the job's.

    Raises:
        ConfigError: a variable is not set, or the address or its client is missing or wrong.

    """
    if monitor.tables:
        if warehouse is not None:
            message = f"--warehouse: {monitor.path} asks CSV files; leave it out"
            raise ConfigError(message)
        where = f"{monitor.path}: tables"
        files = {table: expand(monitor, path, f"{where}: {table}") for table, path in monitor.tables.items()}
        return CsvTables(files)
    if job is not None:
        address = job.warehouse
    else:
        where = f"{monitor.path}: warehouse" if warehouse is None else "--warehouse"
        address = Url(expand(monitor, warehouse or monitor.warehouse or "", where), where=where)
    opened = open_warehouse(address)
    if not isinstance(opened, Queryable):
        message = f"{address.where}: expected a warehouse that answers queries, got {address}"
        raise ConfigError(message)
    return opened


def job_of(monitor: Monitor, warehouse: str | None) -> Job | None:
    """Return the job whose tables a monitor asks; None if it names none.

    Raises:
        ConfigError: the job file is wrong.

    """
    if monitor.job is None:
        return None
    overrides = {}
    if warehouse is not None:
        overrides["warehouse"] = warehouse
    elif monitor.warehouse is not None:
        overrides["warehouse"] = expand(monitor, monitor.warehouse, f"{monitor.path}: warehouse")
    unused = [field.name for field in option_fields() if field.name not in ("warehouse", "contracts")]
    return load_job(monitor.job, overrides, unused)
