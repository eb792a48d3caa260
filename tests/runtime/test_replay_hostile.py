"""Any bytes at all as a record: an accepted event or a letter, with the identical bytes, never less, never more."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sluice.arrow.from_json import to_table
from sluice.config.job import load_job
from sluice.dead_letters.envelope import DeadLetter, make_dead_letter
from sluice.elements import RecordBatch, Segment
from sluice.provenance import FileProvenance
from sluice.validation.age_limits import AgeLimits
from sluice.validation.deduplication_keys import compile_deduplication_key
from sluice.validation.records import RecordDecoder

from tests.runtime.replay_fixture import JOB, ROOT, Replay, lines_of

ACCEPTED = "accepted"
MINUTE = "2025/02/08/13/09"
PLAIN = "9e107d9d-0000-4000-8000-00000000002a"
BIG = 20_000_000


def event(
    number: int, more: bytes = b"", time: bytes = b'"2025-02-08T13:09:00Z"', change: bytes = b"1"
) -> bytes:
    """Return an inventory event; `more` is put behind its last property."""
    return (
        b'{"event_type":"inventory","inventory_id":"9e107d9d-0000-4000-8000-%012x","product_id":"%b",'
        b'"warehouse_id":"%b","reason":"sale","quantity_change":%b,"timestamp":%b%b}'
    ) % (number, PLAIN.encode(), PLAIN.encode(), change, time, more)


def nested(depth: int) -> bytes:
    return b',"x":' + b"[" * depth + b"]" * depth


class Case(NamedTuple):
    """What is sent, and what it must become: ACCEPTED or the code of its letter; where, if accepted."""

    record: bytes
    verdict: str
    minute: str = MINUTE
    extra: str | None = None


def unknown(number: int, text: bytes, verdict: str = ACCEPTED, extra: str | None = None) -> Case:
    """Return an event with the unknown property `x`, whose value is `text`, kept in `_extra` as it stands."""
    kept = extra or '{"x":' + text.decode("utf-8", "replace") + "}"
    return Case(event(number, b',"x":' + text), verdict, extra=kept if verdict == ACCEPTED else None)


def timed(number: int, time: str, verdict: str = ACCEPTED, minute: str = MINUTE) -> Case:
    return Case(event(number, time=f'"{time}"'.encode()), verdict, minute)


CASES: dict[str, Case] = {
    "plain": Case(event(1), ACCEPTED),
    "not UTF-8": Case(b"\xff\xfe", "not_json"),
    "not UTF-8 in an unknown property": unknown(2, b'"\xff"', "not_json"),
    "not UTF-8 in a key": Case(event(3, b',"\xc3":1'), "not_json"),
    "overlong UTF-8": unknown(4, b'"\xc0\xaf"', "not_json"),
    "a surrogate in UTF-8": unknown(5, b'"\xed\xa0\x80"', "not_json"),
    "a code point above the last": unknown(6, b'"\xf4\x90\x80\x80"', "not_json"),
    "an escaped lone surrogate": unknown(7, b'"\\ud800"', "not_json"),
    "surrogates in the wrong order": unknown(8, b'"\\udc00\\ud800"', "not_json"),
    "an escaped lone surrogate as key": Case(event(9, b',"\\ud800":1'), "not_json"),
    "an escaped pair of surrogates": unknown(10, b'"\\uD83D\\uDE00"'),
    "four bytes of UTF-8": unknown(11, '"😀"'.encode()),
    "NUL alone": Case(b"\0", "not_json"),
    "many NULs": Case(b"\0" * 100_000, "not_json"),
    "NUL in a string": unknown(12, b'"\0"', "not_json"),
    "NUL behind": Case(event(13) + b"\0", "not_json"),
    "an escaped NUL": unknown(14, b'"\\u0000"'),
    "a control character in a string": unknown(15, b'"\x1f"', "not_json"),
    "a tab in a string": unknown(16, b'"\t"', "not_json"),
    "DEL in a string": unknown(17, b'"\x7f"'),
    "100,000 brackets": Case(b"[" * 100_000, "not_json"),
    "100,000 braces": Case(b'{"a":' * 100_000, "not_json"),
    "100,000 balanced brackets": Case(b"[" * 100_000 + b"]" * 100_000, "not_json"),
    "100,000 brackets in an unknown property": Case(event(18, nested(100_000)), "not_json"),
    "200 deep": Case(event(19, nested(200)), ACCEPTED),
    "255 deep, with the event 256": Case(event(20, nested(255)), ACCEPTED),
    "256 deep, with the event 257": Case(event(21, nested(256)), "not_json"),
    "300 deep": Case(event(22, nested(300)), "not_json"),
    "1,000 deep": Case(event(23, nested(1000)), "not_json"),
    "brackets in a string": unknown(24, b'"' + b"[" * 100_000 + b'"'),
    "1e999": unknown(25, b"1e999"),
    "-1e999": unknown(26, b"-1e999"),
    "1e-999999999999": unknown(27, b"1e-999999999999"),
    "1e999 as an integer": Case(event(28, change=b"1e999"), "type"),
    "an integer of 5,000 digits": unknown(29, b"9" * 5000),
    "5,000 digits as an integer": Case(event(30, change=b"9" * 5000), "range"),
    "a fraction of 400 digits": unknown(31, b"0." + b"0" * 400 + b"1"),
    "-0": Case(event(32, change=b"-0"), ACCEPTED),
    "2 to the 63": Case(event(33, change=b"9223372036854775808"), "range"),
    "NaN": unknown(34, b"NaN", "not_json"),
    "Infinity": unknown(35, b"-Infinity", "not_json"),
    "NaN as an integer": Case(event(36, change=b"NaN"), "not_json"),
    "01": unknown(37, b"01", "not_json"),
    "1.": unknown(38, b"1.", "not_json"),
    "+1": unknown(39, b"+1", "not_json"),
    "tru": unknown(40, b"tru", "not_json"),
    "a comment": Case(event(41) + b"//", "not_json"),
    "a repeated key": Case(event(42, b',"reason":"sale"'), ACCEPTED),
    "a repeated unknown key": Case(event(43, b',"x":1,"x":2'), ACCEPTED, extra='{"x":2}'),
    "a repeated key whose last value is wrong": Case(event(44, b',"reason":"theft"'), "enum"),
    "a repeated event type": Case(event(45, b',"event_type":"inventory"'), ACCEPTED),
    "an empty key": Case(event(46, b',"":1'), ACCEPTED, extra='{"":1}'),
    "a key with escapes": Case(event(47, b',"\\u0078\\"\\n":1'), ACCEPTED, extra='{"x\\"\\n":1}'),
    "an escaped key of the contract": Case(event(48).replace(b'"reason"', b'"\\u0072eason"'), ACCEPTED),
    "a key of 100,000 bytes": Case(
        event(49, b',"' + b"k" * 100_000 + b'":1'), ACCEPTED, extra='{"' + "k" * 100_000 + '":1}'
    ),
    "10,000 unknown properties": Case(
        event(50, b"".join(b',"p%d":%d' % (n, n) for n in range(10_000))),
        ACCEPTED,
        extra="{" + ",".join(f'"p{n}":{n}' for n in range(10_000)) + "}",
    ),
    "keys that Sluice adds to rows": Case(
        event(51, b',"_id":"a","_extra":"b","_event_id":"c","event_date":"d"'),
        ACCEPTED,
        extra='{"_id":"a","_extra":"b","_event_id":"c","event_date":"d"}',
    ),
    "a byte order mark": Case(b"\xef\xbb\xbf" + event(52), "not_json"),
    "a carriage return behind": Case(event(53) + b"\r", ACCEPTED),
    "spaces around": Case(b" \t" + event(54) + b"  ", ACCEPTED),
    "spaces alone": Case(b"   ", "not_json"),
    "a form feed": Case(b"\f", "not_json"),
    "two events": Case(event(55) + event(56), "not_json"),
    "half an event": Case(event(57)[:100], "not_json"),
    "a string": Case(b'"text"', "not_an_object"),
    "an empty array": Case(b"[]", "not_an_object"),
    "an event in an array": Case(b"[" + event(58) + b"]", "not_an_object"),
    "an empty object": Case(b"{}", "unknown_type"),
    "no type": Case(b'{"event_type":null}', "unknown_type"),
    "a type that is no text": Case(b'{"event_type":["order"]}', "unknown_type"),
    "a line of 20 MB, accepted": Case(event(59, b',"x":"' + b"a" * BIG + b'"'), ACCEPTED),
    "a line of 20 MB that is no JSON": Case(b"x" * BIG, "not_json"),
    "a line of 20 MB of backslashes": Case(b"\\" * BIG, "not_json"),
    "a line of 5 MB of NULs": Case(b"\0" * 5_000_000, "not_json"),
    "a line of 20 MB that is not UTF-8": Case(b"\xff" * BIG, "not_json"),
    "the first instant": timed(60, "0001-01-01T00:00:00Z", minute="0001/01/01/00/00"),
    "before the first instant": timed(61, "0001-01-01T00:00:00+23:59", "range"),
    "year 0": timed(62, "0000-01-01T00:00:00Z", "format"),
    "the last instant": timed(63, "9999-12-31T23:59:59Z", "in_future"),
    "the last microsecond": timed(64, "9999-12-31T23:59:59.999999Z", "in_future"),
    "after the last instant": timed(65, "9999-12-31T23:59:59-23:59", "range"),
    "year 10000": timed(66, "10000-01-01T00:00:00Z", "format"),
    "the last microsecond of a minute long ago": timed(
        67, "1000-01-01T00:00:59.999999Z", minute="1000/01/01/00/00"
    ),
    "the last microsecond of a minute in year 1": timed(
        68, "0001-01-01T00:00:59.999999Z", minute="0001/01/01/00/00"
    ),
    "the microsecond before 1970": timed(69, "1969-12-31T23:59:59.999999Z", minute="1969/12/31/23/59"),
    "lower case t and z": timed(70, "2025-02-08t13:09:00z"),
    "seven decimals": timed(71, "2025-02-08T13:09:00.1234567Z"),
    "thirty decimals": timed(72, "2025-02-08T13:09:00.123456789012345678901234567890Z"),
    "offset +14:00": timed(73, "2025-02-09T03:09:00+14:00"),
    "offset -23:59": timed(74, "2025-02-07T13:10:00-23:59"),
    "offset +05:45": timed(75, "2025-02-08T18:54:00+05:45"),
    "no offset": timed(76, "2025-02-08T13:09:00"),
    "offset +24:00": timed(77, "2025-02-08T13:09:00+24:00", "format"),
    "a leap second": timed(78, "2016-12-31T23:59:60Z", "format"),
    "24 o'clock": timed(79, "2025-02-08T24:00:00Z", "format"),
    "29 February of another year": timed(80, "2025-02-29T13:09:00Z", "format"),
    "29 February": timed(81, "2024-02-29T13:09:00Z", minute="2024/02/29/13/09"),
    "a week date": timed(82, "2025-W06-6T13:09:00Z", "format"),
    "Arabic digits": timed(83, "٢٠٢٥-02-08T13:09:00Z", "format"),
    "a time of epoch seconds": Case(event(84, time=b"1739020140"), "type"),
}


class Outcome(NamedTuple):
    """What the run made: accepted line -> where it is stored, and letters by payload."""

    lines: Counter[tuple[str, bytes]]
    letters: Counter[tuple[str, bytes]]
    replay: Replay
    offsets: dict[bytes, int]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Send all cases as lines of one file, in one run; starting a run costs seconds."""
    folder = tmp_path_factory.mktemp("hostile")
    records = [case.record for case in CASES.values()]
    (folder / "in").write_bytes(b"\n\n".join(records))
    with TemporaryDirectory(prefix="replay") as scratch:
        replay = Replay(folder / "out", Path(scratch))
        replay.run(folder / "in")
        lines = Counter(
            {
                (name, line): times
                for name, stored in replay.events().items()
                for line, times in stored.items()
            }
        )
        letters = Counter((letter["code"], payload(letter)) for letter in replay.letters())
        offsets = {payload(letter): letter["source"]["offset"] for letter in replay.letters()}
        yield Outcome(lines, letters, replay, offsets)


