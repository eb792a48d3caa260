"""Any bytes as a record: the decoder never raises, and what it accepts becomes a row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sluice.arrow.from_json import to_table
from sluice.config.job import load_job
from sluice.dead_letters.envelope import DeadLetter, make_dead_letter
from sluice.elements import RecordBatch, Segment
from sluice.formats.joined_records import separate
from sluice.line_block import LineBlock
from sluice.provenance import FileProvenance
from sluice.validation.age_limits import AgeLimits
from sluice.validation.deduplication_keys import compile_deduplication_key
from sluice.validation.records import RecordDecoder

from devservers.tools import ROOT
from tests.end_to_end.hostile_records import UUID_TEXT, event
from tests.end_to_end.replay_fixture import JOB

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
) % (UUID_TEXT.encode(), UUID_TEXT.encode(), UUID_TEXT.encode())
_ACTIVITY = (
    b'{"event_type":"user_activity","user_id":"%b","activity_type":"login","ip_address":"10.0.0.1",'
    b'"user_agent":"a","timestamp":"2025-02-08T13:09:00Z","metadata":{"session_id":"%b","platform":"web"}}'
) % (UUID_TEXT.encode(), UUID_TEXT.encode())
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


def decode_and_convert(records: Sequence[bytes], shards: int = 1) -> tuple[list[bytes], list[bytes]]:
    """Return accepted and rejected lines, after all that a run asks of them but the writing."""
    provenance = FileProvenance("u", _STARTED, range(len(records)))
    decoded = _DECODERS[shards].decode(RecordBatch(records, provenance))
    if not any(b"\n" in record for record in records):
        as_block = RecordBatch(LineBlock.of(records), provenance)
        assert _DECODERS[shards].decode(as_block) == decoded
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
        new = replace(segment, plain=key.event_type not in decoded.unusual)
        at_once, _ = to_table(contract, new, ids, datetime(2026, 1, 1, tzinfo=UTC))
        assert at_once.equals(table)
        times = table.column(contract.event_time).cast("int64").to_pylist()
        assert {time // 60_000_000 * 60 for time in times} == {key.minute}
        accepted += lines
    for rejected in decoded.rejected:
        assert rejected.violations
        dead_letter = make_dead_letter(rejected, "job", _STARTED)
        assert dead_letter.record == rejected.record
        assert msgspec.json.decode(msgspec.json.encode(dead_letter), type=DeadLetter) == dead_letter
    return accepted, [rejected.record for rejected in decoded.rejected]


DIGITS = st.text("0123456789", min_size=1, max_size=45)
DECIMALS = st.builds(
    lambda whole, fraction, exponent: (whole.lstrip("0") or "0") + fraction + exponent,
    DIGITS,
    st.just("") | DIGITS.map(".{}".format),
    st.just("") | st.integers(-45, 5).map("e{}".format),
)


@given(st.lists(DECIMALS, min_size=1, max_size=20))
@example([f"100.{'0' * 38}e0"])  # arrow-rs overflows at 39 digits with an exponent, without an error
@example([f"4{'0' * 20}.{'0' * 18}e1"])
@example([f"1{'0' * 39}e-37"])
@example(["0.1234567890", "1e2"])
def test_decimal_in_any_notation_is_the_same_in_rows_that_are_made_at_once(decimals: list[str]) -> None:
    records = [put(_ORDER, b'"total_amount":3', b'"total_amount":%b' % text.encode()) for text in decimals]
    accepted, rejected = decode_and_convert(records)
    assert Counter(accepted) + Counter(rejected) == Counter(records)


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


def separated(records: list[bytes]) -> Counter[bytes]:
    """Return the records, without separators such as a comma around a whole object."""
    return Counter(part for record in records for _, part in separate(record))


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(mutated() | valued() | st.binary(min_size=1), min_size=1, max_size=5), st.sampled_from((1, 3))
)
@example([put(event(1), b"2025-02-08T13:09:00Z", b"9999-12-31T23:59:59.999999Z")], 1)
@example([put(event(1), b"2025-02-08T13:09:00Z", b"9999-12-31T23:59:59-23:59")], 1)
@example([put(event(1), b"2025-02-08T13:09:00Z", b"1000-01-01T00:00:59.999999Z")], 1)
@example([put(event(1), b"2025-02-08T13:09:00Z", b"2025-02-08T13:09:59.9999999Z")], 1)
def test_random_bytes_never_raise_and_accepted_records_become_rows(records: list[bytes], shards: int) -> None:
    accepted, rejected = decode_and_convert(records, shards)
    assert Counter(accepted) + Counter(rejected) == separated(records)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(max_examples=8_000, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(mutated() | valued() | st.binary(min_size=1), min_size=1, max_size=5), st.sampled_from((1, 3))
)
def test_many_random_bytes_never_raise(records: list[bytes], shards: int) -> None:
    accepted, rejected = decode_and_convert(records, shards)
    assert Counter(accepted) + Counter(rejected) == separated(records)
