"""A segment becomes rows, counts and row errors without Beam, and is loaded at most once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sluice.config.job import Job
from sluice.elements import Segment, StoredSegment
from sluice.graph.segment_loader import SegmentConverter, SegmentLoader
from sluice.retry import RetryPolicy

from tests.graph.graph_fixture import CONTRACTS, MINUTE, GraphRun, event

NOW = datetime(2025, 2, 8, 14, 0, tzinfo=UTC)
SEGMENT = Segment(
    "0" * 32, "click", "files/click/1.json", MINUTE, [event(n, MINUTE + 6 * n) for n in range(3)]
)


@pytest.fixture
def graph_run(tmp_path: Path) -> GraphRun:
    made = GraphRun(tmp_path, live=False)
    made.warehouse.prepare(list(CONTRACTS.values()))
    return made


def make_loader(graph_run: GraphRun) -> SegmentLoader:
    loader = SegmentLoader(
        graph_run.warehouse, CONTRACTS, graph_run.log, graph_run.job, NOW.timestamp, RetryPolicy(0)
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
    converted, counted, unknown = SegmentConverter(job, CONTRACTS).convert(SEGMENT, NOW)
    assert (converted.rows.num_rows, converted.row_errors) == (rows, [])
    assert [window.events for window in converted.window_counts] == windows
    assert [window.events for window in counted] == [2, 1]
    assert unknown == {}


def test_rejected_row_has_its_line_and_its_place_in_the_segment(graph_run: GraphRun) -> None:
    converter = SegmentConverter(graph_run.job, CONTRACTS)
    (rejected,) = converter.rejected(SEGMENT, [(1, "too wide")])
    assert (rejected.record, rejected.step) == (SEGMENT.lines[1], "load")
    assert (rejected.origin.uri, rejected.origin.line) == (SEGMENT.path, 2)
    assert [(violation.code, violation.got) for violation in rejected.violations] == [
        ("rejected_by_warehouse", "too wide")
    ]


def test_new_segment_counts_as_loaded_each_time(graph_run: GraphRun) -> None:
    loader = make_loader(graph_run)
    counts = {("loaded", "click"): 3, ("load_rejected", "click"): 0}
    first, again = loader.load(SEGMENT), loader.load(SEGMENT)
    assert (first.counts.counts, again.counts.counts) == (counts, counts)
    assert graph_run.sql("select count(*) from click_events") == [(3,)]


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


def test_type_without_a_table_is_not_loaded(graph_run: GraphRun) -> None:
    loader = make_loader(graph_run)
    assert [loader.loads(name) for name in ("click", "redelivery")] == [True, False]
