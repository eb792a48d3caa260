from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sluice.contracts import Contract, Property, load_contracts
from sluice.elements import LogKey, RecordBatch, Violation
from sluice.provenance import FileProvenance, MessageProvenance, PartitionProvenance
from sluice.validation.age_limits import AgeLimits
from sluice.validation.decoded_counts import count_decoded
from sluice.validation.records import RecordDecoder

CONTRACTS = load_contracts(str(Path(__file__).parents[2] / "schemas" / "backend_events"))
STARTED = datetime(2025, 2, 8, 14, 0, tzinfo=UTC).timestamp()
MINUTE = int(datetime(2025, 2, 8, 13, 9, tzinfo=UTC).timestamp())
BOUNDED = AgeLimits(max_skew=600, allowed_lateness=3600, started=STARTED)
LIVE = AgeLimits(max_skew=600, allowed_lateness=3600)

INVENTORY = {
    "event_type": "inventory",
    "inventory_id": "5f0c1d9e-0b1f-4c55-8d1e-000000000001",
    "product_id": "5f0c1d9e-0b1f-4c55-8d1e-000000000002",
    "warehouse_id": "5f0c1d9e-0b1f-4c55-8d1e-000000000003",
    "quantity_change": -3,
    "reason": "sale",
    "timestamp": "2025-02-08T13:09:30Z",
}
ORDER = {
    "event_type": "order",
    "order_id": "5f0c1d9e-0b1f-4c55-8d1e-000000000004",
    "customer_id": "5f0c1d9e-0b1f-4c55-8d1e-000000000005",
    "order_date": "2025-02-08T14:09:59.999999+01:00",
    "status": "pending",
    "items": [{"product_id": INVENTORY["product_id"], "product_name": "Mug", "quantity": 1, "price": 0.1}],
    "shipping_address": {"street": "1 Main St", "city": "Riga", "country": "LV"},
    "total_amount": 0.1,
}


def line(event: dict[str, object], **changes: object) -> bytes:
    return json.dumps({**event, **changes}, separators=(",", ":")).encode()


def batch(*records: bytes, arrivals: list[float] | None = None) -> RecordBatch:
    offsets = range(0, 1000 * len(records), 1000)
    if arrivals is None:
        return RecordBatch(records, FileProvenance("in/a.json", STARTED, offsets))
    return RecordBatch(records, PartitionProvenance("topic", min(arrivals), 0, offsets, arrivals))


def decoder(ages: AgeLimits = BOUNDED, shards: int = 1) -> RecordDecoder:
    return RecordDecoder(CONTRACTS, "event_type", ages, shards)


def test_events_are_grouped_by_type_and_minute_as_received() -> None:
    records = [
        line(INVENTORY),
        line(ORDER),
        b" " + line(INVENTORY, timestamp="2025-02-08T13:10:00") + b"\r",
        line(INVENTORY, reason="damage"),
    ]
    decoded = decoder().decode(batch(*records))
    assert decoded.events == {
        LogKey("inventory", MINUTE, 0): [records[0], records[3]],
        LogKey("order", MINUTE, 0): [records[1]],
        LogKey("inventory", MINUTE + 60, 0): [records[2]],
    }
    assert decoded.rejected == []
    assert (decoded.first, decoded.last) == (MINUTE + 30, MINUTE + 60)


def test_events_on_one_line_are_decoded_and_counted_by_themselves() -> None:
    order, late = line(ORDER), line(INVENTORY, timestamp="2025-02-08T13:10:00")
    decoded = decoder().decode(batch(line(INVENTORY), order + late + b'{"a":1}', b"\xef\xbb\xbf" + order))
    assert decoded.events == {
        LogKey("inventory", MINUTE, 0): [line(INVENTORY)],
        LogKey("order", MINUTE, 0): [order, order],
        LogKey("inventory", MINUTE + 60, 0): [late],
    }
    [rejected] = decoded.rejected
    assert (rejected.record, rejected.origin.offset) == (b'{"a":1}', 1000 + len(order + late))
    assert decoded.separated == 2
    assert count_decoded(decoded).counts["read", ""] == 2


def test_rejected_records_are_counted_once_for_each_property_and_code() -> None:
    lines = [
        line(INVENTORY, quantity_change=101, reason="lost"),
        line(INVENTORY, reason="stolen"),
        line(ORDER, items=[{"quantity": "2"}, {"quantity": "2"}]),
        line(INVENTORY, event_type="oops"),
        b"{",
    ]
    counts = count_decoded(decoder().decode(batch(*lines))).counts
    assert {name: number for (figure, name), number in counts.items() if figure == "reason"} == {
        "inventory.reason: enum": 2,
        "inventory.quantity_change: range": 1,
        "order.items[].product_id: missing": 1,
        "order.items[].product_name: missing": 1,
        "order.items[].price: missing": 1,
        "order.items[].quantity: type": 1,
        "unknown.event_type: unknown_type": 1,
        "unknown: not_json": 1,
    }


