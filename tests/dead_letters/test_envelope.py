from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
import xxhash
from msgspec import structs
from sluice.dead_letters.envelope import (
    DeadLetter,
    Reason,
    Source,
    StoredDialect,
    dead_letter_contract,
    make_dead_letter,
    make_redelivery_entry,
    minute_of,
)
from sluice.elements import DEAD_LETTER, Rejected, Violation
from sluice.errors import REJECT_CODES
from sluice.provenance import CsvDialect, Origin, RedeliveryOrigin

NOW = datetime(2025, 2, 8, 14, 0, tzinfo=UTC)
ORIGIN = Origin("s3://b/k.json", arrival=1000.0, offset=77, attributes={"key": "v"})
REJECTED = Rejected(
    record=b'{"a":1}',
    origin=ORIGIN,
    step="decode",
    violations=(Violation("range", "a", "at most 0", "1"), Violation("missing", "b", "a string", "nothing")),
    event_type="thing",
    contract="thing@1.2.3",
    event_time=datetime(1970, 1, 1, 0, 1, 0, 500000, tzinfo=UTC),
)


def test_dead_letter_has_all_that_redelivery_needs() -> None:
    dead_letter = make_dead_letter(REJECTED, "shop", NOW.timestamp())
    assert msgspec.json.decode(msgspec.json.encode(dead_letter)) == {
        "letter_id": dead_letter.letter_id,
        "time": "1970-01-01T00:01:00.500000Z",
        "rejected_at": "2025-02-08T14:00:00Z",
        "job": "shop",
        "step": "decode",
        "code": "missing",
        "violations": [
            {"code": "range", "path": "a", "expected": "at most 0", "got": "1"},
            {"code": "missing", "path": "b", "expected": "a string", "got": "nothing"},
        ],
        "source": {"uri": "s3://b/k.json", "offset": 77},
        "payload": '{"a":1}',
        "event_type": "thing",
        "contract": "thing@1.2.3",
        "event_time": "1970-01-01T00:01:00.500000Z",
        "attributes": {"key": "v"},
        "arrived_at": "1970-01-01T00:16:40Z",
    }


@pytest.mark.parametrize("record", [b"", b"\x00", "é\u2028\n".encode(), b"\xff\xfe", b"\xed\xa0\x80", b"\r"])
def test_any_bytes_survive_in_a_dead_letter(record: bytes) -> None:
    dead_letter = make_dead_letter(replace(REJECTED, record=record), "shop", 0.0)
    encoded = msgspec.json.encode(dead_letter)
    assert b"\n" not in encoded
    assert msgspec.json.decode(encoded, type=DeadLetter).record == record


@pytest.mark.parametrize(("record", "text"), [(b'{"a":"\\u0000"', True), (b"a\0b", False), (b"\xff", False)])
def test_payload_is_text_if_every_warehouse_can_store_it(record: bytes, text: bool) -> None:
    dead_letter = make_dead_letter(replace(REJECTED, record=record), "shop", 0.0)
    assert ((dead_letter.payload is not None), (dead_letter.payload_base64 is None)) == (text, text)


def test_same_failure_is_the_same_dead_letter_at_any_time() -> None:
    first = make_dead_letter(REJECTED, "shop", 1.0)
    again = make_dead_letter(replace(REJECTED, origin=structs.replace(ORIGIN, arrival=2000.0)), "other", 2.0)
    assert (first.letter_id, first.time) == (again.letter_id, again.time)
    elsewhere = make_dead_letter(replace(REJECTED, origin=structs.replace(ORIGIN, offset=78)), "shop", 1.0)
    other = make_dead_letter(replace(REJECTED, record=b'{"a":2}'), "shop", 1.0)
    assert len({first.letter_id, elsewhere.letter_id, other.letter_id}) == 3


