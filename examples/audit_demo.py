"""usage: audit_demo.py: the file audit of eight days of sample files, by dbt and by Spark side by side.

It audits the first seven days, then all eight with the transactions that come late, and prints the tables.
"""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sluice.cli.console import wide_console

from orchestration.audit import run

OUT = Path("out/audit")
SAMPLES = Path(__file__).parent / "audit/data"
LAST_DAY = ("2025-10-31", "20251031")


def show(console: Console, table: str) -> None:
    """Print a table of the audit, with the rates of both sides beside each other."""
    sides = {}
    for side in ("dbt", "spark"):
        with (OUT / side / f"{table}.csv").open(encoding="utf-8", newline="") as file:
            sides[side] = list(csv.DictReader(file))
    columns = list(sides["dbt"][0])
    shown = Table(*columns, "error_rate in spark", title=table)
    for ours, theirs in zip(sides["dbt"], sides["spark"], strict=True):
        shown.add_row(*(ours[column][:18] for column in columns), theirs["error_rate"][:18])
    console.print(shown)


def audit(console: Console, names: list[str]) -> None:
    """Add files to the folder of the audit, and run it."""
    data = OUT / "data"
    data.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy2(SAMPLES / name, data)
    console.print(f"[bold]scripts/audit --data {data} --out {OUT}[/]  ({len(names)} new files)")
    try:
        run.main([f"--data={data}", f"--out={OUT}"])
    except SystemExit as end:
        if end.code:
            sys.exit(f"the audit ended with {end.code}")


def main() -> None:
    """Run the demonstration."""
    console = wide_console()
    shutil.rmtree(OUT, ignore_errors=True)
    names = sorted(path.name for path in SAMPLES.iterdir())
    late = [name for name in names if any(day in name for day in LAST_DAY)]
    audit(console, [name for name in names if name not in late])
    audit(console, late)
    for table in ("mart_audit_top3", "central_audit"):
        show(console, table)


if __name__ == "__main__":
    main()