def test_record_of_several_lines_becomes_one_line_with_the_same_numbers() -> None:
    pretty = json.dumps(ORDER, indent=2).replace("0.1", "1.10").encode()
    (lines,) = decoder().decode(batch(pretty)).events.values()
    assert b"\n" not in lines[0]
    assert lines[0] == msgspec.json.format(pretty, indent=-1)
    assert b'"total_amount":1.10' in lines[0].replace(b" ", b"")


@pytest.mark.parametrize(
    ("record", "violations", "event_type"),
    [
        (line(INVENTORY, quantity_change=101, reason="lost"), ("range", "enum"), "inventory"),
        (b"\xff{}", ("not_json",), None),
        (line(INVENTORY)[:-1] + b',"note":"\xff"}', ("not_json",), None),
        (b"[" * 100_000, ("not_json",), None),
        (b"[1]", ("not_an_object",), None),
        (line(INVENTORY, event_type="oops"), ("unknown_type",), None),
        (line(ORDER, total_amount=0.1234567891), ("range",), "order"),
    ],
)
def test_broken_record_is_rejected_whole(
    record: bytes, violations: tuple[str, ...], event_type: str | None
) -> None:
    decoded = decoder().decode(batch(line(INVENTORY), record))
    assert list(decoded.events.values()) == [[line(INVENTORY)]]
    (rejected,) = decoded.rejected
    assert rejected.record == record
    assert {violation.code for violation in rejected.violations} == set(violations)
    assert rejected.event_type == event_type
    assert (rejected.origin.uri, rejected.origin.offset, rejected.step) == ("in/a.json", 1000, "decode")


@pytest.mark.parametrize("text", ["1e2", "1.5000000000000", "12345678901234567890123456789.123456789"])
def test_decimal_that_fits_exactly_is_accepted_in_any_notation(text: str) -> None:
    record = line(ORDER).replace(b'"total_amount":0.1', b'"total_amount":' + text.encode())
    assert list(decoder().decode(batch(record)).events.values()) == [[record]]


def test_age_in_a_bounded_run_counts_from_its_start() -> None:
    ancient = line(INVENTORY, timestamp="1999-01-01T00:00:00Z")
    edge = line(INVENTORY, timestamp="2025-02-08T14:10:00Z")
    beyond = line(INVENTORY, timestamp="2025-02-08T14:10:00.000001Z")
    decoded = decoder().decode(batch(ancient, edge, beyond))
    assert [line for lines in decoded.events.values() for line in lines] == [ancient, edge]
    (rejected,) = decoded.rejected
    assert rejected.violations == (
        Violation("in_future", "", "at most 600 s after 2025-02-08T14:00:00Z", "2025-02-08T14:10:00.000001Z"),
    )
    assert rejected.event_time == datetime(2025, 2, 8, 14, 10, 0, 1, tzinfo=UTC)


def test_age_in_a_live_run_counts_from_each_arrival() -> None:
    record = line(INVENTORY)
    arrivals = [MINUTE + 30 + 3600.0, MINUTE + 30 + 3600.5, MINUTE + 30 - 600.0, MINUTE + 30 - 600.5]
    decoded = decoder(LIVE).decode(batch(record, record, record, record, arrivals=arrivals))
    assert list(decoded.events.values()) == [[record, record]]
    assert [rejected.violations[0].code for rejected in decoded.rejected] == ["too_late", "in_future"]
    assert [rejected.origin.arrival for rejected in decoded.rejected] == [arrivals[1], arrivals[3]]


