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
from sluice.clock import system_clock
from sluice.elements import StepCounts
from sluice.errors import StorageError
from sluice.eventlog import source_manifest
from sluice.eventlog.log import EventLog
from sluice.graph.submission import Submission, write_submission
from sluice.graph.totals import read_folders, write_totals
from sluice.provenance import Source
from sluice.runtime import submitted_manifest
from sluice.runtime.manifest_parts import ManifestParts, Part
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


def submit(run_id: str, started: float = STARTED, **settings: Any) -> None:
    settings = {"keeps_manifest": True, **settings}
    write_submission(run_id, Submission("shop", run_id, started, **settings))


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
    for run_id, started, size in (("r1", STARTED, 9), ("r2", STARTED + 60, 10)):
        submit(run_id, started)
        count(run_id, 0, {FILE: SourceTally(1, 1, size=size, modified=1.0)})
    assert collect("r1")["changed_sources"] == 0
    for _ in range(2):
        report = collect("r2")
        assert report["changed_sources"] == 1
        assert [text for text in report["warnings"] if text.startswith("files that have changed")] == [
            "files that have changed since they were read: 1 (gs://b/a.csv); of their records 1 were added, 0 were "
            "there already and 0 were rejected; what was added before stays: sluice sources job.yaml lists them"
        ]
    assert collect("r1")["changed_sources"] == 0
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


@pytest.mark.parametrize(
    ("earlier", "now", "owner", "named"),
    [(["r2"], ["r1", "r2"], "r2", "r1"), (["r1", "r2"], ["r2"], "r1", "r2")],
)
def test_folder_whose_records_another_run_has_is_one_line(
    shop: Path, capsys: pytest.CaptureFixture[str], earlier: list[str], now: list[str], owner: str, named: str
) -> None:
    submit("r1", live=True)
    submit("r2", started=STARTED + 60, live=True)
    count("r1", 0, {BUSY: SourceTally(2, 2, start=0, end=2)})
    count("r2", 1, {BUSY: SourceTally(3, 3, start=2, end=5)})
    collect(*earlier)
    before = rows()
    assert main(["report", *now, "--manifest", "job.yaml"]) == 2
    assert capsys.readouterr().err == (
        f"sluice: r2: expected the folder of the run {owner} first, since the manifest has its records as those of "
        f"that run, got the one of {named} first; name the same folders as before, and further ones after them\n"
    )
    assert rows() == before


def test_update_before_its_job_is_one_line(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    submit("r1", live=True)
    submit("r2", started=STARTED + 60, live=True)
    for run_id in ("r1", "r2"):
        count(run_id, 0, {BUSY: SourceTally(2, 2, start=0, end=2)})
    assert main(["report", "r2", "r1", "--manifest", "job.yaml"]) == 2
    expected = "r1: expected the folder of an update of r2, got one that began before it"
    assert capsys.readouterr().err == f"sluice: {expected}\n"
    collect("r1", "r2")  # the mistake has left nothing behind


def test_only_the_manifest_and_its_table_are_opened(shop: Path) -> None:
    """What else a job was submitted with, such as shards and a bucket for what is masked, need not be known."""
    protect = "customProperties: [{property: protect, value: hash}]"
    masked = f"      - {{name: mail, logicalType: string, classification: restricted, {protect}}}\n"
    Path("sale.odcs.yaml").write_text(CONTRACT + masked)
    Path("out/files/sale").mkdir(parents=True)
    settings = '{"format": 1, "event_type": "sale", "identity": "content", "shards": 4}'
    Path("out/files/sale/_log.json").write_text(settings)
    submit("r1")
    count("r1", 0, {FILE: SourceTally(1, 1)})
    collect("r1")
    assert [row[3] for row in rows()] == [1]
    assert sorted(path.name for path in Path("out/files").iterdir()) == ["_sources", "sale"]
    assert not Path("out/dead").exists()
    with duckdb.connect("out/w.duckdb", read_only=True) as connection:
        views = connection.execute("select view_name from duckdb_views() where not internal").fetchall()
    assert ("source_files",) in views
    assert ("sales",) not in views


def test_keys_that_the_job_file_lacks_are_flags(shop: Path) -> None:
    keys = dict(line.split(": ") for line in JOB.splitlines())
    Path("job.yaml").write_text("windows: {counts: 10s}\n")
    submit("r1")
    count("r1", 0, {FILE: SourceTally(1, 1)})
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in keys.items()]
    assert main(["report", "r1", "--manifest", "job.yaml", *flags]) == 0
    assert [row[3] for row in rows()] == [1]


