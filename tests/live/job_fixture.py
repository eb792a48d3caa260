"""What tests of whole jobs share: the product's own command, and how a warehouse is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from devservers.sluice_command import sluice
from devservers.tools import ROOT


def run_job(
    job: str,
    source: object,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    flags: Sequence[str] = (),
    code: int = 0,
) -> dict[str, Any]:
    """Run a job of this repository into `folder`; return its report, or what it said on standard error."""
    done = sluice(
        "run",
        f"jobs/{job}.yaml",
        f"--source={source}",
        f"--files={folder}/files",
        f"--warehouse=duckdb:///{folder}/w.duckdb",
        f"--dead-letters={folder}/dead_letters",
        f"--report={folder}/report.json",
        *flags,
        environment={**(environment or {}), "PYTHONPATH": str(ROOT)},
    )
    assert done.code == code, done.err
    if code:
        return {"error": done.err.strip()}
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def figures(report: Mapping[str, Any]) -> tuple[int, int, int, int, bool]:
    """Return what was read, accepted, repeated and rejected, and whether it balances."""
    return tuple(report[name] for name in ("read", "accepted", "duplicates", "rejected", "reconciled"))


def rows(folder: Path, query: str) -> list[Any]:
    """Return the rows of a query on the warehouse of a run into `folder`."""
    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute("set timezone = 'UTC'")
        return connection.execute(query).fetchall()
