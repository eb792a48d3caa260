"""The manifest of real runs: files of every format, files that have changed, and a table that is built again."""

from __future__ import annotations

import gzip
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sluice.config.job import Job, load_job
from sluice.config.urls import Url
from sluice.elements import StepCounts
from sluice.errors import StorageError
from sluice.eventlog.source_manifest import RunOfJob
from sluice.graph.ledger import Report, make_report
from sluice.provenance import Source
from sluice.run_state import RunHandle
from sluice.runtime import run_manifest
from sluice.runtime.launch import load_log, run_job
from sluice.runtime.open_run import open_run
from sluice.runtime.run_folder import SharedFolders
from sluice.runtime.run_manifest import RunManifest, written_in_parts
from sluice.source_tallies import SourceTally
from sluice.tooling.verify import Verification

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: shop-sale
version: 1.0.0
domain: shop
schema:
  - name: sale
    physicalName: sales
    customProperties:
      - {property: eventTime, value: at}
    properties:
      - {name: id, logicalType: string, required: true}
      - {name: at, logicalType: timestamp, required: true}
"""
FIGURES = "rows_read, rows_accepted, rows_duplicate, rows_rejected"
MODIFIED = 1_700_000_000


class Shop:
    """A job in a folder of its own, its input in `in/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "in").mkdir()
        (folder / "sale.odcs.yaml").write_text(CONTRACT)
        places = (
            "source: in",
            "files: out/files",
            "dead_letters: out/dead",
            "warehouse: duckdb:///out/w.duckdb",
        )
        (folder / "job.yaml").write_text("\n".join(("name: shop", "contracts: sale.odcs.yaml", *places)))

    def job(self) -> Job:
        return load_job("job.yaml")

    def write(self, name: str, data: bytes, modified: float = MODIFIED) -> None:
        path = self.folder / "in" / name
        path.write_bytes(data)
        os.utime(path, (modified, modified))

    def run(self) -> Report:
        report = run_job(self.job())
        assert isinstance(report, Report)
        assert report.reconciled
        return report

    def rows(self, columns: str, run_id: str, warehouse: str = "w") -> dict[str, list[Any]]:
        """Return file name -> columns of the rows of one run."""
        with duckdb.connect(f"out/{warehouse}.duckdb", read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            found = connection.execute(
                f"select uri, {columns} from source_files where run_id = ? order by uri", [run_id]
            ).fetchall()
        return {Path(uri).name: values for uri, *values in found}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.chdir(tmp_path)
    return Shop(tmp_path)


def csv(*identities: int) -> bytes:
    return b"id,at\n" + b"".join(b"%d,2026-01-0%dT00:00:00Z\n" % (number, number) for number in identities)


def test_every_file_has_a_row_that_balances_also_without_records(shop: Shop) -> None:
    shop.write("a.csv", csv(1, 2, 2) + b"ragged\n")
    shop.write("b.csv.gz", gzip.compress(csv(2, 3)))
    shop.write("empty.csv", b"")
    shop.write("empty.json", b"")
    shop.write("header.csv", b"id,at\r\n")
    shop.write("many.json", b'[{"id": "4", "at": "2026-01-04T00:00:00Z"}, {"id": 5}]')
    shop.write(
        "one.ndjson", b'{"id": "6", "at": "2026-01-06T00:00:00Z"}{"id": "7", "at": "2026-01-07T00:00:00Z"}\n'
    )
    report = shop.run()
    rows = shop.rows(FIGURES, report.run_id)
    assert rows == {
        "a.csv": [4, 2, 1, 1],
        "b.csv.gz": [2, 1, 1, 0],
        "empty.csv": [0, 0, 0, 0],
        "empty.json": [0, 0, 0, 0],
        "header.csv": [0, 0, 0, 0],
        "many.json": [2, 1, 0, 1],
        "one.ndjson": [2, 2, 0, 0],
    }
    sums = [sum(column) for column in zip(*rows.values(), strict=True)]
    assert sums == [report.read, report.accepted, report.duplicates, report.rejected]
    assert (report.sources, report.changed_sources, report.warnings) == (7, 0, [])
    columns = "first_event_time::varchar, last_event_time::varchar, size_bytes, epoch(modified_at)"
    times = shop.rows(columns, report.run_id)
    size = (shop.folder / "in" / "a.csv").stat().st_size
    assert times["a.csv"] == ["2026-01-01 00:00:00+00", "2026-01-02 00:00:00+00", size, MODIFIED]
    assert times["empty.csv"] == [None, None, 0, MODIFIED]


def test_file_that_changed_is_reported_and_counted_once(shop: Shop) -> None:
    shop.write("a.csv", csv(1, 2))
    shop.write("b.csv", csv(3))
    assert shop.run().warnings == []
    again = shop.run()
    assert (again.duplicates, again.changed_sources, again.warnings) == (3, 0, [])
    shop.write("a.csv", csv(1, 2, 4), MODIFIED + 60)
    changed = shop.run()
    assert (changed.sources, changed.changed_sources) == (2, 1)
    assert changed.warnings == [
        f"files that have changed since they were read: 1 ({shop.folder}/in/a.csv); of their records 1 were added, 2 "
        "were there already and 0 were rejected; what was added before stays: sluice sources job.yaml lists them"
    ]
    assert shop.rows("changed", changed.run_id) == {"a.csv": [True], "b.csv": [False]}
    assert shop.run().changed_sources == 0


def test_manifest_is_loaded_again_into_a_new_warehouse_and_verified(shop: Shop) -> None:
    shop.write("a.csv", csv(1, 2))
    first, second = shop.run(), shop.run()
    new = replace(shop.job(), warehouse=Url("duckdb:///out/new.duckdb"))
    report = load_log(new)
    assert isinstance(report, Report)
    assert (report.reconciled, report.backfilled, report.sources) == (True, 2, 0)
    for run, figures in ((first, [2, 2, 0, 0]), (second, [2, 0, 2, 0])):
        assert shop.rows(FIGURES, run.run_id, "new") == {"a.csv": figures}
    verification = Verification(new, lambda _: None)
    assert list(verification.problems()) == []
    totals = verification.totals["source_file"]
    assert (totals.segments, totals.events, totals.loaded, totals.rows) == (2, 2, 2, 2)


def test_manifest_stays_in_its_log_if_the_job_does_not_load_it(shop: Shop) -> None:
    shop.write("a.csv", csv(1))
    job = replace(shop.job(), load=("events", "counts", "dead_letters"))
    assert run_job(job).reconciled  # type: ignore[union-attr]  # a batch job is not submitted
    assert len(list(Path("out/files/_sources").rglob("source_file_*.ndjson"))) == 1
    with duckdb.connect("out/w.duckdb", read_only=True) as connection:
        tables = {name for name, *_ in connection.execute("show tables").fetchall()}
    own = {"dead_letters", "redeliveries", "dead_letter_status", "event_counts", "_segments"}
    assert tables == {"sales", *own}


STARTED = 1_700_000_000.0
QUIET, BUSY = Source("kafka://b/t", 0), Source("kafka://b/t", 1)


def manifest_of_a_run(shop: Shop) -> RunManifest:
    folders = SharedFolders(str(shop.folder / "totals"))
    context = open_run(shop.job(), RunHandle(), folders, STARTED, lambda: STARTED, live=True)
    return RunManifest(context, shop.job(), RunOfJob("shop", "r1", STARTED))


def empty_report() -> Report:
    return make_report(StepCounts({}), job="shop", run_id="r1", started=STARTED, seconds=1.0)


def parts_of(shop: Shop) -> list[Any]:
    figures = f"partition_number, epoch(read_at) - {STARTED}, offset_from, offset_to, {FIGURES}"
    with duckdb.connect("out/w.duckdb", read_only=True) as connection:
        return connection.execute(f"select {figures} from source_files order by 1, 2").fetchall()


def test_streaming_run_writes_what_became_of_records_in_parts(shop: Shop) -> None:
    manifest = manifest_of_a_run(shop)
    quiet = SourceTally(start=5, end=5)
    manifest.write_part({QUIET: quiet, BUSY: SourceTally(10, 4, 1, 1, start=100, end=110)}, STARTED + 60)
    same = SourceTally(12, 4, 1, 1, start=100, end=112)  # of the two new ones, nothing is known yet
    manifest.write_part({QUIET: quiet, BUSY: same}, STARTED + 120)
    assert parts_of(shop) == [(1, 0, 100, 110, 6, 4, 1, 1)]
    report = empty_report()
    manifest.write_rest({QUIET: quiet, BUSY: SourceTally(20, 15, 3, 2, start=100, end=120)}, report)
    assert parts_of(shop) == [
        (0, 120, 5, 5, 0, 0, 0, 0),
        (1, 0, 100, 110, 6, 4, 1, 1),
        (1, 120, 110, 120, 14, 11, 2, 1),
    ]
    assert (report.changed_sources, report.warnings) == (0, [])


def test_part_that_could_not_be_written_is_written_once_with_the_next(shop: Shop) -> None:
    manifest = manifest_of_a_run(shop)
    folder = shop.folder / "out/files/_sources"
    folder.rename(shop.folder / "aside")
    folder.write_text("no folder")
    with pytest.raises(StorageError):
        manifest.write_part({BUSY: SourceTally(2, 2, start=0, end=2)}, STARTED + 60)
    folder.unlink()
    (shop.folder / "aside").rename(folder)
    manifest.write_part({BUSY: SourceTally(5, 4, 1, start=0, end=5)}, STARTED + 120)
    manifest.write_rest({BUSY: SourceTally(5, 4, 1, start=0, end=5)}, empty_report())
    assert parts_of(shop) == [(1, 0, 0, 2, 2, 2, 0, 0), (1, 60, 2, 5, 3, 2, 1, 0)]


def test_parts_are_written_until_the_run_ends(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_manifest, "PART_SECONDS", 0.01)
    asked = threading.Semaphore(0)

    def sources() -> dict[Source, SourceTally]:
        asked.release()
        return {BUSY: SourceTally(2, 2, start=0, end=2)}

    with written_in_parts(manifest_of_a_run(shop), sources, lambda: STARTED + 60):
        assert asked.acquire(timeout=30)
        assert asked.acquire(timeout=30)
    assert parts_of(shop) == [(1, 0, 0, 2, 2, 2, 0, 0)]
    assert "manifest" not in {thread.name for thread in threading.enumerate()}
