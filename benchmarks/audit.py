"""Audit the same daily files with dbt on DuckDB and with the PySpark job, and the job without each optimisation.

`.venv/bin/python -m benchmarks.audit` takes 5,000,000 events in 60 files, and a tenth of them in 12 files for the
optimisations; `--events 60000 --no-docs` is a quick look. Each side is a whole process from start to exit; the job with
and without its optimisations runs in one session. All must have the numbers that were generated. The figures are
written into the audit block of docs/performance.md. Exit code 1: a figure is wrong, or dbt is slower than it has to be.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.measurement.measure import Measured, measure
from benchmarks.report import page
from devservers.tools import require_path

ROOT = Path(__file__).resolve().parent.parent
TARGET = 5.0
"""How many times as fast dbt has to be."""

FILES_A_DAY = 2
VARIANTS = {
    "nothing": "as it is",
    "partial_aggregate": "transactions ranked by `row_number`, not aggregated by `max(struct(…))`",
    "cache": "daily counts not cached",
    "adaptive": "adaptive execution off: no broadcast join, no merged partitions",
}
"""What the job is run without -> what that means."""

_EVENTS = """
create table events as
select
    i as number, i % {files} as file, 't' || (hash(i) % {transactions}) as transaction_id,
    case when hash(i, 1) % 20 = 0 then 'NOK' when hash(i, 2) % 100 = 0 then '' else 'OK' end as status
from range({events}) as events(i)
"""
_TRANSACTIONS = """
create table transactions as
select
    i as number, i % {days} as day, 't' || i as transaction_id,
    case
        when hash(i, 3) % 50 = 0 then 'null'
        when hash(i, 4) % 50 = 0 then '-' || (hash(i) % 9 + 1) || '.50'
        else (hash(i) % 10000) || '.00'
    end as amount
from range({transactions}) as transactions(i)
"""
_EVENT_FILE = """
copy (
    select
        'e' || number as event_id, transaction_id, '' as file_name, status,
        strftime(date '{day}' + to_seconds(number % 86400), '%Y-%m-%d %H:%M:%S') as event_time
    from events where file = {file} order by number
) to '{path}' (header, quote '')
"""
_TRANSACTION_FILE = """
copy (
    select
        transaction_id, amount, 'c' || (number % 5000) as customer_id,
        strftime(date '{day}' + to_seconds(number % 86400), '%Y-%m-%d %H:%M:%S') as load_time
    from transactions where day = {number} order by number
) to '{path}' (header, quote '')
"""
_EXPECTED = """
select
    file, count(*),
    count(*) filter (status <> 'OK' or transactions.amount = 'null' or transactions.amount like '-%')