def payload(letter: dict[str, Any]) -> bytes:
    assert ("payload" in letter) != ("payload_base64" in letter)
    return letter["payload"].encode() if "payload" in letter else base64.b64decode(letter["payload_base64"])


@pytest.mark.parametrize("name", CASES)
def test_record_becomes_an_event_or_a_dead_letter_with_identical_bytes(outcome: Outcome, name: str) -> None:
    case = CASES[name]
    as_event = {where: times for (where, line), times in outcome.lines.items() if line == case.record}
    as_letter = {code: times for (code, record), times in outcome.letters.items() if record == case.record}
    if case.verdict == ACCEPTED:
        assert (as_event, as_letter) == ({f"inventory/{case.minute}": 1}, {})
    else:
        assert (as_event, as_letter) == ({}, {case.verdict: 1})


def test_no_hostile_record_is_lost_or_added(outcome: Outcome) -> None:
    verdicts = Counter(case.verdict == ACCEPTED for case in CASES.values())
    assert outcome.replay.figures() == (len(CASES), verdicts[True], 0, verdicts[False], verdicts[True], 0)
    assert (outcome.lines.total(), outcome.letters.total()) == (verdicts[True], verdicts[False])
    assert outcome.replay.sql("select count(*) from inventory_events") == [(verdicts[True],)]
    assert outcome.replay.sql("select count(*) from dead_letters") == [(verdicts[False],)]


