"""The file audit by dbt and by Spark, against plain Python: hostile files, each table after each of two runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from devservers.tools import require_path
from orchestration.audit.compare import compare_folders
from orchestration.audit.run import Audit
from spark.audit.export import TABLES, columns_of, write_table
from tests.live.audit_files import Writer
from tests.live.audit_truth import Truth
from tests.live.test_dbt import PLACES, dbt

SEED = 1
COMMANDS = {"postgres": "build", "bigquery": "run"}
"""What dbt does: the tests of the models run on PostgreSQL alone."""


def write_late_files(writer: Writer, data: Path) -> None:
    """Add files of days that are there, and of one that is not, with transactions of earlier events."""
    writer.write(data, range(0, 11, 3), late=True)
    (data / "events_2025-11-20.csv").write_text("event_id,status\n")


def check(truth: Truth, data: Path, results: Path, *sides: str) -> None:
    """Compare the tables of `sides` with those of one more run of `truth`."""
    for table, rows in truth.audit(data).items():
        write_table(results / "truth", table, rows)
    for side in sides:
        differences = compare_folders(results / side, results / "truth")
        assert not any(differences.values()), (side, differences)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_both_sides_have_the_rows_of_plain_python_after_each_run(tmp_path: Path) -> None:
    require_path("spark/bin/python")
    data, out, writer, truth = tmp_path / "data", tmp_path / "out", Writer(SEED), Truth()
    data.mkdir()
    writer.write(data, range(10))
    (data / "notes.txt").write_text("no daily file\n")
    for run in (1, 2):
        report = Audit(data, out).run()
        check(truth, data, out, "dbt", "spark")
        assert (report["read"], report["rejected"]) == (truth.read, truth.rejected), run
        assert (report["spark"]["read"], report["spark"]["rejected"]) == (truth.read, truth.rejected), run
        assert report["equal"]
        write_late_files(writer, data)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_folder_without_files_has_an_empty_audit(tmp_path: Path) -> None:
    require_path("spark/bin/python")
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    report = Audit(data, out).run()
    assert (report["read"], report["rejected"], report["equal"]) == (0, 0, True)
    for table in TABLES:
        assert (out / "dbt" / f"{table}.csv").read_text() == ",".join(columns_of(table)) + "\n"


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["postgres", "bigquery"])
def test_warehouse_has_the_rows_of_plain_python_after_each_run(name: str, tmp_path: Path) -> None:
    data, out, writer, truth = tmp_path / "data", tmp_path / "out", Writer(SEED), Truth()
    data.mkdir()
    writer.write(data, range(10))
    quote = "`" if name == "bigquery" else '"'
    with PLACES[name](tmp_path) as place:
        audit = Audit(data, out, place.url, place.environment)
        for _ in range(2):
            audit.ingest()
            # Without an overlap, the second run counts nothing again but what has changed.
            dbt(tmp_path, place, COMMANDS[name], "--select", "audit", "--vars", "{overlap_minutes: 0}")
            for table in TABLES:
                columns = ", ".join(f"{quote}{column}{quote}" for column in columns_of(table))
                write_table(out / name, table, place.query(f"select {columns} from marts.{table}"))
            check(truth, data, out, name)
            write_late_files(writer, data)
    shutil.rmtree(out)
