"""Records become lines before they are validated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sluice.contracts import Contract, load_contract
from sluice.elements import RecordBatch
from sluice.formats.normalize import Normalizer
from sluice.provenance import CsvDialect, CsvProvenance, FileProvenance
from sluice.validation.age_limits import AgeLimits
from sluice.validation.records import Decoded, RecordDecoder

SCHEMAS = Path(__file__).parents[2] / "schemas/commerce"
PRODUCT = load_contract(str(SCHEMAS / "product.odcs.yaml"))
SALE = load_contract(str(SCHEMAS / "sale.odcs.yaml"))
LOG = load_contract(str(SCHEMAS / "customer_log.odcs.yaml"))

ARRIVAL = 1_736_503_200.5  # 2025-01-10T10:00:00.5Z
ARRIVAL_MEMBER = b'"snapshot_at":"2025-01-10T10:00:00.500000Z"'
SOURCE_MEMBER = b'"_source":{"uri":"file","arrived_at":"2025-01-10T10:00:00.500000Z","position":%d}'


def decode(contract: Contract, *records: bytes, dialect: CsvDialect | None = None) -> Decoded:
    offsets = [0] * len(records)
    batch = RecordBatch(
        records,
        FileProvenance("file", ARRIVAL, offsets)
        if dialect is None
        else CsvProvenance("file", ARRIVAL, offsets, offsets, dialect),
    )
    ages = AgeLimits(max_skew=600, allowed_lateness=0, started=ARRIVAL)
    return RecordDecoder({contract.event_type: contract}, None, ages, 1).decode(batch)


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (b'{"a":1}', b'{"a":1,' + ARRIVAL_MEMBER + b"}"),
        (b' {"a":1 } ', b' {"a":1,' + ARRIVAL_MEMBER + b"}"),
        (b"{}", b"{" + ARRIVAL_MEMBER + b"}"),
        (b'{"a":"snapshot_at"}', b'{"a":"snapshot_at",' + ARRIVAL_MEMBER + b"}"),
        (b'{"a":{"snapshot_at":1}}', b'{"a":{"snapshot_at":1},' + ARRIVAL_MEMBER + b"}"),
        (b'{"snapshot_at":null}', b'{"snapshot_at":null}'),
        (b'{"snapshot_at":"2025-01-01T00:00:00Z"}', b'{"snapshot_at":"2025-01-01T00:00:00Z"}'),
        (b'["snapshot_at"]', b'["snapshot_at"]'),
        (b"[1]", b"[1]"),
        (b'{"snapshot_at"', b'{"snapshot_at"'),
        (b"", b""),
    ],
)
def test_record_without_event_time_gets_its_arrival(record: bytes, line: bytes) -> None:
    assert Normalizer({"product": PRODUCT}, None).with_event_time(record, ARRIVAL) == line


def test_records_that_are_lines_already_are_not_copied() -> None:
    records = [b'{"user_id":"U1"}']
    lines, broken = Normalizer({"customer_log": LOG}, None).lines(
        RecordBatch(records, FileProvenance("file", ARRIVAL, [0]))
    )
    assert lines is records
    assert broken == {}


def test_record_with_default_event_time_is_in_the_minute_of_its_arrival() -> None:
    record = b'{"product_id":"P1","product_name":"Mug","category":"kitchen"}'
    decoded = decode(PRODUCT, record, record[:-1])
    [(key, lines)] = decoded.events.items()
    assert (key.event_type, key.minute, lines) == (
        "product",
        1_736_503_200,
        [record[:-1] + b"," + ARRIVAL_MEMBER + b"," + SOURCE_MEMBER % 0 + b"}"],
    )
    assert [rejected.record for rejected in decoded.rejected] == [record[:-1]]


def test_events_of_a_day_share_a_folder_if_the_contract_says_so() -> None:
    times = ("2025-01-10T00:00:00Z", "2025-01-10T09:59:59.9Z", "2025-01-09T23:59:59Z", "1969-12-31T23:00:00Z")
    records = [b'{"user_id":"U1","event_type":"view","timestamp":"%b"}' % time.encode() for time in times]
    decoded = decode(LOG, *records)
    assert {key.minute: len(lines) for key, lines in decoded.events.items()} == {
        1_736_467_200: 2,
        1_736_467_200 - 86400: 1,
        -86400: 1,
    }
    assert (decoded.first, decoded.last) == (-3600.0, 1_736_503_199.9)


def test_rejected_row_is_kept_as_received() -> None:
    dialect = CsvDialect(("sale_id", "product_id", "customer_id", "quantity", "date"), ",", "")
    records = [b"1,2,3,4,2025-01-10", b"1,2,3,x,2025-01-10\r", b"1,2", b"1,2,3,4,2999-01-01"]
    decoded = decode(SALE, *records, dialect=dialect)
    [(_, [line])] = decoded.events.items()
    assert json.loads(line) == {
        "sale_id": "1",
        "product_id": "2",
        "user_id": "3",
        "quantity": 4,
        "sale_date": "2025-01-10T00:00:00Z",
        "_source": {"uri": "file", "arrived_at": "2025-01-10T10:00:00.500000Z", "position": 0},
    }
    assert [
        (rejected.record, rejected.event_type, [v.code for v in rejected.violations])
        for rejected in decoded.rejected
    ] == [
        (records[1], "sale", ["type"]),
        (records[2], None, ["not_csv"]),
        (records[3], "sale", ["in_future"]),
    ]


def test_malformed_line_is_repaired_or_rejected_as_received() -> None:
    good = "{'user_id':'U1','event_type':'view','timestamp':'2025-01-10T09:00:00Z'}"
    records = [
        good.encode(),
        good.replace("view", "login").encode(),
        b'{"user_id":1,"event_type":"view","timestamp":"2025-01-10T09:00:00Z"}',
        b"[1]",
        b"oops",
        good.replace("U1", "\xe9").encode("latin-1"),
        good.replace("2025", "2999").encode(),
    ]
    decoded = decode(LOG, *records)
    [(_, [line])] = decoded.events.items()
    assert json.loads(line)["_repaired"] == {"rules": ["single_quotes"], "line": good}
    assert decoded.repaired == {"customer_log": 1}
    assert [rejected.record for rejected in decoded.rejected] == records[1:]
    assert [
        (rejected.event_type, [(v.code, v.path) for v in rejected.violations])
        for rejected in decoded.rejected
    ] == [
        ("customer_log", [("not_json", ""), ("enum", "event_type")]),
        ("customer_log", [("type", "user_id")]),
        (None, [("not_an_object", "")]),
        (None, [("not_json", "")]),
        (None, [("not_json", "")]),
        ("customer_log", [("in_future", "")]),
    ]
