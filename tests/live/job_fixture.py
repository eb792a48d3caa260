"""What tests of whole jobs share: the product's own command, and how a warehouse is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

ROOT = Path(__file__).parents[2]


def run_job(
    job: str,
    source: object,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    flags: Sequence[str] = (),
    code: int = 0,
) -> dict[str, Any]:
    """Run a job of this repository into `folder`; return its report, or what it said on standard error."""
    command = [sys.executable, "-m", "sluice", "run", f"jobs/{job}.yaml", f"--source={source}"]
    command += [f"--files={folder}/files", f"--warehouse=duckdb:///{folder}/w.duckdb"]
    command += [f"--dead-letters={folder}/dead_letters", f"--report={folder}/report.json", *flags]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {}), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == code, done.stderr
    if code:
        return {"error": done.stderr.strip()}
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
