"""Dead letters as a source: first origin, arrival and identity; ages are judged as they were at first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apache_beam as beam
import msgspec
import pytest
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that
from sluice.contracts import Contract, Property
from sluice.dead_letters.envelope import DeadLetter, DeadLetterLog, make_dead_letter, mark, minute_of
from sluice.elements import (
    DEAD_LETTER,
    QUARANTINE,
    REDELIVERY,
    CsvDialect,
    Origin,
    RecordBatch,
    RedeliveryOrigin,
    Rejected,
    Violation,
)
from sluice.errors import ConfigError, SourceError, StorageError
from sluice.graph.decode import AgeLimits, RecordDecoder
from sluice.sources import open_source
from sluice.sources.dead_letters import (
    DeadLetterSource,
    Selection,
    _read_batches,
    find_minutes,
    read_minute,
    select,
)

ARRIVAL = datetime(2025, 2, 8, 13, 9, 30, 123456, tzinfo=UTC).timestamp()
CLICK = Contract(
    event_type="click",
    table="clicks",
    id="click",
    version="1.0.0",
    domain="test",
    description="",
    properties=(
        Property("at", "timestamp", required=True),
        Property("kind", "string", enum=("old", "new")),
        Property("n", "integer"),
    ),
    event_time="at",
    identity="delivery",
)
KAFKA = Origin("kafka://b/t", ARRIVAL, partition=3, offset=41, attributes={"key": "v"})


def click(at: float = ARRIVAL, kind: str = "new") -> bytes:
    return msgspec.json.encode({"at": datetime.fromtimestamp(at, UTC), "kind": kind})


def load_rejected(record: bytes, origin: Origin = KAFKA, code: str = "enum") -> Rejected:
    return Rejected(
        record, origin, "decode", [Violation(code, "kind", "one of old", '"new"')], "click", "click@1.0.0"
    )


def write(folder: Path, *rejected: Rejected, started: float | None = None) -> DeadLetterLog:
    log = DeadLetterLog.at(str(folder), marks=True)
    log.open()
    for each in rejected:
        letter = make_dead_letter(each, "job", ARRIVAL + 1, started)
        event_type = DEAD_LETTER if each.quarantine is None else QUARANTINE
        log.append(event_type, minute_of(letter.time), 0, [msgspec.json.encode(letter)])
    return log


def read(log: DeadLetterLog, selection: Selection | None = None) -> list[RecordBatch]:
    return [
        batch
        for minute in find_minutes(log)
        for batch in _read_batches(minute, log, selection if selection is not None else Selection())
    ]


def test_a_letter_brings_its_first_origin_back(tmp_path: Path) -> None:
    file = Origin("in/a.csv", ARRIVAL, offset=7, line=2)
    rows = CsvDialect(("at", "kind"), ";", "cp1252")
    sent = Origin("pubsub://s", ARRIVAL, offset=0, message_id="m-1", attributes={"a": "b"})
    log = write(
        tmp_path,
        load_rejected(b"\xff\x00"),
        replace(load_rejected(b"x;y", file), dialect=rows),
        load_rejected(click(), sent),
    )
    batches = read(log)
    found = {
        batch.origin(n).uri: (record, batch.origin(n), batch.arrivals, batch.dialect)
        for batch in batches
        for n, record in enumerate(batch.records)
    }
    assert {uri: record for uri, (record, *_) in found.items()} == {
        "kafka://b/t": b"\xff\x00",
        "in/a.csv": b"x;y",
        "pubsub://s": click(),
    }
    assert {uri: replace(origin, letter=None) for uri, (_, origin, *_) in found.items()} == {
        "kafka://b/t": KAFKA,
        "in/a.csv": file,
        "pubsub://s": sent,
    }
    assert found["in/a.csv"][2:] == ([ARRIVAL], rows)
    for batch in batches:
        for n, record in enumerate(batch.records):
            again = make_dead_letter(load_rejected(record, batch.origin(n)), "job", ARRIVAL + 99)
            first = make_dead_letter(
                load_rejected(record, replace(batch.origin(n), letter=None)), "job", ARRIVAL + 1
            )
            assert (again.letter_id, again.time, again.attempts) == (first.letter_id, first.time, 2)


def test_a_letter_stays_in_its_minute_though_its_time_can_be_read_now(tmp_path: Path) -> None:
    record = click(ARRIVAL - 600)
    (batch,) = read(write(tmp_path, load_rejected(record, code="unknown_type")))
    time = datetime.fromtimestamp(ARRIVAL - 600, UTC)
    again = make_dead_letter(replace(load_rejected(record, batch.origin(0)), event_time=time), "job", 0.0)
    assert (again.time, again.event_time) == (datetime.fromtimestamp(ARRIVAL, UTC), time)


def decode(batch: RecordBatch, **limits: float) -> list[str]:
    """Return the codes of rejection in a redelivery that runs a year later."""
    ages = AgeLimits(**{"max_skew": 600, "allowed_lateness": 3600, **limits}, started=ARRIVAL + 365 * 86400)
    return [
        each.violations[0].code
        for each in RecordDecoder({"click": CLICK}, None, ages, 1).decode(batch).rejected
    ]


def test_the_age_of_what_was_live_counts_from_its_first_arrival(tmp_path: Path) -> None:
    records = [click(ARRIVAL - 3600), click(ARRIVAL - 3601), click(ARRIVAL + 600), click(ARRIVAL + 601)]
    origins = [replace(KAFKA, offset=n) for n in range(4)]
    (batch,) = read(write(tmp_path, *map(load_rejected, records, origins)))
    assert decode(batch) == ["too_late", "in_future"]
    assert decode(batch, allowed_lateness=3601.0, max_skew=601.0) == []


def test_the_age_of_what_was_history_counts_from_the_start_of_its_run(tmp_path: Path) -> None:
    started = ARRIVAL + 86400.5
    records = [click(ARRIVAL - 10 * 86400), click(started + 600), click(started + 601)]
    origins = [replace(KAFKA, offset=n) for n in range(3)]
    (batch,) = read(write(tmp_path, *map(load_rejected, records, origins), started=started))
    assert decode(batch) == ["in_future"]


def test_the_identity_delivery_is_the_first_one(tmp_path: Path) -> None:
    (batch,) = read(write(tmp_path, load_rejected(click())))
    ages = AgeLimits(600, 3600, ARRIVAL)
    (lines,) = RecordDecoder({"click": CLICK}, None, ages, 1).decode(batch).events.values()
    assert lines[0].endswith(b',"_id":"kafka://b/t/3/41"}')


def test_marks_close_letters_and_count_attempts(tmp_path: Path) -> None:
    log = write(tmp_path, *(load_rejected(click(), replace(KAFKA, offset=n)) for n in range(3)))
    (minute,) = find_minutes(log)
    letters = [each.letter for each in read_minute(minute, log, Selection()).open]
    assert [each.attempt for each in read_minute(minute, log, Selection()).open] == [2, 2, 2]
    known = [RedeliveryOrigin(each.letter_id, 2, each.time) for each in letters]
    marks = [
        mark(known[0], "job", 0.0, letters[0]),
        mark(known[1], "job", 0.0),
        mark(known[0], "job", 1.0),  # of one attempt the first mark stays
    ]
    log.append(REDELIVERY, minute[0], 0, [msgspec.json.encode(each) for each in marks])
    found = read_minute(minute, log, Selection())
    assert [(each.letter.letter_id, each.attempt) for each in found.open] == [
        (letters[0].letter_id, 3),
        (letters[2].letter_id, 2),
    ]
    assert (found.done, found.load_rejected, found.unknown) == (1, 0, 0)


def test_rows_that_a_warehouse_refused_are_left_alone(tmp_path: Path) -> None:
    log = write(tmp_path, replace(load_rejected(click(), code="rejected_by_warehouse"), step="load"))
    (minute,) = find_minutes(log)
    found = read_minute(minute, log, Selection())
    assert (found.open, found.load_rejected) == ([], 1)


def test_letters_that_cannot_be_searched_come_from_their_own_folder(tmp_path: Path) -> None:
    log = write(tmp_path, load_rejected(click()), replace(load_rejected(b"{"), quarantine=b"hash"))
    found = [origin for batch in read(log) if batch.redelivered for origin in batch.redelivered.origins]
    assert [origin.letter.quarantine for origin in found if origin.letter is not None] == [False, True]
    assert [path.name for path in (tmp_path / "quarantine").rglob("*.json")] == [
        "dead_letter_2025020813090001.json"
    ]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([("code", "enum")], {1, 2}),
        ([("code", "enum"), ("code", "range")], {1, 2, 3}),
        ([("code", "enum"), ("event_type", "view")], {2}),
        ([("since", "2025-02-08T13:09:31.123456Z")], {1, 2, 3}),
        ([("since", "2025-02-08T14:09:31.123457+01:00")], set()),
        ([("contract", "click@2.0.0")], set()),
        ([("job", "job"), ("step", "decode")], {1, 2, 3}),
    ],
)
def test_a_selection_is_all_of_its_names_and_any_of_their_values(
    tmp_path: Path, chosen: list[tuple[str, str]], expected: set[int]
) -> None:
    log = write(
        tmp_path,
        load_rejected(click(), replace(KAFKA, offset=1)),
        replace(load_rejected(click(), replace(KAFKA, offset=2)), event_type="view"),
        load_rejected(click(), replace(KAFKA, offset=3), code="range"),
    )
    selection = select(chosen, "test")
    source = DeadLetterSource(selection.url(str(tmp_path / "a folder?")))
    assert (source.selection, source.url) == (selection, str(tmp_path / "a folder?"))
    assert {origin for batch in read(log, selection) for origin in batch.offsets} == expected


def test_it_is_a_bounded_source_of_the_graph(tmp_path: Path) -> None:
    write(tmp_path, load_rejected(click()))
    source = open_source(f"dead-letters:{tmp_path}?code=enum")
    source.check()
    assert (source.bounded, source.size()) == (True, None)

    def check(batches: list[RecordBatch]) -> None:
        assert [list(batch.records) for batch in batches] == [[click()]]

    with test_pipeline.TestPipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | "Read" >> source
        assert_that(read | beam.Map(lambda batch: batch), check)


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as unknown:
        open_source("dead-letters:x?colour=red")
    assert str(unknown.value) == (
        "dead-letters:x?colour=red: expected some of code, event_type, job, step, contract, since and quarantine, "
        "got 'colour'"
    )
    with pytest.raises(SourceError) as missing:
        open_source(f"dead-letters:{tmp_path}").check()
    assert str(missing.value) == f"{tmp_path}: expected the dead letters of a job, got no _log.json"


def test_a_damaged_letter_is_told_with_its_place(tmp_path: Path) -> None:
    log = write(tmp_path, load_rejected(click()))
    (path,) = (path for path in tmp_path.rglob("dead_letter*.json"))
    path.write_bytes(b"{}\n")
    with pytest.raises(StorageError) as damaged:
        read(log)
    assert str(damaged.value) == (
        f"{path}: line 1: expected a letter or a mark, got Object missing required field `letter_id`; restore it"
    )


def test_a_letter_of_an_older_version_comes_at_its_time(tmp_path: Path) -> None:
    log = write(tmp_path)
    letter: DeadLetter = msgspec.structs.replace(
        make_dead_letter(load_rejected(click()), "job", ARRIVAL), arrived_at=None
    )
    log.append(DEAD_LETTER, minute_of(letter.time), 0, [msgspec.json.encode(letter)])
    (batch,) = read(log)
    assert timedelta(seconds=batch.arrival) == letter.time - datetime(1970, 1, 1, tzinfo=UTC)
