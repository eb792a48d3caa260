from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from sluice.dead_letters.envelope import DeadLetter, dead_letter_contract, make_dead_letter
from sluice.elements import DEAD_LETTER, Rejected, Violation
from sluice.errors import REJECT_CODES
from sluice.provenance import Origin

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
    again = make_dead_letter(replace(REJECTED, origin=replace(ORIGIN, arrival=2000.0)), "other", 2.0)
    assert (first.letter_id, first.time) == (again.letter_id, again.time)
    elsewhere = make_dead_letter(replace(REJECTED, origin=replace(ORIGIN, offset=78)), "shop", 1.0)
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
    assert {prop.name: prop.required for prop in contract.properties} == fields
    (code,) = (prop for prop in contract.properties if prop.name == "code")
    assert list(code.enum) == list(REJECT_CODES)
