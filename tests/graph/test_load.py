"""Rows that a warehouse refuses, and segments that an earlier run left unloaded."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pyarrow.compute as pc
import pytest
from sluice.elements import (
    DEAD_LETTER,
    EventBatch,
    LoadRequest,
    OrderedLines,
    Segment,
    StepCounts,
    StoredSegment,
)
from sluice.eventlog.log import EventLog
from sluice.graph.append import AppendPane
from sluice.graph.load import LoadSegments
from sluice.graph.segment_loader import SegmentLoader
from sluice.graph.shuffle import pack
from sluice.retry import RetryPolicy
from sluice.run_state import RunHandle
from sluice.storage import open_store
from sluice.warehouses import RowError, SegmentLoad, open_warehouse
from sluice.warehouses.duckdb.warehouse import DuckDBWarehouse

from tests.graph.graph_fixture import CONTRACTS, MINUTE, GraphRun, batch, event

REASON = "odd ids are not for this table"


class FussyWarehouse(DuckDBWarehouse):
    """A warehouse that rejects events with an odd id, as a real one rejects rows that break a constraint."""

    def load(self, load: SegmentLoad) -> list[RowError]:
        return super().load(self._without_odd(load))

    def load_rejected(self, load: SegmentLoad) -> list[RowError]:
        return super().load_rejected(self._without_odd(load))

    def _without_odd(self, load: SegmentLoad) -> SegmentLoad:
        if load.contract.event_type == DEAD_LETTER:
            return load
        is_odd = pc.equal(pc.bit_wise_and(load.rows.column("id"), 1), 1)
        return load.without_rows(
            [(index, REASON) for index, is_rejected in enumerate(is_odd.to_pylist()) if is_rejected]
        )


@pytest.fixture
def fussy_run(graph_run: GraphRun) -> GraphRun:
    """The graph with a warehouse that rejects odd ids."""
    graph_run.warehouse = FussyWarehouse(str(graph_run.folder / "w.duckdb"))
    return graph_run


DEAD_LETTERS_SQL = (
    "select payload, code, step, violations[1].got, source.line from dead_letters order by source.line"
)


def test_rejected_rows_become_dead_letters_and_counts_reconcile(fussy_run: GraphRun) -> None:
    events = [event(n, MINUTE + n) for n in range(5)]
    made = fussy_run.run(batch(*events, b"{", arrival=MINUTE))
    assert (made.read, made.accepted, made.rejected) == (6, 5, 1)
    assert (made.loaded, made.load_rejected, made.reconciled) == (3, 2, True)
    assert fussy_run.sql("select id from click_events order by id") == [(0,), (2,), (4,)]
    assert fussy_run.sql(DEAD_LETTERS_SQL)[:2] == [
        (events[1].decode(), "rejected_by_warehouse", "load", REASON, 2),
        (events[3].decode(), "rejected_by_warehouse", "load", REASON, 4),
    ]
    assert fussy_run.stored() == events


def test_rejected_rows_are_reported_again_but_stored_once(
    fussy_run: GraphRun,
) -> None:
    events = [event(n, MINUTE + n) for n in range(4)]
    fussy_run.run(batch(*events, arrival=MINUTE))
    dead_letters = fussy_run.sql(f"from ({DEAD_LETTERS_SQL})")
    again = fussy_run.run(batch(*events, arrival=MINUTE))
    assert (again.accepted, again.duplicates, again.loaded, again.load_rejected, again.reconciled) == (
        0,
        4,
        0,
        0,
        True,
    )
    assert fussy_run.sql(f"from ({DEAD_LETTERS_SQL})") == dead_letters
    assert len(fussy_run.stored("dead")) == 2


def test_job_that_loads_counts_alone_reconciles(fussy_run: GraphRun) -> None:
    fussy_run.job = replace(fussy_run.job, load=("counts",))
    fussy_run.warehouse = open_warehouse(fussy_run.job.warehouse)
    events = [event(n, MINUTE + n) for n in range(11)]
    made = fussy_run.run(batch(*events, b"{", arrival=MINUTE))
    assert (made.read, made.accepted, made.rejected) == (12, 11, 1)
    assert (made.loaded, made.load_rejected, made.reconciled) == (11, 0, True)
    counted = "select event_type, events from event_counts order by window_start"
    tables = "select view_name from duckdb_views() where not internal order by all"
    assert fussy_run.sql(counted) == [("click", 10), ("click", 1)]
    assert fussy_run.sql(tables) == [("_segments",), ("event_counts",)]
    again = fussy_run.run(batch(*events, b"{", arrival=MINUTE))
    assert (again.duplicates, again.loaded, again.backfilled, again.reconciled) == (11, 0, 0, True)
    assert fussy_run.load().backfilled == 0
    fussy_run.warehouse = open_warehouse(f"duckdb:///{fussy_run.folder}/second/w.duckdb")
    assert (fussy_run.load().backfilled, fussy_run.load().backfilled) == (11, 0)
    assert fussy_run.stored() == events
    assert len(fussy_run.stored("dead")) == 1
    assert fussy_run.sql(counted) == [("click", 10), ("click", 1)]


def test_load_fills_an_empty_warehouse_and_keeps_rejected_rows(fussy_run: GraphRun) -> None:
    fussy_run.log.open()
    fussy_run.log.append("click", MINUTE, 0, [event(n, MINUTE + n) for n in range(4)])
    fussy_run.log.append("view", MINUTE, 0, [event(0, MINUTE, "view")])
    made = fussy_run.load()
    assert (made.read, made.loaded, made.backfilled, made.reconciled) == (0, 0, 3, True)
    assert fussy_run.sql("select id from click_events order by id") == [(0,), (2,)]
    assert fussy_run.sql("select event_type, sum(events) from event_counts group by all order by all") == [
        ("click", 2),
        ("view", 1),
    ]
    assert len(fussy_run.sql(DEAD_LETTERS_SQL)) == 2
    assert fussy_run.load().backfilled == 0
    assert len(fussy_run.stored("dead")) == 2
    fussy_run.warehouse = open_warehouse(fussy_run.job.warehouse)  # which takes odd ids
    assert (fussy_run.load().backfilled, fussy_run.load().backfilled) == (2, 0)
    assert fussy_run.sql("select count(*), count(distinct id) from click_events") == [(4, 4)]
    assert len(fussy_run.stored("dead")) == 2


def test_rows_of_a_log_that_was_moved_are_the_same_dead_letters(fussy_run: GraphRun) -> None:
    fussy_run.run(batch(*(event(n, MINUTE + n) for n in range(4)), arrival=MINUTE))
    dead_letters = fussy_run.stored("dead")
    assert len(dead_letters) == 2
    (fussy_run.folder / "files").rename(fussy_run.folder / "moved")
    fussy_run.log = EventLog(open_store(str(fussy_run.folder / "moved")), fussy_run.log.type_logs)
    same = fussy_run.load()
    fussy_run.warehouse = FussyWarehouse(str(fussy_run.folder / "rebuilt.duckdb"))
    rebuilt = fussy_run.load()
    assert [(made.backfilled, made.reconciled) for made in (same, rebuilt)] == [(0, True), (2, True)]
    assert fussy_run.stored("dead") == dead_letters


def append(run: GraphRun, handle: RunHandle, events: list[bytes]) -> LoadRequest:
    """Append events as a step of the run of `handle` does; return what it offers to the warehouse."""
    run.log.open()
    groups = [OrderedLines("f", 0, events)]
    step = AppendPane(run.log, RetryPolicy(0), None, handle)
    step.setup()
    outputs = step.process((("click", MINUTE, 0), [pack(EventBatch(groups))]))
    (request,) = (output for output in outputs if isinstance(output, LoadRequest))
    return request


def load(run: GraphRun, handle: RunHandle, segments: Sequence[Segment | StoredSegment]) -> Counter[str]:
    """Load segments as a step of the run of `handle` does; return what it counts."""
    run.warehouse.prepare(list(CONTRACTS.values()))
    loader = SegmentLoader(run.warehouse, CONTRACTS, run.log, run.job, lambda: float(MINUTE), RetryPolicy(0))
    step = LoadSegments(loader, lambda: float(MINUTE), handle)
    step.setup()
    counted: Counter[str] = Counter()
    for segment in segments:
        for output in step.process(LoadRequest([segment])):
            if isinstance(output, StepCounts):
                counted.update({figure: number for (figure, _), number in output.counts.items() if number})
    return counted


@pytest.mark.parametrize("offers", list(itertools.product((True, False), repeat=3)))
def test_segment_of_this_run_is_loaded_once_whoever_offers_it(
    fussy_run: GraphRun, offers: tuple[bool, ...]
) -> None:
    """It is offered with its lines, and by its name by each duplicate that comes before it is loaded."""
    handle = RunHandle()
    (segment,) = append(fussy_run, handle, [event(n, MINUTE) for n in range(5)]).segments
    stored = StoredSegment("click", segment.path, MINUTE, segment.id)
    counted = load(fussy_run, handle, [segment if with_lines else stored for with_lines in offers])
    assert counted == {"loaded": 3, "load_rejected": 2, "backfill_rejected": 4}
    assert fussy_run.sql("select count(*) from click_events") == [(3,)]


def test_segment_of_an_earlier_run_is_backfilled(graph_run: GraphRun) -> None:
    """The earlier run has ended before it was loaded."""
    append(graph_run, RunHandle(), [event(n, MINUTE) for n in range(5)])
    graph_run.log = type(graph_run.log)(graph_run.log.store, graph_run.log.type_logs)
    handle = RunHandle()
    request = append(graph_run, handle, [event(4, MINUTE), event(5, MINUTE)])
    assert load(graph_run, handle, request.segments) == {"backfilled": 5, "loaded": 1}


def test_segment_of_an_earlier_graph_of_the_run_is_loaded(graph_run: GraphRun) -> None:
    """The graph has ended before it was loaded; its records come again."""
    run = RunHandle().state
    first, second = RunHandle(run.next_graph()), RunHandle(run.next_graph())
    append(graph_run, first, [event(n, MINUTE) for n in range(5)])
    graph_run.log = type(graph_run.log)(graph_run.log.store, graph_run.log.type_logs)
    request = append(graph_run, second, [event(n, MINUTE) for n in range(6)])
    assert load(graph_run, second, request.segments) == {"loaded": 6}
