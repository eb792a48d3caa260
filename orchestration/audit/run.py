"""usage: scripts/audit --data DIR --out DIR: the file audit, by Sluice and dbt and by PySpark.

Both sides read the daily files in DIR and write the four tables as CSV, to OUT/dbt and OUT/spark. OUT/report.json has
the ledgers, and whether the tables are equal. OUT/state is what a next run needs. It also has what a step leaves for
the later ones, so that each can run by itself (`--only`), in a task of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from devservers.errors import MissingTool
from devservers.tools import require_path
from orchestration.audit.compare import compare_folders, print_differences
from orchestration.steps import AUDIT
from spark.audit.export import TABLES, columns_of, write_table
from spark.audit.names import load_date_of

ROOT = Path(__file__).parents[2]
KINDS = ("events", "transactions")
FIGURES = ("read", "accepted", "duplicates", "rejected")
WAREHOUSE_VARIABLE = "SLUICE_WAREHOUSE"
"""Has the address of the warehouse for the commands of Sluice."""


class AuditError(Exception):
    """A step of the audit failed; the text says which, and why."""


class Audit:
    """One audit of the files in `data`, with its results in `out`."""

    def __init__(
        self,
        data: Path,
        out: Path,
        warehouse: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Take absolute paths; the warehouse is the embedded one, unless its address and environment are given."""
        self.data, self.out, self.state = data, out, out / "state"
        self._duckdb = self.state / "warehouse.duckdb"
        # All users of a machine can read its command lines, and an address may have a password.
        address = {WAREHOUSE_VARIABLE: warehouse or f"duckdb:///{self._duckdb}"}
        self._environment = {**(environment or {}), **address}

    def run(self) -> dict[str, Any]:
        """Run all steps and return the report."""
        for step in AUDIT[:-1]:
            self.run_step(step)
        return self.compare()

    def run_step(self, step: str) -> None:
        """Run one of the steps before the comparison; what it did is in the state."""
        steps = {"ingest": self.ingest, "dbt": self._build, "spark": self._run_spark}
        print(f"audit: {step} …", file=sys.stderr, flush=True)
        started = time.monotonic()
        result = steps[step]()
        seconds = round(time.monotonic() - started, 3)
        text = json.dumps({"result": result, "seconds": seconds})
        self._state_of(step).write_text(text, encoding="utf-8")
        print(f"audit: {step} took {seconds:.1f} s", file=sys.stderr, flush=True)

    def compare(self) -> dict[str, Any]:
        """Compare the tables of both sides; return the report of all steps."""
        done = {step: self._read_state(step) for step in AUDIT[:-1]}
        ledgers, spark = done["ingest"]["result"], done["spark"]["result"]
        differences = compare_folders(self.out / "spark", self.out / "dbt")
        print_differences(differences, self.out / "spark", self.out / "dbt")
        totals = {name: sum(ledger[name] for ledger in ledgers.values()) for name in FIGURES}
        return {
            **totals,
            **ledgers,
            "spark": {**_sum_figures(spark), **spark},
            "differences": {table: len(of_table) for table, of_table in differences.items()},
            "equal": not any(differences.values()),
            "seconds": {step: done[step]["seconds"] for step in done},
        }

    def _state_of(self, step: str) -> Path:
        return self.state / f"step_{step}.json"

    def _read_state(self, step: str) -> dict[str, Any]:
        path = self._state_of(step)
        if not path.exists():
            message = f"{path}: expected what the step {step} leaves, got nothing; run that step first"
            raise AuditError(message)
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return state

    def _daily_files(self) -> dict[str, list[str]]:
        """Return the names of the daily files by kind, in order."""
        names = sorted(
            path.name
            for path in self.data.iterdir()
            if path.is_file() and load_date_of(path.name) is not None
        )
        return {kind: [name for name in names if name.startswith(f"{kind}_")] for kind in KINDS}

    def ingest(self) -> dict[str, dict[str, Any]]:
        """Load the files, and the list of event files; return the ledger of each kind."""
        self.state.mkdir(parents=True, exist_ok=True)
        names, ledgers = self._daily_files(), {}
        for kind in KINDS:
            folder = self._link(kind, names[kind])
            ledgers[kind] = self._load(f"audit_{kind}", folder if names[kind] else None)
        listing = self.state / "event_files.ndjson"
        lines = [
            json.dumps(
                {
                    "load_date": f"{load_date_of(name)}T00:00:00Z",
                    "address": str(self.state / "input/events" / name),
                    "size": (self.data / name).stat().st_size,
                }
            )
            for name in names["events"]
        ]
        listing.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        self._load("audit_files", listing if lines else None)
        return ledgers

    def _link(self, kind: str, names: Sequence[str]) -> Path:
        """Fill a folder with links to the daily files alone, at addresses that stay the same for the next run."""
        folder = self.state / "input" / kind
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).symlink_to(self.data / name)
        return folder

    def _load(self, job: str, source: Path | None) -> dict[str, Any]:
        """Run a job; without a source, only make its tables. Return its ledger."""
        places = [
            f"--files={self.state / 'files'}",
            f"--warehouse=${{{WAREHOUSE_VARIABLE}}}",
            f"--dead-letters={self.state / 'dead_letters'}",
        ]
        command = [sys.executable, "-m", "sluice"]
        ledger: dict[str, Any] = dict.fromkeys(FIGURES, 0)
        if source is not None:
            report = self.state / f"{job}.json"
            self._call(
                job,
                [*command, "run", f"jobs/{job}.yaml", f"--source={source}", *places, f"--report={report}"],
            )
            figures = json.loads(report.read_text(encoding="utf-8"))
            ledger = {name: figures[name] for name in FIGURES}
        else:
            self._call(job, [*command, "tables", f"jobs/{job}.yaml", "--apply", *places[1:2]])
        return ledger

    def _build(self) -> None:
        """Build the models of the audit, and export the four tables."""
        target = self.state / "dbt"
        command: list[str | Path] = [require_path("dbt/bin/dbt"), "--quiet", "--no-use-colors"]
        command += ["--log-level-file=none", "run", "--select", "audit", "--project-dir", "dbt"]
        command += ["--profiles-dir", "dbt", "--target-path", target, "--log-path", target / "logs"]
        variables = {"SLUICE_DBT_TARGET": "duckdb", "SLUICE_DUCKDB": str(self._duckdb), "PYTHONPATH": ""}
        self._call("dbt", command, variables)
        self._export()

    def _export(self) -> None:
        with duckdb.connect(str(self._duckdb), read_only=True) as connection:
            for table in TABLES:
                columns = ", ".join(f'"{column}"' for column in columns_of(table))
                rows = connection.execute(f"select {columns} from marts.{table}").fetchall()
                write_table(self.out / "dbt", table, rows)

    def _run_spark(self) -> dict[str, Any]:
        report = self.state / "spark.json"
        command: list[str | Path] = [require_path("spark/bin/python"), "-m", "spark.audit_job"]
        command += ["--data", self.data, "--out", self.out / "spark", "--state", self.state / "spark"]
        self._call("spark", [*command, "--report", report], {"SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": ""})
        figures: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return figures

    def _call(
        self, step: str, command: Sequence[str | Path], variables: dict[str, str] | None = None
    ) -> None:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **self._environment, **(variables or {})},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            said = (done.stdout[-4000:] + done.stderr[-4000:]).strip()
            message = f"{step} failed with {done.returncode}:\n{said}"
            raise AuditError(message)


