from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest
from sluice.codegen.avro import avro_name, avro_schema
from sluice.contracts import Contract, Property, load_contract, load_contracts
from sluice.errors import ContractError

from tests.codegen.avro_records import to_avro
from tests.names import ALLOWED_NAMES, WORDS_OF_SCHEMAS

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "schemas" / "backend_events"
CONTRACTS = load_contracts(str(SCHEMAS))
DEAD_LETTERS = load_contract(str(ROOT / "pipeline/sluice/dead_letters/dead_letter.odcs.yaml"), internal=True)

UUID_TYPE = {"type": "string", "logicalType": "uuid"}
DECIMAL_TYPE = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9}

THING = Contract(
    event_type="my-thing",
    table="things",
    id="shop.thing",
    version="1.2.0",
    domain="shop",
    description="A thing.",
    properties=(
        Property("at", "timestamp", required=True, description="When."),
        Property("id", "uuid", required=True),
        Property("price", "decimal"),
        Property("count", "integer"),
        Property("weight", "float"),
        Property("sold", "boolean"),
        Property("day", "date"),
        Property("more", "json"),
        Property("colour", "string", enum=("red", "blue")),
        Property("size", "string", required=True, enum=("s", "x-l")),
        Property("grade", "integer", enum=(1, 2)),
        Property("user-id", "string"),
        Property("tags", "array", required=True, items=Property("item", "string", required=True)),
        Property(
            "lines",
            "array",
            items=Property(
                "item",
                "object",
                required=True,
                properties=(
                    Property("sku", "string", required=True),
                    Property("maker", "object", properties=(Property("name", "string"),)),
                ),
            ),
        ),
    ),
    event_time="at",
    path="schemas/shop/thing.odcs.yaml",
)


def decode(line: bytes) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(line, parse_float=Decimal)
    return event


def written_and_read(contract: Contract, events: list[dict[str, Any]]) -> list[Any]:
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(avro_schema(contract)), events, validator=True)
    file.seek(0)
    return list(fastavro.reader(file))


def test_schema_has_every_value_type() -> None:
    schema = avro_schema(THING)
    assert {key: schema[key] for key in ("type", "name", "namespace", "doc")} == {
        "type": "record",
        "name": "my_thing",
        "namespace": "shop",
        "doc": "A thing.",
    }
    assert schema["fields"] == [
        {"name": "at", "doc": "When.", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "id", "type": UUID_TYPE},
        {"name": "price", "type": ["null", DECIMAL_TYPE], "default": None},
        {"name": "count", "type": ["null", "long"], "default": None},
        {"name": "weight", "type": ["null", "double"], "default": None},
        {"name": "sold", "type": ["null", "boolean"], "default": None},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}], "default": None},
        {"name": "more", "type": ["null", "string"], "default": None},
        {
            "name": "colour",
            "type": ["null", {"type": "enum", "name": "my_thing_colour", "symbols": ["red", "blue"]}],
            "default": None,
        },
        {"name": "size", "type": "string"},
        {"name": "grade", "type": ["null", "long"], "default": None},
        {"name": "user_id", "type": ["null", "string"], "default": None, "json_name": "user-id"},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {
            "name": "lines",
            "type": [
                "null",
                {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "my_thing_lines_item",
                        "fields": [
                            {"name": "sku", "type": "string"},
                            {
                                "name": "maker",
                                "type": [
                                    "null",
                                    {
                                        "type": "record",
                                        "name": "my_thing_lines_item_maker",
                                        "fields": [
                                            {"name": "name", "type": ["null", "string"], "default": None}
                                        ],
                                    },
                                ],
                                "default": None,
                            },
                        ],
                    },
                },
            ],
            "default": None,
        },
    ]


def test_event_is_written_and_read() -> None:
    line = (
        b'{"at":"2025-02-08T13:09:00.123456+01:00","id":"0AE1C7B2-7C1D-4B61-9F5B-0123456789ab","price":'
        b'12345678901234567890123456789.123456789,"count":-3,"weight":1,"sold":true,"day":"2025-02-08",'
        b'"more":{"a":[1,2.50,"\xc3\xa9"]},"colour":"red","size":"x-l","grade":2,"user-id":"u","tags":[],'
        b'"lines":[{"sku":"k","maker":{}},{"sku":"l","maker":null}],"outside":1}'
    )
    event = to_avro(THING, decode(line))
    expected = {
        "at": datetime(2025, 2, 8, 12, 9, 0, 123456, tzinfo=UTC),
        "id": UUID("0ae1c7b2-7c1d-4b61-9f5b-0123456789ab"),
        "price": Decimal("12345678901234567890123456789.123456789"),
        "count": -3,
        "weight": 1.0,
        "sold": True,
        "day": date(2025, 2, 8),
        "more": '{"a":[1,2.50,"é"]}',
        "colour": "red",
        "size": "x-l",
        "grade": 2,
        "user_id": "u",
        "tags": [],
        "lines": [{"sku": "k", "maker": {"name": None}}, {"sku": "l", "maker": None}],
    }
    assert event == expected
    assert written_and_read(THING, [event]) == [expected]