def test_dead_letters_have_the_byte_offset_of_their_record(outcome: Outcome) -> None:
    at = 0
    for case in CASES.values():
        if case.verdict != ACCEPTED:
            assert outcome.offsets[case.record] == at
        at += len(case.record) + 2


def test_dead_letter_table_has_identical_bytes(outcome: Outcome) -> None:
    rows = outcome.replay.sql("select code, payload, payload_base64 from dead_letters")
    loaded = Counter(
        (code, text.encode() if text is not None else base64.b64decode(packed)) for code, text, packed in rows
    )
    assert loaded == outcome.letters


def test_unknown_properties_are_kept_with_their_text(outcome: Outcome) -> None:
    rows = dict(outcome.replay.sql("select inventory_id::varchar, _extra::varchar from inventory_events"))
    for name, case in CASES.items():
        if case.extra is not None:
            assert rows[json.loads(case.record, parse_int=str)["inventory_id"]] == case.extra, name
    assert outcome.replay.sql("select count(_extra->>'x'), count(json_keys(_extra)) from inventory_events")[
        0
    ][1] >= len([case for case in CASES.values() if case.extra is not None])


def test_times_are_stored_to_the_microsecond(outcome: Outcome) -> None:
    rows = dict(
        outcome.replay.sql('select inventory_id::varchar, epoch_us("timestamp") from inventory_events')
    )
    for case in CASES.values():
        if case.verdict == ACCEPTED:
            value = json.loads(case.record, parse_int=str)
            time = datetime.fromisoformat(value["timestamp"].upper())
            time = time if time.tzinfo else time.replace(tzinfo=UTC)
            since = time - datetime(1970, 1, 1, tzinfo=UTC)
            assert rows[value["inventory_id"]] in (
                us := (since.days * 86_400 + since.seconds) * 10**6 + since.microseconds,
                us + 1,
            )


