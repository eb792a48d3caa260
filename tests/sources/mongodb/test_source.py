"""Every BSON type as JSON: never null for a value that is there, never what Python calls it."""

from __future__ import annotations

import datetime
import json
import struct
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary, UuidRepresentation
from bson.datetime_ms import DatetimeMS
from sluice.config.urls import Url
from sluice.errors import ConfigError
from sluice.sources.mongodb.source import Collection, _connect, read_collection, to_json

KNOWN = ObjectId("507f1f77bcf86cd799439011")
QUIET_NAN_WITH_PAYLOAD = struct.unpack("<d", b"\x01\x00\x00\x00\x00\x00\xf8\xff")[0]
NOON = datetime.datetime(2025, 1, 10, 12, 0, 0, 123000, tzinfo=datetime.UTC)
OPTIONS: Any = bson.CodecOptions(uuid_representation=UuidRepresentation.STANDARD)

VALUES: dict[str, tuple[Any, str]] = {
    "double": (0.5, "0.5"),
    "largest double": (1.7976931348623157e308, "1.7976931348623157e308"),
    "nan": (float("nan"), '"NaN"'),
    "nan with payload": (QUIET_NAN_WITH_PAYLOAD, '"NaN"'),
    "infinity": (float("inf"), '"Infinity"'),
    "negative infinity": (float("-inf"), '"-Infinity"'),
    "string": ('ž"\\\u2028', '"ž\\"\\\\\u2028"'),
    "object": ({"a": {}}, '{"a":{}}'),
    "array": ([[], 1], "[[],1]"),
    "null": (None, "null"),
    "boolean": (True, "true"),
    "int32": (-1, "-1"),
    "int64": (Int64(2**63 - 1), "9223372036854775807"),
    "decimal": (Decimal128("19.90"), "19.90"),
    "decimal nan": (Decimal128("NaN"), '"NaN"'),
    "decimal signalling nan": (Decimal128("sNaN"), '"sNaN"'),
    "decimal infinity": (Decimal128("-Infinity"), '"-Infinity"'),
    "smallest decimal": (Decimal128("1E-6176"), "1E-6176"),
    "date": (NOON, '"2025-01-10T12:00:00.123000Z"'),
    "last date of RFC 3339": (DatetimeMS(253_402_300_799_999), '"9999-12-31T23:59:59.999000Z"'),
    "date after it": (DatetimeMS(253_402_300_800_000), '{"$date":{"$numberLong":"253402300800000"}}'),
    "first date of RFC 3339": (DatetimeMS(-62_135_596_800_000), '"0001-01-01T00:00:00Z"'),
    "date before it": (DatetimeMS(-62_135_596_800_001), '{"$date":{"$numberLong":"-62135596800001"}}'),
    "last date": (DatetimeMS(2**63 - 1), '{"$date":{"$numberLong":"9223372036854775807"}}'),
    "first date": (DatetimeMS(-(2**63)), '{"$date":{"$numberLong":"-9223372036854775808"}}'),
    "object id": (KNOWN, '"507f1f77bcf86cd799439011"'),
    "binary": (b"\x01", '"AQ=="'),
    "binary of a subtype": (Binary(b"\xff\x00", 128), '"/wA="'),
    "old uuid": (Binary(bytes(16), 3), '"AAAAAAAAAAAAAAAAAAAAAA=="'),
    "uuid": (UUID(int=3), '"00000000-0000-0000-0000-000000000003"'),
    "regular expression": (Regex("^a+$", "i"), '"^a+$"'),
    "timestamp": (Timestamp(1_736_510_400, 7), '"2025-01-10T12:00:00Z"'),
    "last timestamp": (Timestamp(2**32 - 1, 2**32 - 1), '"2106-02-07T06:28:15Z"'),
    "code": (Code("f()"), '{"$code":"f()"}'),
    "code with scope": (Code("f()", {"x": float("nan")}), '{"$code":"f()","$scope":{"x":"NaN"}}'),
    "reference": (
        DBRef("shops", KNOWN, "db", share=float("inf")),
        '{"$ref":"shops","$id":"507f1f77bcf86cd799439011","$db":"db","share":"Infinity"}',
    ),
    "least key": (MinKey(), '{"$minKey":1}'),
    "greatest key": (MaxKey(), '{"$maxKey":1}'),
}


@pytest.mark.parametrize("name", VALUES)
def test_value_has_one_form_wherever_it_stands(name: str) -> None:
    value, expected = VALUES[name]
    document = {"_id": 1, "top": value, "object": {"deep": {"er": value}}, "array": [value, [value]]}
    ((record,), ids) = to_json(bson.encode(document, codec_options=OPTIONS))
    assert record.decode() == (
        f'{{"_id":1,"top":{expected},"object":{{"deep":{{"er":{expected}}}}},"array":[{expected},[{expected}]]}}'
    )
    json.loads(record)
    assert ids == ["1"]


@pytest.mark.parametrize("name", [name for name in VALUES if name not in ("array", "regular expression")])
def test_id_of_any_type_is_its_text(name: str) -> None:
    value, expected = VALUES[name]
    _, ids = to_json(bson.encode({"_id": value}, codec_options=OPTIONS))
    assert ids == [expected[1:-1] if expected.startswith('"') else expected]


def element(code: int, value: bytes) -> bytes:
    """Return a document of one element `a`, of a type that the driver cannot encode."""
    body = bytes([code]) + b"a\x00" + value + b"\x00"
    return struct.pack("<i", len(body) + 4) + body


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (element(0x0E, b"\x02\x00\x00\x00x\x00"), b'{"a":"x"}'),
        (
            element(0x0C, b"\x02\x00\x00\x00c\x00" + KNOWN.binary),
            b'{"a":{"$ref":"c","$id":"507f1f77bcf86cd799439011"}}',
        ),
    ],
    ids=["symbol", "pointer"],
)
def test_deprecated_type_has_a_form(document: bytes, expected: bytes) -> None:
    assert to_json(document)[0] == [expected]


def test_document_of_an_unknown_type_is_read_unchanged() -> None:
    document = element(0x63, b"")
    assert to_json(document) == ([document], [""])


def test_all_documents_of_a_batch_are_converted() -> None:
    batch = b"".join(bson.encode({"_id": number, "n": float("nan")}) for number in range(3))
    assert to_json(batch)[0] == [b'{"_id":%d,"n":"NaN"}' % number for number in range(3)]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("mongodb://u:s3cret@h:bad/d.c", "Port contains non-digit characters"),
        ("mongodb://h/d.c?nope=s3cret", "Unknown option: nope"),
    ],
)
def test_connection_string_that_the_driver_does_not_take_is_one_error(address: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught, _connect(Url(address)):
        pass
    assert f"expected a connection string of MongoDB: {reason}" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_no_documents_are_read_without_a_request() -> None:
    url = Url("mongodb://127.0.0.1:1/shop.orders")
    assert list(read_collection(Collection(url, "shop", "orders", 86400), 0.0, 0)) == []