def _sum_figures(spark: dict[str, Any]) -> dict[str, int]:
    return {name: sum(spark[kind][name] for kind in KINDS) for name in ("read", "rejected")}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the audit; end with 0 if both sides are equal, with 1 if not, and with 2 if a step fails."""
    parser = argparse.ArgumentParser(
        prog="scripts/audit",
        description="Audit the daily files in a folder, by Sluice and dbt and by PySpark, and compare the results. "
        "Run again after files were added, it is the next run: what it must remember is in OUT/state.",
    )
    parser.add_argument(
        "--data", required=True, type=Path, help="folder with events_<date>….csv and transactions_<date>….csv"
    )
    parser.add_argument(
        "--out", required=True, type=Path, help="folder for spark/, dbt/, report.json and state/"
    )
    parser.add_argument("--only", choices=AUDIT, help="one step alone")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        parser.error(f"--data: expected a folder, got {options.data}")
    audit = Audit(options.data.resolve(), options.out.resolve())
    try:
        if options.only not in (None, AUDIT[-1]):
            audit.run_step(options.only)
            sys.exit(0)
        report = audit.compare() if options.only else audit.run()
    except (AuditError, MissingTool, OSError) as error:
        print(f"audit: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("audit: interrupted; run it again, it goes on from what is stored", file=sys.stderr)
        sys.exit(130)
    path = options.out / "report.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    verdict = "spark and dbt are equal" if report["equal"] else "spark and dbt differ"
    print(f"{verdict}; read {report['read']}, rejected {report['rejected']}; report: {path}")
    sys.exit(0 if report["equal"] else 1)


if __name__ == "__main__":
    main()
