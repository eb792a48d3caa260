"""Replay a large CSV file, a damaged log and a large catalog with Sluice, and the CSV file with two peers.

`.venv/bin/python -m benchmarks.commerce` takes a million rows, 500,000 damaged lines and 100,000 products;
`--rows 100000 --runs 1 --no-docs` is a quick look. Each is a whole process from start to exit; the figures are compared
with what was generated, and written into the commerce block of docs/performance.md. The peers read the same file: a
DuckDB script with the same checks that writes Parquet, and a textbook loop with Python's `csv` and `json` that writes
JSON lines. Exit code 1: a figure is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.measurement.measure import Measured, measure
from benchmarks.report import page

ROOT = Path(__file__).resolve().parent.parent
START = datetime(2025, 1, 10, tzinfo=UTC)
HEADER = "sale_id,product_id,customer_id,quantity,unit_price,amount,currency,sale_date,note\n"

TARGETS = {"commerce_sales": 100_000, "commerce_logs": 50_000}
"""Records a second on two cores, by job."""

PEERS = {"DuckDB script, CSV": "commerce_duckdb", "Python loop, CSV": "commerce_textbook"}
"""What a peer is -> its module."""


@dataclass(frozen=True)
class Case:
    """A file, how many records it has, and how many of them are repeated and rejected."""

    job: str
    path: Path
    records: int
    duplicates: int
    rejected: int


def sales(path: Path, rows: int) -> Case:
    """Write a day's sales in order of time: 1 % broken in four ways, 1 % repeated, 2 % with a quoted note."""
    chance = random.Random(rows)
    duplicates = rejected = 0
    row = ""
    with path.open("w") as out:
        out.write(HEADER)
        for number in range(rows):
            kind = chance.randrange(100)
            if kind == 0 and row:
                duplicates += 1
                out.write(row)
                continue
            at = (START + timedelta(seconds=number * 86_400 / rows)).strftime("%Y-%m-%dT%H:%M:%SZ")
            quantity, cents = chance.randint(1, 5), chance.randint(100, 50_000)
            price, amount = f"{cents / 100:.2f}", f"{quantity * cents / 100:.2f}"
            note = f'"left at ""{number}"", front desk"' if kind in (1, 2) else ""
            sold = f"S{number},P{chance.randrange(500)},U{chance.randrange(20_000)},{quantity}"
            line = f"{sold},{price},{amount},EUR,{at},{note}"
            if kind == 3:
                rejected += 1
                broken = [
                    line.replace(f",{quantity},{price}", f",many,{price}", 1),
                    line.replace(at, "10.01.2025"),
                    line.replace(",EUR,", ",euro,"),
                    line.replace(",EUR,", ","),
                ]
                out.write(chance.choice(broken) + "\n")
                continue
            row = f"{line}\n"
            out.write(row)
    return Case("commerce_sales", path, rows, duplicates, rejected)


def logs(path: Path, lines: int) -> Case:
    """Write an hour of log lines, every one of them damaged, in a dozen ways of which one is beyond repair."""
    chance = random.Random(lines)
    rejected = 0
    with path.open("w") as out:
        for number in range(lines):
            at = (START + timedelta(seconds=number * 3600 / lines)).strftime("%Y-%m-%dT%H:%M:%SZ")
            user, product = f"U{chance.randrange(20_000)}", f"P{chance.randrange(500)}"
            inner = f'"metadata": {{"product_id": "{product}", "device": "web", "session_id": "s{number}"}}'
            line = f'{{"user_id": "{user}", "timestamp": "{at}", "event_type": "view", {inner}}}'
            flat = f"user_id={user} event_type=view product_id={product} device=web session_id=s{number}"
            damaged = [
                line.replace('"', "'"),
                line[:-2] + ",}}",
                line[:-1],
                line[1:],
                f"{at} INFO shop.web - {line}",
                f"timestamp={at} {flat}",
                f"{at} INFO {flat}",
                line.replace('", "', '" "'),
                json.dumps(line),
                line.replace('"user_id"', "user_id"),
                line[:-9],
            ]
            kind = chance.randrange(len(damaged) + 1)
            if kind == len(damaged):
                rejected += 1
                out.write(f"connection {number} reset by peer\n")
            else:
                out.write(damaged[kind] + "\n")
    return Case("commerce_logs", path, lines, 0, rejected)


def catalog(path: Path, products: int) -> Case:
    """Write a catalog as one JSON array."""
    with path.open("w") as out:
        documents = (
            {
                "product_id": f"P{number}",
                "product_name": f"Thing {number}",
                "category": f"c{number % 40}",
                "price": 9.5,
            }
            for number in range(products)
        )
        out.write("[" + ",\n".join(map(json.dumps, documents)) + "]")
    return Case("commerce_catalog", path, products, 0, 0)


