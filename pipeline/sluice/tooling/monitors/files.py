"""The files that a monitor writes: alerts.csv, reconciliation.csv and findings.csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from sluice.errors import StorageError
from sluice.tooling.monitors.finding import Finding
from sluice.tooling.monitors.results import Result
from sluice.tooling.monitors.run import MonitorRun

ALERTS = ("metric", "day", "kind", "observed", "expected", "low", "high", "severity", "check", "explanation")
RECONCILIATION = ("day", "figure", "before", "explained", "after", "difference", "check", "explanation")
FINDINGS = tuple(field.name for field in fields(Finding))
_ANOMALIES = ("high", "low", "missing")


def write_files(run: MonitorRun, folder: Path) -> None:
    """Write what a monitor found into a folder: days of series, layers that do not balance, and all of it.

    alerts.csv holds high, low and missing days, reconciliation.csv unbalanced ones, each in the order of their days;
    findings.csv holds everything, the worst first. A file of nothing has its header alone.

    Raises:
        StorageError: the folder cannot be made, or a file cannot be written.

    """
    results = [
        (check.check.name, result)
        for check in run.checks
        for result in check.results
        if result.kind is not None
    ]
    alerts = [_alert(check, result) for check, result in results if result.kind in _ANOMALIES]
    unbalanced = [_unbalanced(check, result) for check, result in results if result.kind == "unbalanced"]
    findings = [[_cell(getattr(finding, name)) for name in FINDINGS] for finding in run.findings]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "alerts.csv", ALERTS, sorted(alerts, key=lambda row: (row[1], row[0])))
        _write(
            folder / "reconciliation.csv",
            RECONCILIATION,
            sorted(unbalanced, key=lambda row: (row[0], row[1])),
        )
        _write(folder / "findings.csv", FINDINGS, findings)
    except OSError as error:
        message = f"{error.filename or folder}: cannot write what the monitor found: {error.strerror}"
        raise StorageError(message) from error


def _alert(check: str, result: Result) -> list[Any]:
    """Return a row of alerts.csv."""
    numbers = (result.observed, result.expected, result.low, result.high, result.severity)
    return [result.metric, result.day, result.kind, *map(_number, numbers), check, result.explanation]


def _unbalanced(check: str, result: Result) -> list[Any]:
    """Return a row of reconciliation.csv."""
    figures = (result.before, result.explained, result.after, result.difference)
    return [result.day, result.metric, *figures, check, result.explanation]


def make_document(run: MonitorRun) -> dict[str, Any]:
    """Return what a monitor found as one document; in JSON it has no infinite numbers, so null stands for them."""
    return {
        "monitor": run.monitor.name,
        "as_of": run.as_of,
        "findings": [
            {name: _finite(getattr(finding, name)) for name in FINDINGS} for finding in run.findings
        ],
        "checks": [
            {
                "name": check.check.name,
                "type": check.check.type,
                "judged": len(check.results),
                "found": sum(result.kind is not None for result in check.results),
                "failure": check.failure or None,
            }
            for check in run.checks
        ],
    }


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.write_text(text.getvalue(), "utf-8")


def _number(value: float | None) -> str:
    """Return a number with at most six decimals; '' for none."""
    if value is None:
        return ""
    return f"{value:.6f}".rstrip("0").rstrip(".") if math.isfinite(value) else "inf"


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return _number(value)
    return "" if value is None else value


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
