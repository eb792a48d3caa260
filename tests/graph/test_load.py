"""Rows that a warehouse refuses, and segments that an earlier run left unloaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pytest
from sluice.elements import DEAD_LETTER
from sluice.warehouses import RowError, SegmentLoad, open_warehouse
from sluice.warehouses.duckdb.warehouse import DuckDBWarehouse

from tests.graph.graph_fixture import MINUTE, Bench, batch, event

REASON = "odd ids are not for this table"


class FussyWarehouse(DuckDBWarehouse):
    """A warehouse that refuses events with an odd id, as a real one refuses what breaks a constraint."""

    def load(self, load: SegmentLoad) -> list[RowError]:
        if load.contract.event_type == DEAD_LETTER:
            return super().load(load)
        is_odd = pc.equal(pc.bit_wise_and(load.rows.column("id"), 1), 1)
        return super().load(
            load.without_rows([(index, REASON) for index, odd in enumerate(is_odd.to_pylist()) if odd])
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path, live=False)
    made.warehouse = FussyWarehouse(str(tmp_path / "w.duckdb"))
    return made


LETTERS = "select payload, code, step, violations[1].got, source.line from dead_letters order by source.line"


def test_refused_rows_are_dead_letters_and_the_books_balance(bench: Bench) -> None:
    events = [event(n, MINUTE + n) for n in range(5)]
    made = bench.run(batch(*events, b"{", arrival=MINUTE))
    assert (made.read, made.accepted, made.rejected) == (6, 5, 1)
    assert (made.loaded, made.load_rejected, made.reconciled) == (3, 2, True)
    assert bench.sql("select id from click_events order by id") == [(0,), (2,), (4,)]
    assert bench.sql(LETTERS)[:2] == [
        (events[1].decode(), "rejected_by_warehouse", "load", REASON, 2),
        (events[3].decode(), "rejected_by_warehouse", "load", REASON, 4),
    ]
    assert bench.stored() == events


def test_refused_rows_are_told_again_until_their_letters_are_stored_but_stored_once(bench: Bench) -> None:
    events = [event(n, MINUTE + n) for n in range(4)]
    bench.run(batch(*events, arrival=MINUTE))
    letters = bench.sql(f"from ({LETTERS})")
    again = bench.run(batch(*events, arrival=MINUTE))
    assert (again.accepted, again.duplicates, again.loaded, again.load_rejected, again.reconciled) == (
        0,
        4,
        0,
        0,
        True,
    )
    assert bench.sql(f"from ({LETTERS})") == letters
    assert len(bench.stored("dead")) == 2


def test_counts_alone_are_loaded_and_the_books_balance(bench: Bench) -> None:
    bench.job = replace(bench.job, load=("counts",))
    bench.warehouse = open_warehouse(bench.job.warehouse)
    events = [event(n, MINUTE + n) for n in range(11)]
    made = bench.run(batch(*events, b"{", arrival=MINUTE))
    assert (made.read, made.accepted, made.rejected) == (12, 11, 1)
    assert (made.loaded, made.load_rejected, made.reconciled) == (11, 0, True)
    counted = "select event_type, events from event_counts order by window_start"
    tables = "select view_name from duckdb_views() where not internal order by all"
    assert bench.sql(counted) == [("click", 10), ("click", 1)]
    assert bench.sql(tables) == [("_segments",), ("event_counts",)]
    again = bench.run(batch(*events, b"{", arrival=MINUTE))
    assert (again.duplicates, again.loaded, again.backfilled, again.reconciled) == (11, 0, 0, True)
    assert bench.load().backfilled == 0
    bench.warehouse = open_warehouse(f"duckdb:///{bench.folder}/second/w.duckdb")
    assert (bench.load().backfilled, bench.load().backfilled) == (11, 0)
    assert bench.stored() == events
    assert len(bench.stored("dead")) == 1
    assert bench.sql(counted) == [("click", 10), ("click", 1)]


def test_load_fills_an_empty_warehouse_from_the_log_and_keeps_what_it_refuses(bench: Bench) -> None:
    bench.log.open()
    bench.log.append("click", MINUTE, 0, [event(n, MINUTE + n) for n in range(4)])
    bench.log.append("view", MINUTE, 0, [event(0, MINUTE, "view")])
    made = bench.load()
    assert (made.read, made.loaded, made.backfilled, made.reconciled) == (0, 0, 3, True)
    assert bench.sql("select id from click_events order by id") == [(0,), (2,)]
    assert bench.sql("select event_type, sum(events) from event_counts group by all order by all") == [
        ("click", 2),
        ("view", 1),
    ]
    assert len(bench.sql(LETTERS)) == 2
    assert bench.load().backfilled == 0
    assert len(bench.stored("dead")) == 2