RECORDS = [
    *(
        line(INVENTORY, timestamp=time)
        for time in (
            "2025-02-08T13:09:30Z",
            "2025-02-08T13:10:00",
            "2025-02-08T14:09:59.999999+01:00",
            "1000-01-01T00:00:59.999999Z",
            "9000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "2025-02-08T13:09:59.9999999Z",
        )
    ),
    line(ORDER),
    line(ORDER, total_amount=1e2),
    line(ORDER, total_amount=-1),
    line(ORDER, deep=json.loads("[" * 300 + "]" * 300)),
    line(INVENTORY, note="h\u00e9").replace(b"\\u00e9", "é".encode()),
    line(INVENTORY, note="?").replace(b"?", b"\xff"),
    line(INVENTORY, product_id="5F0C1D9E-0B1F-4C55-8D1E-00000000000Z"),
    line(INVENTORY, reason="none"),
    json.dumps(INVENTORY, indent=1).encode(),
    b"[]",
    b"{",
]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(RECORDS), st.sampled_from((0.0, 3600.0, 3630.5, -600.5)))))
def test_batch_is_decoded_as_its_records_are_alone(given: list[tuple[bytes, float]]) -> None:
    arrivals = [MINUTE + 30 + age for _, age in given]
    ages = replace(LIVE, allowed_lateness=1e11) if len(given) % 2 else LIVE
    decode = decoder(ages, shards=1 + len(given) % 3).decode
    together = decode(batch(*(record for record, _ in given), arrivals=arrivals or [0.0]))
    events: dict[LogKey, list[bytes]] = {}
    rejected = []
    for (record, _), arrival in zip(given, arrivals, strict=True):
        alone = decode(batch(record, arrivals=[arrival]))
        for key, lines in alone.events.items():
            events.setdefault(key, []).extend(lines)
        rejected += [(each.record, each.origin.arrival, each.violations) for each in alone.rejected]
    assert together.events == events
    assert [(each.record, each.origin.arrival, each.violations) for each in together.rejected] == rejected


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"])
def test_time_outside_the_calendar_in_utc_is_rejected(time: str) -> None:
    record = line(INVENTORY, timestamp=time)
    (rejected,) = decoder().decode(batch(record)).rejected
    assert [violation.code for violation in rejected.violations] == ["range"]


def test_events_of_a_minute_are_sharded_by_deduplication_key() -> None:
    records = [line(INVENTORY, quantity_change=n) for n in range(50)]
    first, again = (decoder(shards=3).decode(batch(*order)).events for order in (records, records[::-1]))
    assert {key.shard for key in first} == {0, 1, 2}
    assert {key: sorted(lines) for key, lines in first.items()} == {k: sorted(v) for k, v in again.items()}


CLICK = Contract(
    event_type="click",
    table="clicks",
    id="click",
    version="1.0.0",
    domain="test",
    description="",
    properties=(Property("time", "timestamp", required=True), Property("user", "string")),
    event_time="time",
    identity="delivery",
)


def test_delivery_is_added_to_the_line_as_its_deduplication_key() -> None:
    clicks = RecordDecoder({"click": CLICK}, None, BOUNDED, 1)
    record = b'{"time":"2025-02-08T13:09:00Z"} '
    (lines,) = clicks.decode(batch(record, record)).events.values()
    assert lines == [
        b'{"time":"2025-02-08T13:09:00Z","_id":"in/a.json/0"}',
        b'{"time":"2025-02-08T13:09:00Z","_id":"in/a.json/1000"}',
    ]
    sent = RecordBatch([record], MessageProvenance("pubsub://s", STARTED, ["m-1"], [STARTED]))
    (lines,) = clicks.decode(sent).events.values()
    assert lines == [b'{"time":"2025-02-08T13:09:00Z","_id":"m-1"}']


SIGNUP = replace(
    CLICK,
    event_type="signup",
    properties=(
        Property("time", "timestamp", required=True),
        Property("user", "uuid", required=True),
        Property("fee", "decimal"),
    ),
    identity="content",
    repair=(("trailing_commas", None),),
)


@pytest.mark.parametrize(
    ("member", "violations"),
    [
        ('"user":"u-1","fee":1', [("not_json", ""), ("format", "user")]),
        ('"user":"5f0c1d9e-0b1f-4c55-8d1e-000000000001","fee":1e99', [("not_json", ""), ("range", "fee")]),
        ('"user":"5f0c1d9e-0b1f-4c55-8d1e-000000000001","fee":1e2', []),
    ],
)  # fmt: skip
def test_repaired_record_that_is_invalid_is_rejected_with_the_violations_of_both_forms(
    member: str, violations: list[tuple[str, str]]
) -> None:
    record = f'{{"time":"2025-02-08T13:09:00Z",{member},}}'.encode()
    decoded = RecordDecoder({"signup": SIGNUP}, None, BOUNDED, 1).decode(batch(record))
    reported = [
        (violation.code, violation.path) for rejected in decoded.rejected for violation in rejected.violations
    ]
    assert reported == violations
    assert decoded.repaired == ({} if violations else {"signup": 1})
    assert [rejected.record for rejected in decoded.rejected] == ([record] if violations else [])