def sluice(case: Case, out: Path) -> list[str]:
    """Return the command that replays a case."""
    command = [sys.executable, "-m", "sluice", "run", f"jobs/{case.job}.yaml", f"--source={case.path}"]
    command += [f"--files={out}/files", f"--warehouse=duckdb:///{out}/w.duckdb"]
    return [*command, f"--dead-letters={out}/dead_letters", f"--report={out}/report.json"]


def faults(case: Case, out: Path) -> Iterator[str]:
    """Yield the figures of the report that are wrong."""
    report = json.loads((out / "report.json").read_text())
    expected = {
        "read": case.records,
        "duplicates": case.duplicates,
        "rejected": case.rejected,
        "reconciled": True,
    }
    for name, value in expected.items():
        if report[name] != value:
            yield f"{case.job}: expected {name} {value}, got {report[name]}"


def best(command: list[str], out: Path, runs: int) -> Measured:
    """Run a command several times, each time into an empty folder; return the fastest."""
    measured = []
    for _ in range(runs):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        os.sync()
        measured.append(measure(command, out / "log", {**os.environ, "PYTHONPATH": str(ROOT)}))
        if measured[-1].exit_code:
            sys.exit((out / "log").read_text())
    return min(measured, key=lambda run: run.seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the CSV file")
    parser.add_argument("--lines", type=int, default=500_000, help="damaged lines of the log")
    parser.add_argument("--products", type=int, default=100_000, help="products of the catalog")
    parser.add_argument("--runs", type=int, default=3, help="runs of each; the fastest counts")
    parser.add_argument("--data", type=Path, default=ROOT / "out/bench/commerce", help="where files lie")
    parser.add_argument(
        "--docs", type=Path, default=ROOT / "docs/performance.md", help="the page to write to"
    )
    parser.add_argument("--no-docs", dest="docs", action="store_const", const=None, help="print only")
    return parser.parse_args()


def main() -> int:
    """Generate, measure, check and print."""
    options = _options()
    folder: Path = options.data.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    few = sales(folder / "few.csv", 3)
    cases = [
        sales(folder / "sales.csv", options.rows),
        logs(folder / "web.log", options.lines),
        catalog(folder / "catalog.json", options.products),
    ]
    table, targets, wrong = measure_all(few, cases, folder / "out", options.runs)
    machine = page.environment("apache-beam", "msgspec", "pyarrow", "duckdb")
    fastest = f"; the fastest of {options.runs} runs." if options.runs > 1 else "; one run."
    block = f"{machine}{fastest}\n\n{page.markdown(table)}\n\n{page.markdown(targets)}"
    print(block, *wrong, sep="\n")
    if options.docs is not None and not wrong:
        page.write(options.docs, {"commerce": block})
    return 1 if wrong else 0


def measure_all(
    few: Case, cases: list[Case], out: Path, runs: int
) -> tuple[list[list[str]], list[list[str]], list[str]]:
    """Return the rows of both tables, and the figures that are wrong; `few` has nothing to do but to start."""
    wrong: list[str] = []
    start = best(sluice(few, out), out, runs)
    table = [
        ["", "records", "seconds", "records/s", "after start-up", "CPU s", "records/CPU s", "peak MB"],
        ["---"] + ["---:"] * 7,
        _row("Sluice: its start", few, start),
    ]
    targets = [["target", "wanted", "reached, after start-up", ""], ["---", "---:", "---:", "---"]]
    for case in cases:
        run = best(sluice(case, out), out, runs)
        rate = case.records / (run.seconds - start.seconds)
        table.append(_row(f"Sluice, {case.job}", case, run, rate))
        wrong += faults(case, out)
        if wanted := TARGETS.get(case.job):
            reached = [f"{rate:,.0f}", page.met(rate >= wanted)]
            targets.append([f"{case.job}, records/s", f"≥ {wanted:,}", *reached])
    for title, peer in PEERS.items():
        command = [sys.executable, "-m", f"benchmarks.peers.{peer}", str(cases[0].path), str(out)]
        table.append(_row(title, cases[0], best(command, out, runs)))
    return table, targets, wrong


def _row(title: str, case: Case, run: Measured, rate: float | None = None) -> list[str]:
    speeds = [
        f"{run.seconds:.1f}",
        f"{case.records / run.seconds:,.0f}",
        "" if rate is None else f"{rate:,.0f}",
    ]
    used = [f"{run.cpu:.1f}", f"{case.records / run.cpu:,.0f}", f"{run.peak / 1e6:,.0f}"]
    return [title, f"{case.records:,}", *speeds, *used]


if __name__ == "__main__":
    sys.exit(main())
