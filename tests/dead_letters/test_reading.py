"""Dead letters that are read back keep their first origin, arrival and deduplication key."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec import structs
from sluice.dead_letters.envelope import DeadLetter, make_dead_letter, make_redelivery_entry, minute_of
from sluice.dead_letters.log import DeadLetterLog
from sluice.dead_letters.reading import (
    MinuteSegments,
    SelectedDeadLetters,
    find_minutes,
    read_batches,
    read_minute,
    read_rows,
    read_states,
)
from sluice.dead_letters.selection import Selection
from sluice.elements import DEAD_LETTER, REDELIVERY, RecordBatch, Rejected, Violation
from sluice.errors import StorageError
from sluice.provenance import CsvDialect, Origin, RedeliveryOrigin, RedeliveryProvenance
from sluice.validation.age_limits import AgeLimits
from sluice.validation.masking import MASKED_VALUE
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
    assert {uri: structs.replace(origin, redelivery=None) for uri, (_, origin, *_) in records.items()} == {
        "kafka://b/t": KAFKA,
        "in/a.csv": file,
        "pubsub://s": sent,
    }
    assert records["in/a.csv"][2:] == ([ARRIVAL], rows)
    for batch in batches:
        for n, record in enumerate(batch.records):
            again = make_dead_letter(rejected_click(record, batch.origin(n)), "job", ARRIVAL + 99)
            first = make_dead_letter(
                rejected_click(record, structs.replace(batch.origin(n), redelivery=None)), "job", ARRIVAL + 1
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
    origins = [structs.replace(KAFKA, offset=n) for n in range(4)]
    (batch,) = read(store(tmp_path, *map(rejected_click, records, origins)))
    assert decode(batch) == ["too_late", "in_future"]
    assert decode(batch, allowed_lateness=3601.0, max_skew=601.0) == []


def test_age_of_a_record_of_a_bounded_run_counts_from_the_start_of_that_run(tmp_path: Path) -> None:
    started = ARRIVAL + 86400.5
    records = [click(ARRIVAL - 10 * 86400), click(started + 600), click(started + 601)]
    origins = [structs.replace(KAFKA, offset=n) for n in range(3)]
    (batch,) = read(store(tmp_path, *map(rejected_click, records, origins), started=started))
    assert decode(batch) == ["in_future"]


def test_delivery_key_of_a_redelivered_record_is_its_first(tmp_path: Path) -> None:
    (batch,) = read(store(tmp_path, rejected_click(click())))
    ages = AgeLimits(600, 3600, ARRIVAL)
    (lines,) = RecordDecoder({"click": CLICK}, None, ages, 1).decode(batch).events.values()
    assert lines[0].endswith(b',"_id":"kafka://b/t/3/41"}')


def test_redelivery_entries_close_dead_letters_and_count_attempts(tmp_path: Path) -> None:
    log = store(tmp_path, *(rejected_click(click(), structs.replace(KAFKA, offset=n)) for n in range(3)))
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
    assert (result.accepted_before, result.rows, result.undecidable) == (1, [], 0)
    states = {state.dead_letter.letter_id: state for state in read_states(minute, log, Selection())}
    assert [(states[each.letter_id].status, states[each.letter_id].attempts) for each in dead_letters] == [
        ("redelivered", 2),
        ("resolved", 2),
        ("open", 1),
    ]


def test_row_rejected_by_the_warehouse_is_no_record(tmp_path: Path) -> None:
    log = store(tmp_path, replace(rejected_click(click(), code="rejected_by_warehouse"), step="load"))
    (minute,) = find_minutes(log)
    result = read_minute(minute, log, Selection())
    assert (result.open, [row.attempt for row in result.rows]) == ([], [2])
    assert list(read_batches(minute, log, Selection())) == []
    ((key, row),) = read_rows(minute, log, Selection())
    assert (key, row) == (("click", row.dead_letter.source.uri), result.rows[0])
    entry = make_redelivery_entry(
        RedeliveryOrigin(row.dead_letter.letter_id, 2, row.dead_letter.time), "job", 0.0
    )
    log.append(REDELIVERY, minute.minute, 0, [msgspec.json.encode(entry)])
    result = read_minute(minute, log, Selection())
    assert (result.rows, result.accepted_before) == ([], 1)


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


def test_minutes_are_those_with_dead_letters_in_order(tmp_path: Path) -> None:
    later, earlier = structs.replace(KAFKA, arrival=ARRIVAL + 60), structs.replace(KAFKA, offset=42)
    log = store(
        tmp_path,
        rejected_click(click(), later),
        rejected_click(click()),
        rejected_click(click(), earlier),
        replace(rejected_click(b"{"), quarantine_hash=b"hash"),
    )
    (tmp_path / "notes.txt").write_text("")
    minute = int(ARRIVAL) // 60 * 60
    entry = make_redelivery_entry(
        RedeliveryOrigin("0123", 2, datetime.fromtimestamp(ARRIVAL + 120, UTC)), "job", 0.0
    )
    log.append(REDELIVERY, minute + 120, 0, [msgspec.json.encode(entry)])
    folder = f"{tmp_path}/2025/02/08/13"
    assert find_minutes(log) == [
        MinuteSegments(
            minute,
            (
                f"{folder}/09/dead_letter_2025020813090001.json",
                f"{folder}/09/dead_letter_2025020813090002.json",
            ),
            (f"{tmp_path}/quarantine/2025/02/08/13/09/dead_letter_2025020813090001.json",),
        ),
        MinuteSegments(minute + 60, (f"{folder}/10/dead_letter_2025020813100001.json",), ()),
    ]


def masked_click(offset: int, *violations: Violation) -> Rejected:
    return replace(rejected_click(click(), structs.replace(KAFKA, offset=offset)), violations=violations)


def test_dead_letter_that_is_not_open_is_counted_by_its_reason(tmp_path: Path) -> None:
    plain = Violation("enum", "kind", "one of old", '"new"')
    masked = Violation("format", "mail", "an address", MASKED_VALUE)
    log = store(
        tmp_path,
        *(replace(masked_click(offset, plain), step="load") for offset in range(1)),
        *(replace(masked_click(offset, plain), step="append") for offset in range(10, 12)),
        *(masked_click(offset, plain, masked) for offset in range(20, 23)),
        *(masked_click(offset, plain) for offset in range(30, 38)),
    )
    (minute,) = find_minutes(log)
    opened = read_minute(minute, log, Selection()).open
    assert sorted(letter.dead_letter.source.offset or 0 for letter in opened) == list(range(30, 38))
    accepted = [
        make_redelivery_entry(RedeliveryOrigin(letter.letter_id, 2, letter.time), "job", 0.0)
        for letter, *_ in opened[:4]
    ]
    log.append(REDELIVERY, minute.minute, 0, [msgspec.json.encode(entry) for entry in accepted])
    result = read_minute(minute, log, Selection())
    assert result.open == opened[4:]
    assert (len(result.rows), result.conflicting, result.undecidable, result.accepted_before) == (
        1,
        2,
        3,
        4,
    )
    others = Selection({"code": frozenset({"missing"})})
    assert read_minute(minute, log, others) == SelectedDeadLetters()


def test_attempt_counts_on_from_the_last_delivery_that_is_known(tmp_path: Path) -> None:
    redelivered = RedeliveryOrigin(
        "ab", 5, datetime.fromtimestamp(ARRIVAL, UTC)
    )  # its first dead letter is lost
    log = store(tmp_path, rejected_click(click(), structs.replace(KAFKA, redelivery=redelivered)))
    (minute,) = find_minutes(log)
    assert [letter.attempt for letter in read_minute(minute, log, Selection()).open] == [6]
    letter = read_minute(minute, log, Selection()).open[0].dead_letter
    for attempt, following in ((4, 6), (7, 8), (6, 8)):
        entry = make_redelivery_entry(replace(redelivered, attempt=attempt), "job", 0.0, letter)
        log.append(REDELIVERY, minute.minute, 0, [msgspec.json.encode(entry)])
        assert [opened.attempt for opened in read_minute(minute, log, Selection()).open] == [following]


def test_entry_of_a_first_delivery_makes_the_next_one_the_second(tmp_path: Path) -> None:
    log = store(tmp_path, rejected_click(click()))
    (minute,) = find_minutes(log)
    (opened,) = read_minute(minute, log, Selection()).open
    origin = RedeliveryOrigin(opened.dead_letter.letter_id, 1, opened.dead_letter.time)
    entry = make_redelivery_entry(origin, "job", 0.0, opened.dead_letter)
    log.append(REDELIVERY, minute.minute, 0, [msgspec.json.encode(entry)])
    assert [opened.attempt for opened in read_minute(minute, log, Selection()).open] == [2]


HALF_MIB = 512 * 1024


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([HALF_MIB, 2, 3], [[HALF_MIB], [2, 3]]),
        ([HALF_MIB - 1, 1, 2, 3], [[HALF_MIB - 1, 1], [2, 3]]),
        ([HALF_MIB - 2, 1, 2, 3], [[HALF_MIB - 2, 1, 2], [3]]),
        ([HALF_MIB, HALF_MIB - 2, 2, 3], [[HALF_MIB], [HALF_MIB - 2, 2], [3]]),
        ([HALF_MIB + 1, HALF_MIB - 1, 2, 3], [[HALF_MIB + 1], [HALF_MIB - 1, 2], [3]]),
        ([1, HALF_MIB], [[1, HALF_MIB]]),
    ],
)
def test_batch_ends_with_the_record_that_brings_it_to_half_a_mebibyte(
    tmp_path: Path, sizes: list[int], batches: list[list[int]]
) -> None:
    log = store(
        tmp_path,
        *(rejected_click(b"x" * size, structs.replace(KAFKA, offset=n)) for n, size in enumerate(sizes)),
    )
    assert [[len(record) for record in batch.records] for batch in read(log)] == batches


def provenances(batches: list[RecordBatch]) -> list[RedeliveryProvenance]:
    return [batch.provenance for batch in batches if isinstance(batch.provenance, RedeliveryProvenance)]


def test_records_of_a_batch_are_alike(tmp_path: Path) -> None:
    points = CsvDialect(("a", "b"), ",", "", ())
    kinds = [
        rejected_click(click()),
        replace(rejected_click(b"1,2"), dialect=points),
        replace(rejected_click(b"3;4"), dialect=replace(points, delimiter=";")),
        replace(rejected_click(click()), masked=frozenset({"mail", "box.mail"})),
    ]
    twice = [replace(kind, origin=structs.replace(KAFKA, offset=n)) for n, kind in enumerate(kinds * 2)]
    batches = read(store(tmp_path, *twice))
    assert [[origin.offset for origin in origins_of(batch)] for batch in batches] == [
        [0, 4],
        [1, 5],
        [2, 6],
        [3, 7],
    ]
    assert [batch.dialect for batch in batches] == [None, points, replace(points, delimiter=";"), None]
    assert [provenance.masked for provenance in provenances(batches)] == [
        frozenset(),
        frozenset(),
        frozenset(),
        frozenset({"mail", "box.mail"}),
    ]
    assert [provenance.run_started for provenance in provenances(batches)] == [None] * 4


def test_records_of_runs_that_began_at_other_times_are_apart(tmp_path: Path) -> None:
    for offset, started in enumerate((None, 0.0, 60.5)):
        log = store(tmp_path, rejected_click(click(), structs.replace(KAFKA, offset=offset)), started=started)
    batches = read(log)
    assert [provenance.run_started for provenance in provenances(batches)] == [None, 0.0, 60.5]
    redeliveries = [batch.origin(0).redelivery for batch in batches]
    assert [origin.run_started for origin in redeliveries if origin] == [None, 0.0, 60.5]


def test_damage_is_reported_with_its_line(tmp_path: Path) -> None:
    log = store(tmp_path, rejected_click(click()))
    (path,) = (path for path in tmp_path.rglob("dead_letter*.json"))
    path.write_bytes(path.read_bytes() + b"[]\n")
    with pytest.raises(StorageError, match=f"^{path}: line 2: expected a dead letter or a redelivery entry"):
        read(log)