def test_hostile_records_in_documents_and_compressed_files_are_read(tmp_path: Path) -> None:
    elements = [
        event(1, b',"x":"\\"]}[{"'),
        event(2, b',"x":"\xff"'),
        event(3, nested(255)),
        event(4, nested(300)),
        b"tru",
        b'{"a":}',
        b'"\\ud800"',
        event(5, b',"x":1e999'),
        event(6, b',"x":"' + b"a" * 3_000_000 + b'"'),
        event(7, b',"x":"\0"'),
        event(8)[:-1] + b',\r\n "x" : [ 1.10 , \n{ } ]\n}',
    ]
    accepted = {1, 3, 5, 6, 8}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_bytes(b"[" + b",\n".join(elements) + b"]")
    packed = [event(9, b',"x":"\xff"'), event(10), b"\0" * 3_000_000, b"[" * 100_000]
    (tmp_path / "in" / "b.gz").write_bytes(gzip.compress(b"\n".join(packed)))
    with TemporaryDirectory(prefix="replay") as scratch:
        replay = Replay(tmp_path / "out", Path(scratch))
        replay.run(tmp_path / "in")
    stored = [line for data in replay.log().values() for line in lines_of(data)]
    ids = [int(json.loads(line)["inventory_id"][-12:], 16) for line in stored]
    assert sorted(ids) == sorted([*accepted, 10])
    assert event(8, b',"x":[1.10,{}]') in stored
    assert {elements[0], elements[2], elements[7], elements[8], packed[1]} < set(stored)
    rejected = [elements[1], elements[3], elements[4], elements[5], elements[6], elements[9]]
    rejected += [packed[0], packed[2], packed[3]]
    assert Counter(payload(letter) for letter in replay.letters()) == Counter(rejected)
    assert replay.figures() == (15, 6, 0, 9, 6, 0)


