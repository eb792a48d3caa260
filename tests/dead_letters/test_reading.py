"""Dead letters that are read back keep their first origin, arrival and deduplication key."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sluice.dead_letters.envelope import DeadLetter, make_dead_letter, make_redelivery_entry, minute_of
from sluice.dead_letters.log import DeadLetterLog
from sluice.dead_letters.reading import find_minutes, read_batches, read_minute
from sluice.dead_letters.selection import Selection
from sluice.elements import DEAD_LETTER, REDELIVERY, RecordBatch
from sluice.errors import StorageError
from sluice.provenance import CsvDialect, Origin, RedeliveryOrigin
from sluice.validation.age_limits import AgeLimits
from sluice.validation.records import RecordDecoder

from tests.dead_letters.samples import ARRIVAL, CLICK, KAFKA, click, rejected_click, store
from tests.origins import origins_of


def read(log: DeadLetterLog, selection: Selection | None = None) -> list[RecordBatch]:
    return [
        batch
        for minute in find_minutes(log)
        for batch in read_batches(minute, log, selection if selection is not None else Selection())
    ]


def test_redelivered_record_keeps_its_first_origin(tmp_path: Path) -> None:
    file = Origin("in/a.csv", ARRIVAL, offset=7, line=2)
    rows = CsvDialect(("at", "kind"), ";", "cp1252", ("kind",))
    sent = Origin("pubsub://s", ARRIVAL, offset=0, message_id="m-1", attributes={"a": "b"})
    log = store(
        tmp_path,
        rejected_click(b"\xff\x00"),
        replace(rejected_click(b"x;y", file), dialect=rows),
        rejected_click(click(), sent),
    )
    batches = read(log)
    records = {
        batch.origin(n).uri: (record, batch.origin(n), batch.provenance.arrivals, batch.dialect)
        for batch in batches
        for n, record in enumerate(batch.records)
    }
    assert {uri: record for uri, (record, *_) in records.items()} == {
        "kafka://b/t": b"\xff\x00",
        "in/a.csv": b"x;y",
        "pubsub://s": click(),
    }
    assert {uri: replace(origin, redelivery=None) for uri, (_, origin, *_) in records.items()} == {
        "kafka://b/t": KAFKA,
        "in/a.csv": file,
        "pubsub://s": sent,
    }
    assert records["in/a.csv"][2:] == ([ARRIVAL], rows)
    for batch in batches:
        for n, record in enumerate(batch.records):
            again = make_dead_letter(rejected_click(record, batch.origin(n)), "job", ARRIVAL + 99)
            first = make_dead_letter(
                rejected_click(record, replace(batch.origin(n), redelivery=None)), "job", ARRIVAL + 1
            )
            assert (again.letter_id, again.time, again.attempts) == (first.letter_id, first.time, 2)


def test_redelivered_record_keeps_its_minute_when_its_time_becomes_readable(tmp_path: Path) -> None:
    record = click(ARRIVAL - 600)
    (batch,) = read(store(tmp_path, rejected_click(record, code="unknown_type")))
    time = datetime.fromtimestamp(ARRIVAL - 600, UTC)
    again = make_dead_letter(replace(rejected_click(record, batch.origin(0)), event_time=time), "job", 0.0)
    assert (again.time, again.event_time) == (datetime.fromtimestamp(ARRIVAL, UTC), time)


def decode(batch: RecordBatch, **limits: float) -> list[str]:
    """Return the codes of rejection in a redelivery that runs a year later."""
    ages = AgeLimits(**{"max_skew": 600, "allowed_lateness": 3600, **limits}, started=ARRIVAL + 365 * 86400)
    return [
        rejected.violations[0].code
        for rejected in RecordDecoder({"click": CLICK}, None, ages, 1).decode(batch).rejected
    ]


def test_age_of_a_live_record_counts_from_its_first_arrival(tmp_path: Path) -> None:
    records = [click(ARRIVAL - 3600), click(ARRIVAL - 3601), click(ARRIVAL + 600), click(ARRIVAL + 601)]
    origins = [replace(KAFKA, offset=n) for n in range(4)]
    (batch,) = read(store(tmp_path, *map(rejected_click, records, origins)))
    assert decode(batch) == ["too_late", "in_future"]
    assert decode(batch, allowed_lateness=3601.0, max_skew=601.0) == []


def test_age_of_a_record_of_a_bounded_run_counts_from_the_start_of_that_run(tmp_path: Path) -> None:
    started = ARRIVAL + 86400.5
    records = [click(ARRIVAL - 10 * 86400), click(started + 600), click(started + 601)]
    origins = [replace(KAFKA, offset=n) for n in range(3)]
    (batch,) = read(store(tmp_path, *map(rejected_click, records, origins), started=started))
    assert decode(batch) == ["in_future"]


def test_delivery_key_of_a_redelivered_record_is_its_first(tmp_path: Path) -> None:
    (batch,) = read(store(tmp_path, rejected_click(click())))
    ages = AgeLimits(600, 3600, ARRIVAL)
    (lines,) = RecordDecoder({"click": CLICK}, None, ages, 1).decode(batch).events.values()
    assert lines[0].endswith(b',"_id":"kafka://b/t/3/41"}')


def test_redelivery_entries_close_dead_letters_and_count_attempts(tmp_path: Path) -> None:
    log = store(tmp_path, *(rejected_click(click(), replace(KAFKA, offset=n)) for n in range(3)))
    (minute,) = find_minutes(log)
    dead_letters = [record.dead_letter for record in read_minute(minute, log, Selection()).open]
    assert [record.attempt for record in read_minute(minute, log, Selection()).open] == [2, 2, 2]
    known = [RedeliveryOrigin(dead_letter.letter_id, 2, dead_letter.time) for dead_letter in dead_letters]
    entries = [
        make_redelivery_entry(known[0], "job", 0.0, dead_letters[0]),
        make_redelivery_entry(known[1], "job", 0.0),
        make_redelivery_entry(known[0], "job", 1.0),  # of one attempt the first entry stays
    ]
    log.append(REDELIVERY, minute[0], 0, [msgspec.json.encode(entry) for entry in entries])
    result = read_minute(minute, log, Selection())
    assert [(record.dead_letter.letter_id, record.attempt) for record in result.open] == [
        (dead_letters[0].letter_id, 3),
        (dead_letters[2].letter_id, 2),
    ]
    assert (result.accepted_before, result.load_rejected, result.undecidable) == (1, 0, 0)


def test_row_rejected_by_the_warehouse_is_not_open(tmp_path: Path) -> None:
    log = store(tmp_path, replace(rejected_click(click(), code="rejected_by_warehouse"), step="load"))
    (minute,) = find_minutes(log)
    result = read_minute(minute, log, Selection())
    assert (result.open, result.load_rejected) == ([], 1)


def test_quarantined_dead_letter_is_read_from_its_own_folder(tmp_path: Path) -> None:
    log = store(tmp_path, rejected_click(click()), replace(rejected_click(b"{"), quarantine_hash=b"hash"))
    origins = [origin for batch in read(log) for origin in origins_of(batch)]
    assert [origin.redelivery.quarantined for origin in origins if origin.redelivery is not None] == [
        False,
        True,
    ]
    assert [path.name for path in (tmp_path / "quarantine").rglob("*.json")] == [
        "dead_letter_2025020813090001.json"
    ]


def test_damaged_dead_letter_is_reported_with_its_place(tmp_path: Path) -> None:
    log = store(tmp_path, rejected_click(click()))
    (path,) = (path for path in tmp_path.rglob("dead_letter*.json"))
    path.write_bytes(b"{}\n")
    with pytest.raises(StorageError) as damaged:
        read(log)
    assert str(damaged.value) == (
        f"{path}: line 1: expected a dead letter or a redelivery entry, "
        "got Object missing required field `letter_id`; restore it"
    )


def test_dead_letter_without_arrival_arrives_at_its_time(tmp_path: Path) -> None:
    log = store(tmp_path)
    dead_letter: DeadLetter = msgspec.structs.replace(
        make_dead_letter(rejected_click(click()), "job", ARRIVAL), arrived_at=None
    )
    log.append(DEAD_LETTER, minute_of(dead_letter.time), 0, [msgspec.json.encode(dead_letter)])
    (batch,) = read(log)
    assert timedelta(seconds=batch.arrival) == dead_letter.time - datetime(1970, 1, 1, tzinfo=UTC)