@pytest.mark.parametrize(
    ("minutes", "time", "placed"),
    [
        (1, datetime(2025, 2, 8, 13, 9, 30, 5, tzinfo=UTC), datetime(2025, 2, 8, 13, 9, 30, 5, tzinfo=UTC)),
        (60, datetime(2025, 2, 8, 13, 9, 30, 5, tzinfo=UTC), datetime(2025, 2, 8, 13, tzinfo=UTC)),
        (1440, datetime(2025, 2, 8, 13, 9, 30, 5, tzinfo=UTC), datetime(2025, 2, 8, tzinfo=UTC)),
        (1440, datetime(1969, 12, 31, 23, 59, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)),
        (1440, None, datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_dead_letters_are_placed_as_coarsely_as_their_events(
    minutes: int, time: datetime | None, placed: datetime
) -> None:
    dead_letter = make_dead_letter(replace(REJECTED, event_time=time, partition_minutes=minutes), "shop", 0.0)
    assert (dead_letter.time, dead_letter.event_time) == (placed, time)


def test_dead_letter_without_an_event_time_is_placed_by_its_arrival() -> None:
    dead_letter = make_dead_letter(replace(REJECTED, event_time=None), "shop", 0.0)
    assert (dead_letter.time, dead_letter.event_time) == (datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC), None)


def test_contract_of_dead_letters_has_the_fields_of_the_struct() -> None:
    contract = dead_letter_contract()
    assert (contract.event_type, contract.table) == (DEAD_LETTER, "dead_letters")
    fields = {field.encode_name: field.required for field in msgspec.structs.fields(DeadLetter)}
    in_extra = {"place": False, "untimed": False}  # of few records; a table keeps them in `_extra`
    assert {prop.name: prop.required for prop in contract.properties} | in_extra == fields
    (code,) = (prop for prop in contract.properties if prop.name == "code")
    assert list(code.enum) == list(REJECT_CODES)


def test_dead_letter_of_a_bounded_run_says_when_the_run_began() -> None:
    dead_letter = make_dead_letter(REJECTED, "shop", 0.0, run_started=NOW.timestamp())
    assert dead_letter.run_started_at == NOW
    assert make_dead_letter(REJECTED, "shop", 0.0, run_started=0.0).run_started_at == datetime(
        1970, 1, 1, tzinfo=UTC
    )


def test_dead_letter_of_a_record_without_type_or_attributes_leaves_them_out() -> None:
    plain = Rejected(b"{", Origin("f", 60.0), "decode", [Violation("not_json", "", "JSON", "{")])
    assert msgspec.json.decode(msgspec.json.encode(make_dead_letter(plain, "shop", 0.0))) == {
        "letter_id": xxhash.xxh3_128_hexdigest(b'{\0{"uri":"f"}'),
        "time": "1970-01-01T00:01:00Z",
        "rejected_at": "1970-01-01T00:00:00Z",
        "job": "shop",
        "step": "decode",
        "code": "not_json",
        "violations": [{"code": "not_json", "path": "", "expected": "JSON", "got": "{"}],
        "source": {"uri": "f"},
        "payload": "{",
        "arrived_at": "1970-01-01T00:01:00Z",
    }


@pytest.mark.parametrize(
    ("event_time", "time"),
    [(None, datetime(1970, 1, 1, tzinfo=UTC)), (REJECTED.event_time, REJECTED.event_time)],
)
def test_arrival_that_changes_when_it_is_read_again_places_no_dead_letter(
    event_time: datetime | None, time: datetime
) -> None:
    untimed = replace(REJECTED, origin=structs.replace(ORIGIN, timed=False), event_time=event_time)
    dead_letter = make_dead_letter(untimed, "shop", 0.0)
    assert (dead_letter.time, dead_letter.arrived_at) == (time, datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC))


def test_redelivered_record_keeps_its_dead_letter() -> None:
    first = RedeliveryOrigin("0123", 3, NOW, run_started=60.0)
    again = make_dead_letter(
        replace(REJECTED, origin=structs.replace(ORIGIN, redelivery=first)), "shop", 0.0, 120.0
    )
    assert (again.letter_id, again.attempts, again.time) == ("0123", 3, NOW)
    assert again.run_started_at == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rejected", "hashed"),
    [
        (REJECTED, b'{"a":1}\0{"uri":"s3://b/k.json","offset":77}'),
        (replace(REJECTED, quarantine_hash=b"keyed"), b'keyed\0{"uri":"s3://b/k.json","offset":77}'),
        (replace(REJECTED, quarantine_hash=b"keyed", identity=b"conflict\0pair"), b"conflict\0pair"),
    ],
    ids=["payload", "quarantine", "conflict"],
)
def test_dead_letter_is_named_by_its_payload_and_source(rejected: Rejected, hashed: bytes) -> None:
    assert make_dead_letter(rejected, "shop", 0.0).letter_id == xxhash.xxh3_128_hexdigest(hashed)