# Below the command: no bytes at all make the decoder raise, and what it accepts becomes a row.

_JOB = load_job(str(ROOT / JOB), {"contracts": str(ROOT / "schemas" / "backend_events")})
_STARTED = 1_790_000_000.0
_DECODERS = {
    shards: RecordDecoder(_JOB.contracts, "event_type", AgeLimits(600, 86_400, _STARTED), shards)
    for shards in (1, 3)
}
_ORDER = (
    b'{"event_type":"order","order_id":"%b","customer_id":"%b","order_date":"2025-02-08T13:09:00Z",'
    b'"status":"shipped","items":[{"product_id":"%b","product_name":"p","quantity":1,"price":1.5}],'
    b'"shipping_address":{"street":"s","city":"c","country":"x"},"total_amount":3}'
) % (PLAIN.encode(), PLAIN.encode(), PLAIN.encode())
_ACTIVITY = (
    b'{"event_type":"user_activity","user_id":"%b","activity_type":"login","ip_address":"10.0.0.1",'
    b'"user_agent":"a","timestamp":"2025-02-08T13:09:00Z","metadata":{"session_id":"%b","platform":"web"}}'
) % (PLAIN.encode(), PLAIN.encode())
_SEEDS = (event(1), _ORDER, _ACTIVITY)
_PIECES = (
    *(
        b"\xff",
        b"\0",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\u0000",
        b"\\",
        b'"',
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
    ),
    *(
        b"1e999",
        b"-0",
        b"1E5",
        b"0.1",
        b"9" * 30,
        b"1e-9",
        b"NaN",
        b"null",
        b"true",
        b"{}",
        b"[]",
        b'""',
        b" ",
    ),
    *(
        b"\r",
        b"\t",
        b"\x1f",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"9999-12-31T23:59:59.999999",
        b"+23:59",
        b"-23:59",
    ),
    *(
        b"0001-01-01T00:00:00",
        b".9999999",
        b',"x":1',
        b',"event_type":"order"',
        b'"items":[],',
        b'"reason":"sale",',
    ),
)