from events join transactions using (transaction_id) group by file order by file
"""


@dataclass(frozen=True)
class Input:
    """Daily files of generated events; `expected` has (nb_total, nb_invalid) by load_date and file_name."""

    folder: Path
    events: int
    transactions: int
    files: int
    expected: Mapping[tuple[str, str], tuple[int, int]]


def generate(folder: Path, events: int, files: int) -> Input:
    """Write `files` event files, two a day, and a transaction file a day; a transaction has two events on average."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    numbers = {"events": events, "files": files, "transactions": events // 2, "days": files // FILES_A_DAY}
    with duckdb.connect() as connection:
        for statement in (_EVENTS, _TRANSACTIONS):
            connection.execute(statement.format(**numbers))
        for file in range(files):
            day, name = _day(file // FILES_A_DAY), _name(file)
            path = folder / f"events_{day}_{name}"
            connection.execute(_EVENT_FILE.format(day=day, file=file, path=path))
        for number in range(numbers["days"]):
            path = folder / f"transactions_{_day(number)}.csv"
            connection.execute(_TRANSACTION_FILE.format(day=_day(number), number=number, path=path))
        counted = connection.execute(_EXPECTED).fetchall()
    expected = {(_day(file // FILES_A_DAY), _name(file)): (total, bad) for file, total, bad in counted}
    return Input(folder, events, numbers["transactions"], files, expected)


def _day(number: int) -> str:
    return f"2025-{9 + number // 30:02}-{number % 30 + 1:02}"


def _name(file: int) -> str:
    return f"part{file % FILES_A_DAY}.csv"


def run(command: list[str], log: Path) -> Measured:
    """Run one command to its end; end with what it printed if it failed."""
    os.sync()
    measured = measure(command, log, {**os.environ, "PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"})
    if measured.exit_code:
        sys.exit(log.read_text())
    return measured


def compare_sides(source: Input, out: Path) -> tuple[list[list[str]], float, list[str]]:
    """Run both sides; return the rows of the table, how many times as fast dbt is, and what is wrong."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    titles = {"ingest": "Sluice: ingest", "dbt": "dbt on DuckDB", "spark": "the PySpark job"}
    command = [
        sys.executable,
        "-m",
        "orchestration.audit.run",
        f"--data={source.folder}",
        f"--out={out}",
        "--only",
    ]
    measured = {step: run([*command, step], out / f"{step}.log") for step in titles}
    wrong = [fault for side in ("dbt", "spark") for fault in faults(source, out / side)]
    rows = [_row(titles[step], source, measured[step]) for step in titles]
    return rows, measured["spark"].seconds / measured["dbt"].seconds, wrong


def compare_variants(source: Input, out: Path) -> tuple[list[list[str]], list[str]]:
    """Run the job with and without each optimisation; return the rows of the table, and what is wrong."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    python = str(require_path("spark/bin/python"))
    run([python, "-m", "benchmarks.peers.audit_spark", str(source.folder), str(out)], out / "log")
    figures: dict[str, tuple[float, float]] = json.loads((out / "figures.json").read_text())
    rows = [
        [title, f"{source.events:,}", *(f"{figure:.1f}" for figure in figures[variant])]
        for variant, title in VARIANTS.items()
    ]
    return rows, [fault for variant in VARIANTS for fault in faults(source, out / variant)]


def faults(source: Input, folder: Path) -> list[str]:
    """Return how mart_audit_daily in `folder` differs from what was generated."""
    with (folder / "mart_audit_daily.csv").open(newline="") as file:
        got = {
            (row["load_date"], row["file_name"]): (int(row["nb_total"]), int(row["nb_invalid"]))
            for row in csv.DictReader(file)
        }
    keys = sorted({*got, *source.expected})
    return [
        f"{folder}: {key}: expected {source.expected.get(key)}, got {got.get(key)}"
        for key in keys
        if got.get(key) != source.expected.get(key)
    ]


def _row(title: str, source: Input, measured: Measured) -> list[str]:
    rate = f"{source.events / measured.seconds:,.0f}"
    used = [f"{measured.cpu:.1f}", f"{measured.peak / 1e6:,.0f}"]
    return [title, f"{source.events:,}", f"{measured.seconds:.1f}", rate, *used]


def main() -> int:
    """Generate, measure, check and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--events", type=int, default=5_000_000, help="events in 60 files")
    parser.add_argument("--data", type=Path, default=ROOT / "out/bench/audit", help="where files lie")
    parser.add_argument(
        "--docs", type=Path, default=ROOT / "docs/performance.md", help="the page to write to"
    )
    parser.add_argument("--no-docs", dest="docs", action="store_const", const=None, help="print only")
    options = parser.parse_args()
    folder: Path = options.data.absolute()
    os.chdir(ROOT)
    load = os.getloadavg()[0]
    head = [["", "events", "seconds", "events/s", "CPU s", "peak MB"], ["---"] + ["---:"] * 5]
    source = generate(folder / "data", options.events, 60)
    rows, times, wrong = compare_sides(source, folder / "out")
    few = generate(folder / "few", options.events // 10, 12)
    variants, wrong_variants = compare_variants(few, folder / "variants")
    wrong += wrong_variants
    busy = f"; {load:.1f} processes were ready to run when it began" if load >= 1 else ""
    lines = [
        f"{page.environment('duckdb', 'apache-beam')}{busy}; one run. {source.events:,} events in {source.files} files,"
        f" {source.transactions:,} transactions in {source.files // FILES_A_DAY}.",
        page.markdown([*head, *rows]),
        f"dbt is {times:.1f}× as fast as the PySpark job; wanted: ≥ {TARGET:g}×, {page.met(times >= TARGET)}.",
        page.markdown([["the PySpark job", "events", "seconds", "CPU s"], ["---"] + ["---:"] * 3, *variants]),
    ]
    block = "\n\n".join(lines)
    print(block, *wrong, sep="\n")
    if options.docs is not None and not wrong:
        page.write(options.docs, {"audit": block})
    return 1 if wrong or times < TARGET else 0


if __name__ == "__main__":
    sys.exit(main())
