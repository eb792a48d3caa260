"""The manifest of a job that was submitted to a cluster, from the totals that the cluster has written."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sluice.cli.main import main
from sluice.elements import StepCounts
from sluice.graph.submission import Submission, write_submission
from sluice.graph.totals import read_folders, write_totals
from sluice.provenance import Source
from sluice.runtime import submitted_manifest
from sluice.source_tallies import SourceTally

from tests.runtime.test_run_manifest import CONTRACT

JOB = """\
name: shop
contracts: sale.odcs.yaml
source: ${NOT_SET_HERE}
files: out/files
dead_letters: out/dead
warehouse: duckdb:///out/w.duckdb
"""
STARTED = 1_700_000_000.0
EMPTY, FILE = Source("gs://b/empty.csv"), Source("gs://b/a.csv")
QUIET, BUSY = Source("kafka://b/t", 0), Source("kafka://b/t", 1)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("sale.odcs.yaml").write_text(CONTRACT)
    Path("job.yaml").write_text(JOB)
    return tmp_path


def submit(run_id: str, **settings: Any) -> None:
    write_submission(run_id, Submission("shop", run_id, STARTED, **settings))


def count(run_id: str, pane: int, sources: dict[Source, SourceTally]) -> None:
    """Write what a cluster writes: a part of the totals, with what it has of each source."""
    read, accepted, duplicates, rejected = (
        sum(getattr(tally, name) for tally in sources.values())
        for name in ("read", "accepted", "duplicates", "rejected")
    )
    counts = {("read", ""): read, ("routed", "sale"): read, ("rejected", "sale"): rejected}
    counts |= {
        ("accepted", "sale"): accepted,
        ("loaded", "sale"): accepted,
        ("duplicates", "sale"): duplicates,
    }
    counts["accepted", "dead_letter"] = rejected
    write_totals(StepCounts(counts, sources=sources), run_id, pane)


def collect(*totals: str, code: int = 0) -> dict[str, Any]:
    """Ask for the report and the manifest; return the report."""
    out = io.StringIO()
    with redirect_stdout(out):
        assert main(["report", *totals, "--manifest", "job.yaml", "--json"]) == code
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def rows() -> list[Any]:
    columns = "offset_from, offset_to, rows_read, rows_accepted, rows_duplicate, rows_rejected, changed"
    with duckdb.connect("out/w.duckdb", read_only=True) as connection:
        return connection.execute(
            f"select uri, {columns} from source_files order by read_at, uri, partition_number"
        ).fetchall()


def test_batch_job_gets_a_row_for_each_source_once(shop: Path) -> None:
    submit("r1")
    count(
        "r1",
        0,
        {EMPTY: SourceTally(size=0, modified=1.0), FILE: SourceTally(5, 3, 1, 1, size=9, modified=1.0)},
    )
    expected = [
        ("gs://b/a.csv", None, None, 5, 3, 1, 1, False),
        ("gs://b/empty.csv", None, None, 0, 0, 0, 0, False),
    ]
    for _ in range(2):
        assert (collect("r1")["sources"], rows()) == (2, expected)


def test_file_that_has_changed_since_an_earlier_run_is_reported(shop: Path) -> None:
    for run_id, size in (("r1", 9), ("r2", 10)):
        submit(run_id)
        count(run_id, 0, {FILE: SourceTally(1, 1, size=size, modified=1.0)})
    assert collect("r1")["changed_sources"] == 0
    report = collect("r2")
    assert report["changed_sources"] == 1
    assert report["warnings"][-1].startswith(
        "files that have changed since they were read: 1 (gs://b/a.csv); "
    )
    assert [row[-1] for row in rows()] == [False, True]


def test_streaming_job_gets_what_is_new_each_time(shop: Path) -> None:
    submit("r1", live=True)
    quiet = SourceTally(2, 2, start=5, end=7)
    count("r1", 0, {QUIET: quiet, BUSY: SourceTally(10, 4, 0, 1, start=100, end=110)})
    first = [("kafka://b/t", 5, 7, 2, 2, 0, 0, False), ("kafka://b/t", 100, 110, 5, 4, 0, 1, False)]
    assert not collect("r1", code=1)["reconciled"]  # of five records nothing is known yet
    assert rows() == first
    count("r1", 1, {BUSY: SourceTally(4, 8, 1, 0, start=110, end=114)})
    second = ("kafka://b/t", 110, 114, 9, 8, 1, 0, False)
    for _ in range(2):
        collect("r1")
        assert rows() == [*first, second]


def test_folders_of_an_updated_job_are_one_run(shop: Path) -> None:
    submit("r1", live=True)
    submit("r2", live=True)
    count("r1", 0, {BUSY: SourceTally(2, 2, start=0, end=2)})
    collect("r1")
    count("r2", 1, {BUSY: SourceTally(3, 3, start=2, end=5)})
    collect("r1", "r2")
    assert rows() == [
        ("kafka://b/t", 0, 2, 2, 2, 0, 0, False),
        ("kafka://b/t", 2, 5, 3, 3, 0, 0, False),
    ]


def test_entries_that_somebody_writes_meanwhile_are_written_once(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit("r1", live=True)
    count("r1", 0, {BUSY: SourceTally(2, 2, start=0, end=2)})
    collect("r1")
    count("r1", 1, {BUSY: SourceTally(3, 3, start=2, end=5)})

    def read_after_another(*urls: str) -> Any:
        monkeypatch.undo()
        monkeypatch.chdir(shop)
        collect("r1")
        count("r1", 2, {BUSY: SourceTally(4, 4, start=5, end=9)})
        return read_folders(*urls)

    monkeypatch.setattr(submitted_manifest, "read_folders", read_after_another)
    collect("r1")
    assert [row[3] for row in rows()] == [2, 3]
    collect("r1")
    assert [row[3] for row in rows()] == [2, 3, 4]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"places": {"files": "gs://b/files"}},
            "job.yaml: expected the job of the run, shop with the event log gs://b/files, got shop with out/files",
        ),
        (
            {"keeps_manifest": False},
            "r1: expected a run that reads its source, got one that redelivers or loads",
        ),
    ],
)
def test_totals_of_another_job_are_one_line(
    shop: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, Any], line: str
) -> None:
    submit("r1", **settings)
    count("r1", 0, {FILE: SourceTally(1, 1)})
    assert main(["report", "r1", "--manifest", "job.yaml"]) == 2
    assert capsys.readouterr().err == f"sluice: {line}\n"


def test_file_has_no_manifest(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "report.json", "--manifest", "job.yaml"]) == 2
    expected = "--manifest: expected the totals folder of a submitted job, got the file report.json"
    assert capsys.readouterr().err == f"sluice: {expected}\n"