def hold(records: Sequence[bytes], shards: int = 1) -> tuple[list[bytes], list[bytes]]:
    """Return accepted and rejected lines, after all that a run asks of them but the writing."""
    decoded = _DECODERS[shards].decode(
        RecordBatch(records, FileProvenance("u", _STARTED, range(len(records))))
    )
    accepted: list[bytes] = []
    for key, lines in decoded.events.items():
        assert key.minute % 60 == 0
        assert 0 <= key.shard < shards
        datetime.fromtimestamp(key.minute, UTC)
        contract = _JOB.contracts[key.event_type]
        identity = compile_deduplication_key(contract)
        ids = [identity(line).hex() for line in lines]
        segment = Segment("s", key.event_type, "p", key.minute, lines)
        table, load_rejected = to_table(contract, segment, ids, datetime(2026, 1, 1, tzinfo=UTC))
        assert load_rejected == []
        assert table.num_rows == len(lines)
        times = table.column(contract.event_time).cast("int64").to_pylist()
        assert {time // 60_000_000 * 60 for time in times} == {key.minute}
        accepted += lines
    for rejected in decoded.rejected:
        assert rejected.violations
        letter = make_dead_letter(rejected, "job", _STARTED)
        assert letter.record == rejected.record
        assert msgspec.json.decode(msgspec.json.encode(letter), type=DeadLetter) == letter
    return accepted, [rejected.record for rejected in decoded.rejected]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Take a valid event and cut, insert and overwrite in it."""
    record = draw(st.sampled_from(_SEEDS))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(record)))
        length = draw(st.sampled_from((0, 0, 1, 2, 5, 20)))
        piece = draw(st.sampled_from(_PIECES) | st.binary(max_size=4))
        record = record[:start] + piece + record[start + length :]
    return record.replace(b"\n", b" ")


def put(seed: bytes, old: bytes, new: bytes) -> bytes:
    assert seed.count(old) >= 1
    return seed.replace(old, new, 1)


@st.composite
def valued(draw: st.DrawFn) -> bytes:
    """Take a valid event and replace one of its values, or add a property, by any JSON value."""
    value = json.loads(draw(st.sampled_from(_SEEDS)))
    place = value
    while True:
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
        if not isinstance(place[key], dict | list) or draw(st.booleans()):
            break
        place = place[key]
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str)
    suspects = st.recursive(
        scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
    )
    if isinstance(place, dict) and draw(st.booleans()):
        key = draw(st.text(max_size=5))
    place[key] = draw(suspects)
    return json.dumps(value, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(mutated() | valued() | st.binary(min_size=1), min_size=1, max_size=5), st.sampled_from((1, 3))
)
@example([put(event(1), b"2025-02-08T13:09:00Z", b"9999-12-31T23:59:59.999999Z")], 1)
@example([put(event(1), b"2025-02-08T13:09:00Z", b"9999-12-31T23:59:59-23:59")], 1)
@example([put(event(1), b"2025-02-08T13:09:00Z", b"1000-01-01T00:00:59.999999Z")], 1)
@example([put(event(1), b"2025-02-08T13:09:00Z", b"2025-02-08T13:09:59.9999999Z")], 1)
def test_random_bytes_never_raise_and_accepted_records_become_rows(records: list[bytes], shards: int) -> None:
    accepted, rejected = hold(records, shards)
    assert Counter(accepted) + Counter(rejected) == Counter(records)


@pytest.mark.long
@settings(max_examples=8_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(mutated() | valued() | st.binary(min_size=1), min_size=1, max_size=5), st.sampled_from((1, 3))
)
def test_many_random_bytes_never_raise(records: list[bytes], shards: int) -> None:
    accepted, rejected = hold(records, shards)
    assert Counter(accepted) + Counter(rejected) == Counter(records)
