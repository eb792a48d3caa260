"""`sluice verify`: every way in which a log, its files and its warehouse can disagree, and that it stays linear."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import count_events
from sluice.config.job import Job, Windows
from sluice.config.urls import Url
from sluice.contracts import Contract, Property
from sluice.dead_letters.envelope import dead_letter_contract
from sluice.dead_letters.log import DeadLetterLog
from sluice.elements import Segment
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.storage import open_store
from sluice.tooling.verify import TypeTotals, Verification
from sluice.validation.deduplication_keys import shard_of
from sluice.warehouses import SegmentLoad, open_warehouse

from tests.growth import LINEAR, growth_of_cpu_time

MINUTE = 1_739_020_140  # 2025-02-08T13:09:00Z
NOW = datetime(2025, 2, 8, 14, 0, tzinfo=UTC)
CLICK = Contract(
    event_type="click",
    table="clicks",
    id="click",
    version="1.0.0",
    domain="test",
    description="",
    properties=(
        Property("id", "integer", required=True, unique=True),
        Property("time", "timestamp", required=True),
    ),
    event_time="time",
    identity="properties",
)
SHARDS = 2


def event(number: int, minute: int = MINUTE) -> bytes:
    return b'{"id":%d,"time":"%b"}' % (number, datetime.fromtimestamp(minute, UTC).isoformat().encode())


class LoadedLog:
    """A job whose log has three minutes of clicks in two shards, all loaded into SQLite.

    The logs are below `root`, by default in `folder`, where the database is.
    """

    def __init__(self, folder: Path, minutes: int = 3, root: str | None = None) -> None:
        self.folder = folder
        root = str(folder) if root is None else root
        self.job = Job(
            name="test",
            contracts={"click": CLICK},
            route_by=None,
            source=Url("none"),
            files=Url(f"{root}/files"),
            warehouse=Url(f"sqlite:///{folder}/w.db"),
            dead_letters=Url(f"{root}/dead"),
            windows=Windows(shards=SHARDS),
        )
        self.log = EventLog(open_store(self.job.files), {"click": TypeLog.of(CLICK)}, SHARDS)
        self.log.open()
        DeadLetterLog.at(self.job.dead_letters).open()
        self.warehouse = open_warehouse(self.job.warehouse)
        self.warehouse.prepare([CLICK, dead_letter_contract()])
        key_of = TypeLog.of(CLICK).compile_key()
        self.segments: list[Segment] = []
        for minute in range(MINUTE, MINUTE + 60 * minutes, 60):
            for first in (0, 20):
                for shard in range(SHARDS):
                    lines = [event(number, minute) for number in range(first, first + 20)]
                    own = [line for line in lines if shard_of(key_of(line), SHARDS) == shard]
                    segment = self.log.append("click", minute, shard, own).segment
                    assert segment is not None
                    self.load(segment)
                    self.segments.append(segment)

    def load(self, segment: Segment) -> None:
        rows, row_errors = to_table(
            CLICK, segment, [line[6:9].hex() + segment.id for line in segment.lines], NOW
        )
        rows = rows.set_column(
            rows.column_names.index("_event_id"),
            rows.schema.field("_event_id"),
            [[f"{segment.id}{number}" for number in range(rows.num_rows)]],
        )
        windows = count_events(CLICK, rows, 10, segment.minute)
        assert self.warehouse.load(SegmentLoad(CLICK, segment, rows, row_errors, windows, NOW)) == []

    def execute(self, sql: str) -> None:
        with closing(sqlite3.connect(self.folder / "w.db", isolation_level=None)) as connection:
            connection.execute(sql)

    def verify(self, job: Job | None = None) -> tuple[list[str], dict[str, TypeTotals]]:
        shown: list[int] = []
        verification = Verification(job or self.job, shown.append)
        problems = list(verification.problems())
        assert shown == sorted(shown)
        return problems, verification.totals


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedLog:
    return LoadedLog(tmp_path)


def test_log_and_warehouse_that_agree_have_no_problem(loaded: LoadedLog) -> None:
    assert loaded.verify() == (
        [],
        {"click": TypeTotals(12, 120, 12, 120, 0), "dead_letter": TypeTotals(0, 0, 0, 0, 0)},
    )


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            lambda data: data[: data.rindex(b"\n", 0, -1) + 1],
            ["expected segment {id}, as the warehouse has loaded it"],
        ),
        (
            lambda data: data.replace(b"13:09:00", b"13:09:01"),
            ["expected segment {id}, as the warehouse has loaded it"],
        ),
        (
            lambda data: data.replace(b"13:09:00", b"13:10:00"),
            [
                "line 1: expected an event from 2025-02-08T13:09:00Z to",
                "expected segment {id}, as the warehouse",
            ],
        ),
        (
            lambda data: data + data[: data.index(b"\n") + 1],
            ["expected each event once in its folder", "expected segment {id}, as the warehouse"],
        ),
        (
            lambda data: data[:-1],
            ["expected lines that each end with a line feed", "expected the file of segment {id}"],
        ),
        (
            lambda data: data[:-7] + b"\n",
            ["expected an event of click, got", "expected segment {id}, as the warehouse"],
        ),
        (
            lambda _: b"",
            ["expected lines that each end with a line feed", "expected the file of segment {id}"],
        ),
        (
            lambda _: b"\xff\x00\n",
            ["expected an event of click, got", "expected segment {id}, as the warehouse"],
        ),
    ],
    ids=["cut", "edited", "other time", "repeated", "no line feed", "cut in a line", "empty", "no JSON"],
)
def test_changed_file_is_named(loaded: LoadedLog, change: Callable[[bytes], bytes], parts: list[str]) -> None:
    segment = loaded.segments[0]
    path = Path(segment.path)
    path.write_bytes(change(path.read_bytes()))
    problems, totals = loaded.verify()
    assert len(problems) == len(parts) == totals["click"].problems
    for problem, part in zip(problems, parts, strict=True):
        assert problem.startswith(f"{segment.path}: ")
        assert part.format(id=segment.id) in problem
        assert "\n" not in problem


def test_file_that_is_gone_is_named(loaded: LoadedLog) -> None:
    first, last = loaded.segments[0], loaded.segments[2]
    assert last.path.endswith("0003.json")
    Path(last.path).unlink()
    assert loaded.verify()[0] == [
        f"{last.path}: expected the file of segment {last.id}, got none; restore it"
    ]
    Path(last.path).write_bytes(b"\n".join([*last.lines, b""]))
    Path(first.path).unlink()
    assert loaded.verify()[0] == [
        f"{first.path}: expected a segment, since there is a later one, got none; restore it",
        f"{first.path}: expected the file of segment {first.id}, got none; restore it",
    ]


def test_renamed_and_copied_files_are_named(loaded: LoadedLog) -> None:
    segment = loaded.segments[2]
    path = Path(segment.path)
    other = path.with_name(path.name.replace("0003", "0005"))
    path.rename(other)
    assert loaded.verify()[0] == [
        f"{path}: expected a segment, since there is a later one, got none; restore it",
        f"{other}: expected this segment at {path}, where it was loaded; move it back",
    ]
    shutil.copy(other, path)
    (problem,) = loaded.verify()[0]
    assert problem.startswith(
        f"{other}: line 1: expected each event once in its folder, got one that is in {path}"
    )
    other.rename(path.with_name(path.name.replace("0003", "0004")))
    problems = loaded.verify()[0]
    assert [problem for problem in problems if "expected an event of shard 1, got one of 0" in problem]
    path.with_name(f"{path.name}.bak").write_bytes(b"")
    assert [
        problem
        for problem in loaded.verify()[0]
        if f"{path}.bak: expected segments of click alone" in problem
    ]


def test_segment_that_is_not_loaded_is_named(loaded: LoadedLog) -> None:
    loaded.log.append("click", MINUTE, 0, [event(number) for number in range(40, 60)][:1])
    (problem,) = [problem for problem in loaded.verify()[0] if "in the warehouse" in problem]
    assert "expected segment " in problem
    assert problem.endswith("in the warehouse, got none; run sluice load")


def test_file_that_was_changed_and_loaded_again_is_named(loaded: LoadedLog) -> None:
    """What happened before changed segments were refused: the rows are there twice."""
    segment = loaded.segments[0]
    path = Path(segment.path)
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(b"\n") + 1])
    changed = loaded.log.read(segment.path)
    loaded.load(changed)
    assert loaded.verify()[0] == [
        f"{path}: expected segment {changed.id} alone, got segment {segment.id} of this file as well; "
        "the file was changed, and both were loaded: load the log into a new warehouse"
    ]


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        (
            "DELETE FROM clicks WHERE _event_id = '{id}0'",
            "{path}: expected {lines} rows in clicks, got {fewer}; rows were deleted or added: load the log into a "
            "new warehouse",
        ),
        (
            "UPDATE clicks SET _segment_id = 'x' WHERE _event_id = '{id}0'",
            "{path}: expected {lines} rows in clicks, got {fewer}; rows were deleted or added: load the log into a "
            "new warehouse",
        ),
        (
            "UPDATE _segments SET events = events - 1 WHERE segment_id = '{id}'",
            "{path}: expected {lines} events in the warehouse, got {fewer} and 0 row errors; load the log into a "
            "new warehouse",
        ),
        (
            "DELETE FROM _segments WHERE segment_id = '{id}'",
            "{path}: expected segment {id} in the warehouse, got none; run sluice load",
        ),
        ("DROP TABLE clicks", "clicks: expected a table, got none; run sluice load"),
    ],
)
def test_warehouse_that_was_changed_is_named(loaded: LoadedLog, sql: str, problem: str) -> None:
    segment = loaded.segments[0]
    loaded.execute(sql.format(id=segment.id))
    lines = len(segment.lines)
    values = {"path": segment.path, "id": segment.id, "lines": lines, "fewer": lines - 1}
    assert problem.format(**values) in loaded.verify()[0]


def test_rows_of_unknown_segments_are_named(loaded: LoadedLog) -> None:
    loaded.execute(f"DELETE FROM _segments WHERE segment_id = '{loaded.segments[0].id}'")
    assert (
        f"clicks: expected rows of loaded segments alone, got {len(loaded.segments[0].lines)} of segment "
        f"{loaded.segments[0].id}; run sluice load, or delete them"
    ) in loaded.verify()[0]


def test_warehouse_without_tables_is_one_problem_a_table(loaded: LoadedLog) -> None:
    job = replace(loaded.job, warehouse=Url(f"sqlite:///{loaded.folder}/new.db"))
    assert loaded.verify(job)[0] == [
        "clicks: expected a table, got none; run sluice load",
        "dead_letters: expected a table, got none; run sluice load",
    ]


def test_settings_of_the_log_are_verified(loaded: LoadedLog) -> None:
    path = loaded.folder / "files" / "click" / "_log.json"
    text = path.read_bytes()
    path.write_bytes(text.replace(b'"shards": 2', b'"shards": 1'))
    assert loaded.verify()[0] == [
        f"{path}: shards: expected 1, as this log was created with, got 2 from the job; change the job, or use "
        "another folder"
    ]
    path.unlink()
    assert loaded.verify()[0] == [f"{path}: expected the settings of the log, got none; restore it"]
    shutil.rmtree(loaded.folder / "files")
    problems, totals = loaded.verify()
    assert problems[0] == f"{path}: expected the log of click, got none; run the job, or restore it"
    assert len(problems) == totals["click"].problems == 13


def test_log_that_was_moved_is_the_same(loaded: LoadedLog) -> None:
    moved = loaded.folder / "moved"
    (loaded.folder / "files").rename(moved)
    job = replace(loaded.job, files=Url(str(moved)))
    verification = Verification(job, lambda _: None)
    assert (list(verification.problems()), verification.other_logs) == ([], 12)


def test_time_to_verify_grows_linearly_with_segments(tmp_path: Path) -> None:
    made = {minutes: LoadedLog(tmp_path / str(minutes), minutes) for minutes in (100, 200)}

    def verify(minutes: int) -> None:
        assert made[minutes].verify()[0] == []

    assert growth_of_cpu_time(verify, 100) < LINEAR
