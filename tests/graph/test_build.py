"""The graph over bounded input; tests/live/test_prism.py has the same graph over unbounded input."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sluice.elements import EventBatch, LoadRequest, Rejected
from sluice.graph.append import AppendPane
from sluice.graph.conflicts import RejectConflicts
from sluice.graph.dead_letters import WrapDeadLetters
from sluice.graph.decode import DecodeRecords
from sluice.graph.load import LoadStep
from sluice.graph.load_days import LoadDay

from tests.graph.graph_fixture import MINUTE, GraphRun, batch, event


def test_bounded_input_makes_one_segment_for_each_minute_in_the_order_of_its_origin(
    graph_run: GraphRun,
) -> None:
    first, second = [event(n, MINUTE + n) for n in range(4)], [event(n, MINUTE + n) for n in range(4, 8)]
    broken = b"{"
    made = graph_run.run(
        batch(*second, broken, arrival=MINUTE, offset=100), batch(*first, second[0], arrival=MINUTE)
    )
    assert list(graph_run.segments()) == ["click/2025/02/08/13/09/click_2025020813090001.json"]
    assert graph_run.stored() == [*first, *second]
    assert (made.read, made.accepted, made.duplicates, made.rejected) == (10, 8, 1, 1)
    assert list(graph_run.segments("dead")) == ["2025/02/08/13/09/dead_letter_2025020813090001.json"]
    assert graph_run.sql("select payload, code, source.uri, source.offset from dead_letters") == [
        ("{", "not_json", "topic", 104)
    ]
    assert made.reconciled


def test_second_run_changes_no_byte_and_no_row(graph_run: GraphRun) -> None:
    events = [event(n, MINUTE + 25 * n, kind) for n in range(10) for kind in ("click", "view")]
    history = batch(*events, b"[]", arrival=MINUTE)
    first = graph_run.run(history)
    files, dead_letters = graph_run.segments(), graph_run.segments("dead")
    tables = {
        table: graph_run.sql(f"from {table} order by all")
        for table in ("click_events", "view_events", "event_counts", "dead_letters", "_segments")
    }
    again = graph_run.run(history)
    assert (graph_run.segments(), graph_run.segments("dead")) == (files, dead_letters)
    assert tables == {table: graph_run.sql(f"from {table} order by all") for table in tables}
    assert (first.accepted, first.loaded, first.rejected) == (20, 20, 1)
    assert (again.accepted, again.duplicates, again.loaded, again.rejected, again.reconciled) == (
        0,
        20,
        0,
        1,
        True,
    )


def test_window_counts_are_exact_by_type_and_ten_seconds(graph_run: GraphRun) -> None:
    times = [MINUTE + seconds for seconds in (0, 9.999999, 10, 59.999999, 60)]
    events = [event(n, at, kind) for n, at in enumerate(times) for kind in ("click", "view")]
    graph_run.run(batch(*events, arrival=MINUTE))
    counted = graph_run.sql(
        "select event_type, epoch(window_start), epoch(window_end), events from event_counts"
    )
    expected = Counter((kind, at // 10 * 10) for at in times for kind in ("click", "view"))
    assert sorted(counted) == sorted((kind, start, start + 10, n) for (kind, start), n in expected.items())


def test_segment_that_an_interrupted_run_did_not_load_is_backfilled(graph_run: GraphRun) -> None:
    lost = [event(n, MINUTE + n) for n in range(3)]
    graph_run.log.open()
    graph_run.log.append("click", MINUTE, 0, lost)
    again = GraphRun(graph_run.folder, live=False)
    made = again.run(batch(*lost, event(9, MINUTE), arrival=MINUTE))
    assert (made.accepted, made.duplicates, made.loaded, made.backfilled) == (1, 3, 1, 3)
    assert made.reconciled
    assert again.sql("select id from click_events order by id") == [(0,), (1,), (2,), (9,)]


@pytest.mark.parametrize("element", [EventBatch, Rejected, LoadRequest])
def test_element_that_stays_in_a_worker_is_not_encoded_for_its_size(
    graph_run: GraphRun, monkeypatch: pytest.MonkeyPatch, element: type
) -> None:
    def refuse(self: object, protocol: object) -> None:
        message = f"{type(self).__name__} was encoded"
        raise AssertionError(message)

    monkeypatch.setattr(element, "__reduce_ex__", refuse)
    made = graph_run.run(batch(event(1, MINUTE), event(2, MINUTE), b"{", arrival=MINUTE))
    assert (made.read, made.accepted, made.rejected, made.loaded) == (3, 2, 1, 2)


STEPS = (DecodeRecords, AppendPane, LoadStep, LoadDay, WrapDeadLetters, RejectConflicts)


def works_twice(process: Callable[..., Iterable[Any]]) -> Callable[..., Iterable[Any]]:
    """Return what a step does whose result was committed, and that is given the same element again."""

    @functools.wraps(process)  # Beam reads the parameters
    def twice(*arguments: Any, **named: Any) -> Iterator[Any]:
        yield from process(*arguments, **named)
        yield from process(*arguments, **named)

    return twice


def test_doubled_elements_change_no_byte_and_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What at-least-once mode does: each element of a step may be worked on twice, with two results."""
    records = batch(
        *(event(number, MINUTE + number) for number in range(6)), b"{", event(1, MINUTE + 1), arrival=MINUTE
    )
    tables = ("click_events", "event_counts", "dead_letters")
    once, twice = GraphRun(tmp_path / "once", live=False), GraphRun(tmp_path / "twice", live=False)
    once.run(records)
    for step in STEPS:
        monkeypatch.setattr(step, "process", works_twice(step.process))
    made = twice.run(records)
    assert twice.segments() == once.segments()
    assert len(twice.stored("dead")) == len(once.stored("dead")) == 1
    for run in (once, twice):
        assert [run.sql(f"select count(*) from {table}") for table in tables] == [[(6,)], [(1,)], [(1,)]]
        assert run.sql("select events from event_counts") == [(6,)]
    assert (made.read, made.accepted, made.loaded, made.rejected) == (8, 6, 6, 2)
    assert not made.reconciled  # what was done twice is counted twice