def test_absent_property_is_null() -> None:
    event = to_avro(THING, {"at": "1969-12-31T23:59:59Z", "id": str(UUID(int=1)), "size": "s", "tags": ["a"]})
    assert written_and_read(THING, [event]) == [event]
    assert event["at"] == datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert [name for name, value in event.items() if value is None] == [
        *("price", "count", "weight", "sold", "day", "more", "colour", "grade", "user_id", "lines")
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1, "0.1"),
        (3, "3"),
        (Decimal("12345678901234567890123456789.0000000000"), "12345678901234567890123456789"),
        (Decimal("1e3"), "1000"),
        (Decimal("0e400"), "0"),
        (Decimal("-0.000000001"), "-0.000000001"),
    ],
)
def test_decimal_is_exact(value: Any, expected: str) -> None:
    event = {"at": "2025-02-08T13:09:00", "id": str(UUID(int=1)), "size": "s", "tags": [], "price": value}
    (read,) = written_and_read(THING, [to_avro(THING, event)])
    assert read["price"] == Decimal(expected)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_accepted_example_is_written_and_read(contract: Contract) -> None:
    lines = (SCHEMAS / "examples" / f"{contract.event_type}.accepts.ndjson").read_bytes().splitlines()
    assert lines
    events = [to_avro(contract, decode(line)) for line in lines]
    assert written_and_read(contract, events) == events


def test_order_is_written_and_read() -> None:
    line = (
        b'{"event_type":"order","order_id":"0ae1c7b2-7c1d-4b61-9f5b-0123456789ab","customer_id":"00000000-0000-0000-'
        b'0000-000000000001","order_date":"2025-02-08T13:09:00Z","status":"shipped","items":[{"product_id":"00000000-'
        b'0000-0000-0000-000000000002","product_name":"Cup","quantity":2,"price":9.99}],"shipping_address":{"street":'
        b'"S 1","city":"C","country":"X"},"total_amount":19.98}'
    )
    (read,) = written_and_read(CONTRACTS["order"], [to_avro(CONTRACTS["order"], decode(line))])
    assert read == {
        "event_type": "order",
        "order_id": UUID("0ae1c7b2-7c1d-4b61-9f5b-0123456789ab"),
        "customer_id": UUID(int=1),
        "order_date": datetime(2025, 2, 8, 13, 9, tzinfo=UTC),
        "status": "shipped",
        "items": [
            {"product_id": UUID(int=2), "product_name": "Cup", "quantity": 2, "price": Decimal("9.99")}
        ],
        "shipping_address": {"street": "S 1", "city": "C", "country": "X"},
        "total_amount": Decimal("19.98"),
    }


def test_schema_of_dead_letters_has_every_property() -> None:
    schema = fastavro.parse_schema(avro_schema(DEAD_LETTERS))
    assert isinstance(schema, dict)
    assert [field["name"] for field in schema["fields"]] == [prop.name for prop in DEAD_LETTERS.properties]


def test_names_of_types_are_unique() -> None:
    inner = Property("b_c", "object", required=True, properties=(Property("x", "string"),))
    deeper = Property("c", "object", required=True, properties=(Property("y", "string"),))
    outer = Property("b", "object", required=True, properties=(deeper,))
    schema = avro_schema(replace(THING, event_type="a", properties=(inner, outer)))
    assert [
        schema["fields"][0]["type"]["name"],
        schema["fields"][1]["type"]["fields"][0]["type"]["name"],
    ] == [
        "a_b_c",
        "a_b_c_2",
    ]
    fastavro.parse_schema(schema)


@pytest.mark.parametrize(
    ("name", "expected"), [("plain", "plain"), ("user-id", "user_id"), ("1st", "_1st"), ("é", "_"), ("", "_")]
)
def test_name_becomes_one_that_avro_allows(name: str, expected: str) -> None:
    assert avro_name(name) == expected


def test_names_that_are_equal_in_avro_are_rejected() -> None:
    twins = Property("o", "object", properties=(Property("a-b", "string"), Property("a_b", "string")))
    with pytest.raises(ContractError) as raised:
        avro_schema(replace(THING, properties=(twins,)))
    assert str(raised.value) == (
        "schemas/shop/thing.odcs.yaml: property o.a_b: Avro cannot tell it from a-b, both are a_b there;"
        " rename one"
    )


@pytest.mark.parametrize("name", [*ALLOWED_NAMES, *WORDS_OF_SCHEMAS])
def test_record_with_any_name_is_written_and_read(name: str) -> None:
    text, own = Property(name, "string"), avro_name(name)
    colour = Property("colour", "string", enum=("red", "blue"))
    item = Property("item", "object", required=True, properties=(text, colour))
    inner = Property("o", "object", properties=(text, Property(name + "_", "object", properties=(text,))))
    contract = replace(THING, properties=(text, inner, Property("l", "array", items=item)))
    schema = json.loads(json.dumps(avro_schema(contract)))
    field = schema["fields"][0]
    assert (field["name"], field.get("json_name", own)) == (own, name if own != name else own)
    event = {
        own: "x",
        "o": {own: "y", avro_name(name + "_"): {own: "z"}},
        "l": [{own: "a", "colour": "red"}, {own: None, "colour": None}],
    }
    assert written_and_read(contract, [event]) == [event]


@pytest.mark.parametrize("domain", ["shop", "my-shop", "a.b", "1st", "Shop_2", "-"])
@pytest.mark.parametrize("event_type", ["order", "my-thing", "a.b", "1st", "null", "record", "string"])
def test_schema_of_any_event_type_and_domain_is_valid(domain: str, event_type: str) -> None:
    contract = replace(THING, domain=domain, event_type=event_type)
    schema = avro_schema(contract)
    fastavro.parse_schema(schema)
    assert (schema["name"], schema["namespace"]) == (avro_name(event_type), avro_name(domain))