def test_dead_letter_of_a_row_has_its_dialect_and_what_is_masked_in_it() -> None:
    row = replace(
        REJECTED, dialect=CsvDialect(("a", "\udcff"), ";", "cp1252", ("a",)), masked=frozenset("ba")
    )
    stored = msgspec.json.decode(msgspec.json.encode(make_dead_letter(row, "shop", 0.0)))
    assert stored["layout"] == {
        "columns": ["a", "\\udcff"],
        "delimiter": ";",
        "encoding": "cp1252",
        "decimal_commas": ["a"],
    }
    assert stored["protected"] == ["a", "b"]
    points = make_dead_letter(replace(REJECTED, dialect=CsvDialect(("a",), ",", "")), "shop", 0.0)
    assert msgspec.json.encode(points.layout) == b'{"columns":["a"],"delimiter":",","encoding":""}'


def test_text_that_is_not_unicode_is_stored_as_its_escape() -> None:
    origin = structs.replace(ORIGIN, uri="\udcff/é", message_id="\ud800", attributes={"\udcfe": "ü\udcfd"})
    violations = [Violation("enum", "\udcfc", "ß", "\udcfb")]
    strange = replace(REJECTED, origin=origin, violations=violations, event_type="\udcfa", contract="é@1")
    dead_letter = msgspec.json.decode(
        msgspec.json.encode(make_dead_letter(strange, "shop", 0.0)), type=DeadLetter
    )
    assert dead_letter.source == Source("\\udcff/é", offset=77, message_id="\\ud800")
    assert dead_letter.attributes == {"\\udcfe": "ü\\udcfd"}
    assert dead_letter.violations == [Reason("enum", "\\udcfc", "ß", "\\udcfb")]
    assert (dead_letter.event_type, dead_letter.contract) == ("\\udcfa", "é@1")


@pytest.mark.parametrize("quarantined", [False, True])
def test_redelivery_entry_says_what_became_of_its_dead_letter(quarantined: bool) -> None:
    first = RedeliveryOrigin("0123", 2, NOW, quarantined=quarantined)
    accepted = {
        "letter_id": "0123",
        "attempt": 2,
        "time": "2025-02-08T14:00:00Z",
        "redelivered_at": "1970-01-01T00:01:00Z",
        "job": "shop",
        "outcome": "accepted",
    }
    rejected = {**accepted, "outcome": "rejected", "code": "missing", "contract": "thing@1.2.3"}
    if not quarantined:  # whose reasons may quote raw values
        rejected["violations"] = [
            {"code": "range", "path": "a", "expected": "at most 0", "got": "1"},
            {"code": "missing", "path": "b", "expected": "a string", "got": "nothing"},
        ]
    for dead_letter, expected in ((None, accepted), (make_dead_letter(REJECTED, "shop", 0.0), rejected)):
        entry = msgspec.json.encode(make_redelivery_entry(first, "shop", 60.0, dead_letter))
        assert msgspec.json.decode(entry) == expected


@pytest.mark.parametrize(
    ("time", "minute"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 0, 59, 999_999, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 1, tzinfo=UTC), 60),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -60),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), 253_402_300_740),
    ],
)
def test_minute_of_a_time_is_exact(time: datetime, minute: int) -> None:
    assert minute_of(time) == minute


@pytest.mark.parametrize(
    "part",
    [
        Source("f"),
        Reason("enum", "a", "b", "c"),
        StoredDialect(("a",), ",", ""),
        make_dead_letter(REJECTED, "shop", 0.0),
        make_redelivery_entry(RedeliveryOrigin("0123", 2, NOW), "shop", 0.0),
    ],
    ids=lambda part: type(part).__name__,
)
def test_stored_part_of_a_dead_letter_cannot_be_changed(part: msgspec.Struct) -> None:
    with pytest.raises(AttributeError, match="immutable type"):
        setattr(part, part.__struct_fields__[0], "other")