@pytest.mark.parametrize("live", [False, True])
def test_part_that_was_interrupted_is_completed_by_the_next_call(
    shop: Path, monkeypatch: pytest.MonkeyPatch, live: bool
) -> None:
    submit("r1", live=live)
    monkeypatch.setattr(source_manifest, "_ENTRIES_A_SEGMENT", 1)
    count("r1", 0, {FILE: SourceTally(2, 2), BUSY: SourceTally(3, 3, start=0, end=3)})
    append = EventLog.append
    appended: list[Any] = []

    def append_once(self: EventLog, *arguments: Any) -> Any:
        if appended:
            message = "the disk is full"
            raise StorageError(message)
        appended.append(append(self, *arguments))
        return appended[0]

    with monkeypatch.context() as patch:
        patch.setattr(EventLog, "append", append_once)
        Path("job.yaml").write_text(f"{JOB}retry_for: 0s\n")
        assert main(["report", "r1", "--manifest", "job.yaml"]) == StorageError.exit_code
    assert (len(appended), Path("out/w.duckdb").exists()) == (1, True)
    count("r1", 1, {BUSY: SourceTally(4, 4, start=3, end=7)} if live else {})
    for _ in range(2):
        collect("r1")
        figures = [(row[0], row[3]) for row in rows()]
        assert figures == [("gs://b/a.csv", 2), ("kafka://b/t", 3), *([("kafka://b/t", 4)] if live else [])]


def test_part_that_another_call_completes_meanwhile_is_written_once(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other call comes between two segments of a part."""
    submit("r1", live=True)
    monkeypatch.setattr(source_manifest, "_ENTRIES_A_SEGMENT", 1)
    count("r1", 0, {QUIET: SourceTally(2, 2, start=0, end=2), BUSY: SourceTally(3, 3, start=0, end=3)})
    append = EventLog.append

    def append_then_another(self: EventLog, *arguments: Any) -> Any:
        monkeypatch.setattr(EventLog, "append", append)
        result = append(self, *arguments)
        count("r1", 1, {QUIET: SourceTally(1, 1, start=2, end=3)})
        collect("r1")
        return result

    monkeypatch.setattr(EventLog, "append", append_then_another)
    collect("r1")
    assert [(row[2], row[3]) for row in rows()] == [(2, 2), (3, 3), (3, 1)]


def test_call_that_is_slower_than_two_others_writes_nothing_again(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read totals with a source that the part of the others lacks; their next part has it."""
    submit("r1", live=True)
    count("r1", 0, {QUIET: SourceTally(2, 2, start=0, end=2)})
    create = ManifestParts.create

    def create_after_two_others(self: ManifestParts, number: int, part: Part) -> None:
        monkeypatch.setattr(ManifestParts, "create", create)
        known = part.sources
        create(self, number, Part.of({QUIET: known[QUIET]}, part.ended))
        collect("r1")
        create(self, number, part)

    count("r1", 1, {BUSY: SourceTally(3, 3, start=0, end=3)})
    monkeypatch.setattr(ManifestParts, "create", create_after_two_others)
    for _ in range(2):
        collect("r1")
        assert [(row[2], row[3]) for row in rows()] == [(2, 2), (3, 3)]


def test_clock_behind_that_of_the_launcher_hides_no_part(shop: Path) -> None:
    submit("r1", started=system_clock() + 3600, live=True)
    for pane in range(3):
        count("r1", pane, {BUSY: SourceTally(1, 1, start=pane, end=pane + 1)})
        collect("r1")
    assert sorted((row[1], row[2], row[3]) for row in rows()) == [(0, 1, 1), (1, 2, 1), (2, 3, 1)]


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
            "r1: expected a run that reads its source, got one that redelivers or loads, or of an earlier version, "
            "which did not say so",
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


def test_run_of_which_nobody_knows_whether_it_reads_its_source_is_one_line(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("r1").mkdir()
    Path("r1/run.json").write_text(f'{{"job": "shop", "run_id": "r1", "started": {STARTED}}}')
    count("r1", 0, {FILE: SourceTally(1, 1)})
    assert main(["report", "r1", "--manifest", "job.yaml"]) == 2
    expected = "got one that redelivers or loads, or of an earlier version, which did not say so\n"
    assert capsys.readouterr().err.endswith(expected)
    assert not Path("out").exists()


def test_part_that_was_changed_is_one_line(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    submit("r1")
    count("r1", 0, {FILE: SourceTally(1, 1)})
    collect("r1")
    Path("r1/manifest/000000000.json").write_text("{}")
    assert main(["report", "r1", "--manifest", "job.yaml"]) == StorageError.exit_code
    assert capsys.readouterr().err == (
        "sluice: r1/manifest/000000000.json: expected a part of a manifest, got Object missing required field `ended`; "
        "the file was changed\n"
    )


def test_file_has_no_manifest(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "report.json", "--manifest", "job.yaml"]) == 2
    expected = "--manifest: expected the totals folder of a submitted job, got the file report.json"
    assert capsys.readouterr().err == f"sluice: {expected}\n"
