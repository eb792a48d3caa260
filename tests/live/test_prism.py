"""The graph over unbounded input, as Beam's TestStream plays it, on Prism, the runner of streaming jobs on one machine.

Beam's Python direct runner will not do: it loops for ever on triggers that fire late in processing time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devservers import prism
from tests.graph.graph_fixture import HOUR, MINUTE, GraphRun, batch, event

pytestmark = pytest.mark.alone


@pytest.fixture
def live(tmp_path: Path) -> Iterator[GraphRun]:
    with prism.start() as server:
        yield GraphRun(tmp_path, live=True, runner=server.options)


def test_early_on_time_and_late_events_are_stored_once(live: GraphRun) -> None:
    early, on_time, late = (event(n, MINUTE + 5) for n in range(3))
    made = live.run(
        batch(early, arrival=MINUTE + 6),
        batch(on_time, early, arrival=MINUTE + 30, offset=1),
        batch(late, on_time, arrival=MINUTE + 1800, offset=3),
    )
    assert sorted(live.stored()) == sorted([early, on_time, late])
    assert len(live.segments()) >= 2
    assert (made.read, made.accepted, made.duplicates, made.rejected, made.loaded) == (5, 3, 2, 0, 3)
    assert made.reconciled
    assert live.sql("select events from event_counts") == [(3,)]


def test_counts_of_a_streaming_job_are_loaded_alone(live: GraphRun) -> None:
    live.job = replace(live.job, load=("counts",))
    early, late = event(0, MINUTE + 5), event(1, MINUTE + 5)
    made = live.run(
        batch(early, b"{", arrival=MINUTE + 6),
        batch(late, early, arrival=MINUTE + 1800, offset=3),
    )
    assert (made.read, made.accepted, made.duplicates, made.rejected, made.loaded) == (4, 2, 1, 1, 2)
    assert made.reconciled
    assert live.sql("select events from event_counts") == [(2,)]
    assert live.sql("select view_name from duckdb_views() where not internal order by all") == [
        ("_segments",),
        ("event_counts",),
    ]


def test_only_too_late_and_too_future_events_are_rejected(live: GraphRun) -> None:
    arrival = MINUTE + 2 * HOUR
    oldest, too_old = event(1, arrival - HOUR), event(2, arrival - HOUR - 1)
    newest, too_new = event(3, arrival + 60), event(4, arrival + 61)
    made = live.run(batch(oldest, too_old, newest, too_new, arrival=arrival))
    assert sorted(live.stored()) == sorted([oldest, newest])
    dead_letters = [json.loads(line) for line in live.stored("dead")]
    assert {(dead_letter["code"], dead_letter["payload"]) for dead_letter in dead_letters} == {
        ("too_late", too_old.decode()),
        ("in_future", too_new.decode()),
    }
    assert made.rejections == {"in_future": 1, "too_late": 1}
    assert made.reconciled


def test_pane_retried_in_another_bundle_stores_no_duplicate(live: GraphRun) -> None:
    events = [event(n, MINUTE + n) for n in range(10)]
    live.run(batch(*events[:6], arrival=MINUTE))
    before = live.segments()
    made = live.run(batch(*events[3:9], arrival=MINUTE), batch(*events[8:], *events[:2], arrival=MINUTE + 1))
    assert sorted(live.stored()) == sorted(events)
    assert before.items() <= live.segments().items()
    assert (made.accepted, made.duplicates, made.reconciled) == (4, 6, True)
    assert live.sql("select count(*), count(distinct id) from click_events") == [(10, 10)]
