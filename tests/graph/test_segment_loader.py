"""A segment becomes rows, counts and row errors without Beam, and is loaded at most once."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sluice.config.job import Job
from sluice.config.urls import Url
from sluice.dead_letters.envelope import make_dead_letter
from sluice.dead_letters.reading import OpenDeadLetter
from sluice.elements import Segment, StepCounts, StoredSegment
from sluice.errors import StorageError, WarehouseError
from sluice.graph.redelivery import LoadRejectedRows
from sluice.graph.segment_loader import LoadedSegment, SegmentConverter, SegmentLoader
from sluice.retry import RetryPolicy
from sluice.warehouses.duckdb.warehouse import DuckDBWarehouse
from sluice.warehouses.segment_records import LoadedSegmentGuard

from tests.graph.graph_fixture import CONTRACTS, MINUTE, GraphRun, event

NOW = datetime(2025, 2, 8, 14, 0, tzinfo=UTC)
SEGMENT = Segment(
    "0" * 32, "click", "files/click/1.json", MINUTE, [event(n, MINUTE + 6 * n) for n in range(3)]
)


@pytest.fixture
def graph_run(tmp_path: Path) -> GraphRun:
    made = GraphRun(tmp_path, live=False)
    made.warehouse.prepare(list(CONTRACTS.values()))
    assert made.log.store.create(SEGMENT.path, b"".join(line + b"\n" for line in SEGMENT.lines))
    return made


def make_loader(graph_run: GraphRun, *, retries_rejected: bool = False) -> SegmentLoader:
    loader = SegmentLoader(
        graph_run.warehouse,
        CONTRACTS,
        graph_run.log,
        graph_run.job,
        NOW.timestamp,
        RetryPolicy(0),
        retries_rejected=retries_rejected,
    )
    loader.compile()
    return loader


@pytest.mark.parametrize(
    ("load", "rows", "windows"),
    [
        (("events", "counts"), 3, [2, 1]),
        (("events",), 3, []),
        (("counts",), 0, [2, 1]),
    ],
)
def test_converter_makes_what_the_job_loads(
    graph_run: GraphRun, load: tuple[str, ...], rows: int, windows: list[int]
) -> None:
    job: Job = replace(graph_run.job, load=load)
    converted, counted, unknown = SegmentConverter(job, CONTRACTS).convert(SEGMENT, NOW, NOW)
    assert (converted.rows.num_rows, converted.row_errors) == (rows, [])
    assert [window.events for window in converted.window_counts] == windows
    assert [window.events for window in counted] == [2, 1]
    assert unknown == {}


def test_rejected_row_has_its_line_place_and_event_time(graph_run: GraphRun) -> None:
    converter = SegmentConverter(graph_run.job, CONTRACTS)
    (rejected,) = converter.rejected(SEGMENT, [(1, "too wide")])
    assert (rejected.record, rejected.step) == (SEGMENT.lines[1], "load")
    assert (rejected.origin.uri, rejected.origin.line) == (SEGMENT.path, 2)
    assert rejected.event_time == datetime.fromtimestamp(MINUTE + 6, UTC)
    assert [(violation.code, violation.got) for violation in rejected.violations] == [
        ("rejected_by_warehouse", "too wide")
    ]


def test_new_segment_counts_as_loaded_each_time(graph_run: GraphRun) -> None:
    loader = make_loader(graph_run)
    counts = {("loaded", "click"): 3, ("load_rejected", "click"): 0}
    first, again = loader.load(SEGMENT), loader.load(SEGMENT)
    assert (first.counts.counts, again.counts.counts) == (counts, counts)
    assert graph_run.sql("select count(*) from click_events") == [(3,)]


def test_rows_have_the_time_of_their_segment_in_every_warehouse(graph_run: GraphRun) -> None:
    stored = stored_segment(graph_run)
    os.utime(stored.path, ns=(0, 1_736_330_400_250_001_999))
    again = GraphRun(graph_run.folder / "again", live=False)
    again.warehouse.prepare(list(CONTRACTS.values()))
    loader = SegmentLoader(
        again.warehouse, CONTRACTS, graph_run.log, again.job, NOW.timestamp, RetryPolicy(0)
    )
    loader.compile()
    assert loader.backfill(stored) is not None
    times = "select epoch_us(_ingested_at) from click_events order by id"
    assert again.sql(times) == [(1_736_330_400_250_001 + line,) for line in range(3)]
    assert again.sql("select epoch(ingested_at)::bigint from _segments") == [(int(NOW.timestamp()),)]


def test_segment_of_an_earlier_run_is_backfilled_once(graph_run: GraphRun) -> None:
    graph_run.log.open()
    segment = graph_run.log.append("click", MINUTE, 0, SEGMENT.lines).segment
    assert segment is not None
    stored = StoredSegment("click", segment.path, MINUTE, segment.id)
    loader = make_loader(graph_run)
    backfilled = loader.backfill(stored)
    assert backfilled is not None
    assert backfilled.counts.counts == {("backfilled", "click"): 3, ("backfill_rejected", "click"): 0}
    assert loader.backfill(stored) is None


class DoublingWarehouse(DuckDBWarehouse):
    """A warehouse that cannot tell two loads of a segment apart while both last, if one is of a streaming job."""

    def doubles(self, *, bounded: bool) -> bool:
        return not bounded


LIVE = Url("kafka://localhost:9092/clicks?group=g")


@pytest.mark.parametrize(("retry_for", "limit"), [(None, 900), (1200.0, 1800)])
def test_segment_that_a_run_may_be_loading_is_left_to_it(
    graph_run: GraphRun, retry_for: float | None, limit: int
) -> None:
    graph_run.log.open()
    segment = graph_run.log.append("click", MINUTE, 0, SEGMENT.lines).segment
    assert segment is not None
    graph_run.job = replace(graph_run.job, retry_for=retry_for, source=LIVE)
    graph_run.warehouse = DoublingWarehouse(str(graph_run.folder / "w.duckdb"))
    loader = make_loader(graph_run, retries_rejected=True)
    os.utime(segment.path, (0, NOW.timestamp() - limit + 12))
    left = loader.backfill(segment)
    assert left == LoadedSegment("click", StepCounts({("in_work", "click"): 1}), [], [], 12.0)
    assert graph_run.sql("select count(*) from click_events") == [(0,)]
    os.utime(segment.path, (0, NOW.timestamp() - limit))
    assert loader.backfill(segment) is not None
    os.utime(segment.path, (0, NOW.timestamp()))
    assert loader.backfill(segment) is None  # it is loaded, so no run is at it
    assert graph_run.sql("select count(*) from click_events") == [(3,)]


def test_segment_of_a_job_that_ends_is_loaded_at_once(graph_run: GraphRun) -> None:
    graph_run.log.open()
    segment = graph_run.log.append("click", MINUTE, 0, SEGMENT.lines).segment
    assert segment is not None
    graph_run.warehouse = DoublingWarehouse(str(graph_run.folder / "w.duckdb"))
    os.utime(segment.path, (0, NOW.timestamp()))
    backfilled = make_loader(graph_run, retries_rejected=True).backfill(segment)
    assert backfilled is not None
    assert backfilled.counts.counts["backfilled", "click"] == 3


def test_rows_are_not_redelivered_into_a_segment_that_a_run_may_be_loading(graph_run: GraphRun) -> None:
    graph_run.log.open()
    segment = graph_run.log.append("click", MINUTE, 0, SEGMENT.lines).segment
    assert segment is not None
    os.utime(segment.path, (0, NOW.timestamp() - 800))
    graph_run.job = replace(graph_run.job, source=LIVE)
    graph_run.warehouse = DoublingWarehouse(str(graph_run.folder / "w.duckdb"))
    loader = make_loader(graph_run, retries_rejected=True)
    (rejected,) = SegmentConverter(graph_run.job, CONTRACTS).rejected(segment, [(1, "too wide")])
    row = OpenDeadLetter(make_dead_letter(rejected, "test", 0.0), 2, False)
    step = LoadRejectedRows(loader, graph_run.log, NOW.timestamp)
    with pytest.raises(WarehouseError) as caught:
        list(step.process((("click", segment.path), [row])))
    assert str(caught.value) == (
        f"{graph_run.log.find('click', segment.path)}: expected a segment that no run may be loading now, got a young "
        "one that is not loaded; a second load at the same time would append its rows twice: run the job itself, or "
        "wait for 100 s"
    )
    assert graph_run.sql("select count(*) from click_events") == [(0,)]


def stored_segment(graph_run: GraphRun) -> StoredSegment:
    """Return a segment of the log that the warehouse has loaded."""
    graph_run.log.open()
    segment = graph_run.log.append("click", MINUTE, 0, SEGMENT.lines).segment
    assert segment is not None
    assert make_loader(graph_run).load(segment).counts.counts["loaded", "click"] == 3
    return StoredSegment("click", segment.path, MINUTE, segment.id)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[: data.index(b"\n") + 1],
        lambda data: data.replace(b'"id": 1', b'"id": 7'),
        lambda data: data + data[: data.index(b"\n") + 1].replace(b'"id": 0', b'"id": 8'),
        lambda data: b"".join(reversed(data.splitlines(keepends=True))),
        lambda data: data.replace(b", ", b","),
    ],
    ids=["cut", "edited", "appended", "reordered", "reformatted"],
)
@pytest.mark.parametrize("read", [False, True], ids=["run", "load"])
def test_segment_changed_since_it_was_loaded_is_refused(
    graph_run: GraphRun, change: Callable[[bytes], bytes], read: bool
) -> None:
    stored = stored_segment(graph_run)
    Path(stored.path).write_bytes(change(Path(stored.path).read_bytes()))
    changed = graph_run.log.read(stored.path)
    with pytest.raises(StorageError) as caught:
        make_loader(graph_run).backfill(changed if read else replace(stored, id=changed.id))
    assert str(caught.value) == (
        f"{stored.path}: expected segment {stored.id}, as the warehouse has loaded it from this file, got segment "
        f"{changed.id}; the file was changed or replaced: restore it, or load the log into a new warehouse"
    )
    assert graph_run.sql("select count(*) from click_events") == [(3,)]


def test_number_of_a_deleted_segment_is_not_given_again(graph_run: GraphRun) -> None:
    stored = stored_segment(graph_run)
    Path(stored.path).unlink()
    log = GraphRun(graph_run.folder, live=False).log
    log.guard = LoadedSegmentGuard(graph_run.warehouse)
    with pytest.raises(StorageError, match=f"{stored.path}: expected segment {stored.id}"):
        log.append("click", MINUTE, 0, [event(7, MINUTE)])
    assert log.append("click", MINUTE, 0, SEGMENT.lines).appended == 3  # the same content brings it back
    assert Path(stored.path).exists()


def test_segment_moved_to_another_minute_is_refused(graph_run: GraphRun) -> None:
    stored = stored_segment(graph_run)
    moved = Path(stored.path.replace("/13/09/", "/13/10/").replace("202502081309", "202502081310"))
    moved.parent.mkdir()
    Path(stored.path).rename(moved)
    with pytest.raises(
        StorageError, match=f"{moved}: line 1: expected an event from 2025-02-08T13:10:00Z to"
    ):
        make_loader(graph_run).backfill(graph_run.log.read(str(moved)))
    assert graph_run.sql("select count(*) from click_events") == [(3,)]


def test_log_that_was_moved_is_known(graph_run: GraphRun) -> None:
    stored = stored_segment(graph_run)
    moved = graph_run.log.read(stored.path)
    assert make_loader(graph_run).backfill(replace(moved, path=f"s3://copy/{stored.path}")) is None


def test_type_without_a_table_is_not_loaded(graph_run: GraphRun) -> None:
    loader = make_loader(graph_run)
    assert [loader.loads(name) for name in ("click", "redelivery")] == [True, False]
