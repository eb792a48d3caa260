"""Conflicting duplicates through the whole graph: each becomes one dead letter, however often it comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from apache_beam import pvalue
from sluice.contracts import Contract, Property
from sluice.dead_letters.log import DeadLetterLog
from sluice.dead_letters.reading import find_minutes, read_minute
from sluice.dead_letters.selection import Selection
from sluice.elements import (
    ConflictingLine,
    EventBatch,
    LoadRequest,
    LogKey,
    OrderedLines,
    StepCounts,
)
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.graph.append import AppendPane
from sluice.graph.conflicts import RejectConflicts
from sluice.graph.shuffle import pack
from sluice.provenance import Source
from sluice.retry import RetryPolicy
from sluice.source_tallies import SourceTally
from sluice.storage import open_store
from sluice.validation.content import compile_content

from tests.graph.graph_fixture import MINUTE, GraphRun, batch

CONTRACT = Contract(
    event_type="click",
    table="click_events",
    id="click",
    version="1.0.0",
    domain="test",
    description="",
    properties=(
        Property("event_type", "string", required=True, enum=("click",)),
        Property("id", "integer", required=True, unique=True),
        Property("time", "timestamp", required=True),
        Property("value", "integer"),
    ),
    event_time="time",
    identity="properties",
)


def event(identity: int, value: int, seconds: float = 0) -> bytes:
    time = datetime.fromtimestamp(MINUTE + seconds, UTC).isoformat()
    return json.dumps({"event_type": "click", "id": identity, "time": time, "value": value}).encode()


@pytest.fixture
def keyed_run(graph_run: GraphRun) -> GraphRun:
    """The graph with a contract whose events are the same if their `id` is."""
    return with_contract(graph_run, CONTRACT)


def with_contract(run: GraphRun, contract: Contract) -> GraphRun:
    run.job = replace(run.job, contracts={"click": contract}, route_by=None)
    run.log = EventLog(run.log.store, {"click": TypeLog.of(contract)})
    run.log.open()
    return run


DEAD_LETTERS = (
    "select letter_id, payload, code, step, source.uri, event_time from dead_letters order by payload"
)


def test_conflict_is_counted_and_kept_as_one_dead_letter_over_all_runs(keyed_run: GraphRun) -> None:
    first, other, third = event(1, 1), event(1, 2, 30.5), event(1, 3)
    made = keyed_run.run(batch(first, other, first, event(2, 1), b"{", other, arrival=MINUTE))
    assert (made.read, made.accepted, made.duplicates, made.conflicting, made.rejected) == (6, 2, 3, 2, 1)
    assert (made.loaded, made.reconciled) == (2, True)
    assert made.by_type["click"].conflicting == 2
    assert keyed_run.stored() == [first, event(2, 1)]
    assert keyed_run.sql("select id, value from click_events order by id") == [(1, 1), (2, 1)]
    dead_letters = keyed_run.sql(DEAD_LETTERS)
    assert [row[1:] for row in dead_letters if row[2] == "conflict"] == [
        (other.decode(), "conflict", "append", "topic", datetime.fromtimestamp(MINUTE + 30.5, UTC))
    ]
    again = keyed_run.run(batch(other, third, arrival=MINUTE, offset=7), batch(other, arrival=MINUTE))
    assert (again.accepted, again.duplicates, again.conflicting, again.reconciled) == (0, 3, 3, True)
    assert {row[1] for row in keyed_run.sql(DEAD_LETTERS)} == {other.decode(), third.decode(), "{"}
    assert {row for row in dead_letters} <= set(keyed_run.sql(DEAD_LETTERS))
    assert len(keyed_run.stored("dead")) == 3


def test_dead_letter_names_both_contents_and_the_segment(keyed_run: GraphRun) -> None:
    keyed_run.run(batch(event(1, 1), event(1, 2), arrival=MINUTE))
    (letter,) = map(json.loads, keyed_run.stored("dead"))
    content_of = compile_content(CONTRACT)
    key = keyed_run.sql("select _event_id from click_events")[0][0]
    segment = next(keyed_run.log.segments())
    assert letter["violations"] == [
        {
            "code": "conflict",
            "path": "",
            "expected": f"content {content_of(event(1, 1)).hex()}, as its key {key} has it in {segment}",
            "got": f"content {content_of(event(1, 2)).hex()}",
        }
    ]
    assert letter["contract"] == "click@1.0.0"


def test_same_content_written_otherwise_is_no_conflict(keyed_run: GraphRun) -> None:
    spaced = b" " + event(1, 1).replace(b",", b" ,")
    made = keyed_run.run(batch(event(1, 1), spaced, arrival=MINUTE))
    assert (made.duplicates, made.conflicting, made.reconciled) == (1, 0, True)
    assert keyed_run.stored("dead") == []


def test_conflict_in_another_spelling_is_the_same_dead_letter(keyed_run: GraphRun) -> None:
    spaced = b" " + event(1, 2).replace(b",", b" ,")
    made = keyed_run.run(batch(event(1, 1), event(1, 2), spaced, arrival=MINUTE))
    assert (made.duplicates, made.conflicting, made.reconciled) == (2, 2, True)
    assert len(keyed_run.stored("dead")) == 1


def test_same_key_in_another_minute_is_another_event(keyed_run: GraphRun) -> None:
    made = keyed_run.run(batch(event(1, 1), event(1, 2, 60), arrival=MINUTE))
    assert (made.accepted, made.conflicting, made.reconciled) == (2, 0, True)


@pytest.mark.parametrize("partition", ["hour", "day"])
def test_dead_letter_lies_where_its_log_partition_begins(graph_run: GraphRun, partition: Any) -> None:
    run = with_contract(graph_run, replace(CONTRACT, log_partition=partition))
    run.run(batch(event(1, 1), event(1, 2, 60), arrival=MINUTE))
    hour = {"hour": "13", "day": "00"}[partition]
    assert list(run.segments("dead")) == [f"2025/02/08/{hour}/00/dead_letter_20250208{hour}000001.json"]
    assert json.loads(run.stored("dead")[0])["event_time"] == "2025-02-08T13:10:00Z"


def test_keep_both_stores_every_content_as_a_row(graph_run: GraphRun) -> None:
    run = with_contract(graph_run, replace(CONTRACT, on_conflict="keep_both"))
    history = batch(event(1, 1), event(1, 2), event(1, 1), event(1, 2), arrival=MINUTE)
    made = run.run(history)
    assert (made.accepted, made.duplicates, made.conflicting, made.reconciled) == (2, 2, 0, True)
    assert run.sql("select id, value from click_events order by value") == [(1, 1), (1, 2)]
    assert run.sql("select count(distinct _event_id) from click_events") == [(2,)]
    assert run.run(history).duplicates == 4
    assert run.stored("dead") == []


def test_masked_values_are_compared_and_kept_masked(
    graph_run: GraphRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_PRIVACY_KEY", "k" * 32)
    name = Property("name", "string", required=True, classification="restricted", mask="hash")
    run = with_contract(graph_run, replace(CONTRACT, properties=(*CONTRACT.properties, name)))
    named = [event(1, 1)[:-1] + b', "name": "%b"}' % name for name in (b"Ann", b"Ann", b"Bob")]
    made = run.run(batch(*named, arrival=MINUTE))
    assert (made.accepted, made.duplicates, made.conflicting, made.reconciled) == (1, 2, 1, True)
    (dead_letter,) = run.stored("dead")
    assert b"Bob" not in dead_letter
    assert json.loads(json.loads(dead_letter)["payload"])["value"] == 1


def test_conflicts_are_not_redelivered(keyed_run: GraphRun) -> None:
    keyed_run.run(batch(event(1, 1), event(1, 2), b"{", arrival=MINUTE))
    log = DeadLetterLog.at(str(keyed_run.folder / "dead"))
    (minute,) = find_minutes(log)
    selected = read_minute(minute, log, Selection())
    assert (len(selected.open), selected.conflicting, selected.rows) == (1, 1, [])


def append(folder: Path, groups: list[OrderedLines]) -> Iterator[Any]:
    log = EventLog(open_store(str(folder)), {"click": TypeLog.of(CONTRACT)})
    yield from AppendPane(log, RetryPolicy(0)).process((("click", MINUTE, 0), [pack(EventBatch(groups))]))


def test_acks_of_conflicts_wait_for_their_dead_letters_and_no_others_do(tmp_path: Path) -> None:
    groups = [
        OrderedLines("a", 0, [event(1, 1), event(1, 2), event(2, 1)], {7: 3}),
        OrderedLines("a", 3, [event(1, 1)], {8: 1}),
        OrderedLines("b", 0, [event(1, 3)], {9: 1}),
        OrderedLines("c", 0, [event(1, 4)]),
    ]
    conflicts, counts, request = append(tmp_path, groups)
    assert isinstance(request, LoadRequest)
    assert request.acks == {7: 2, 8: 1}
    assert isinstance(counts, pvalue.TaggedOutput)
    assert counts.value == StepCounts(
        {
            ("duplicates", "click"): 4,
            ("conflicting", "click"): 3,
            ("accepted", "click"): 2,
            ("segments", "click"): 1,
        },
        sources={
            Source("a"): SourceTally(accepted=2, duplicates=2),
            Source("b"): SourceTally(duplicates=1),
            Source("c"): SourceTally(duplicates=1),
        },
    )
    lines: list[ConflictingLine] = conflicts.value
    assert [(line.uri, line.line, line.acks) for line in lines] == [
        ("a", event(1, 2), {7: 1}),
        ("b", event(1, 3), {9: 1}),
        ("c", event(1, 4), {}),
    ]
    step = RejectConflicts({"click": CONTRACT}, lambda: MINUTE + 5)
    step.setup()
    (rejected,) = step.process(lines)
    assert rejected.timestamp == MINUTE + 5
    assert [record.acks for record in rejected.value] == [{7: 1}, {9: 1}, {}]
    assert {record.event_type for record in rejected.value} == {LogKey("click", MINUTE, 0).event_type}
