from __future__ import annotations

import gc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.contracts import Contract, Identity, Property, load_contracts
from sluice.errors import ContractError
from sluice.validation.decoder import compile_decoder, compile_struct, too_deep

EVENTS = load_contracts(str(Path(__file__).parents[2] / "schemas" / "backend_events"))
LINE = (
    b'{"event_type":"inventory","inventory_id":"00000001-0000-4000-8000-000000000001",'
    b'"product_id":"00000001-0000-4000-8000-000000000001","warehouse_id":"00000001-0000-4000-8000-000000000001",'
    b'"quantity_change":-2,"reason":"sale","timestamp":"2025-02-08T13:09:00.250Z"}'
)


def contract(
    *properties: Property, identity: Identity = "content", event_time: str | None = None
) -> Contract:
    return Contract("sale", "sales", "sale", "1", "shop", "", properties, event_time, identity)


def test_event_is_decoded_by_the_contract_of_its_tag() -> None:
    decoder = compile_decoder(EVENTS, "event_type")
    event = decoder.decode(LINE)
    assert decoder.contract_of[type(event)] is EVENTS["inventory"]
    assert sorted(contract.event_type for contract in decoder.contract_of.values()) == sorted(EVENTS)
    assert event.event_time_ == datetime(2025, 2, 8, 13, 9, 0, 250_000, tzinfo=UTC)
    assert (event.quantity_change, event.reason) == (-2, "sale")
    assert decoder.suspects[type(event)]([event]) == []


@pytest.mark.parametrize("contracts", [EVENTS, {"inventory": EVENTS["inventory"]}], ids=["several", "single"])
@pytest.mark.parametrize("tag", [b'"oops"', b"null", b"5", None])
def test_event_with_an_unknown_tag_is_rejected(contracts: dict[str, Contract], tag: bytes | None) -> None:
    member = b'"event_type":"inventory",'
    line = LINE.replace(member, b"" if tag is None else b'"event_type":%s,' % tag)
    with pytest.raises(msgspec.ValidationError):
        compile_decoder(contracts, "event_type").decode(line)


def test_two_contracts_are_routed_by_their_tags() -> None:
    contracts = {name: EVENTS[name] for name in ("inventory", "order")}
    decoder = compile_decoder(contracts, "event_type")
    assert decoder.contract_of[type(decoder.decode(LINE))] is EVENTS["inventory"]
    assert list(decoder.contract_of.values()) == list(contracts.values())


@pytest.mark.parametrize(
    ("prop", "valid", "invalid"),
    [
        (Property("p", "integer"), (b"9223372036854775807", b"-9223372036854775808", b"null", None),
         (b"9223372036854775808", b"-9223372036854775809", b"1.5", b'"1"')),
        (Property("p", "integer", required=True), (b"0",), (b"null", None)),
        (Property("p", "integer", nullable=False), (b"0", None), (b"null",)),
        (Property("p", "integer", minimum=0, maximum=7), (b"0", b"7", b"null"), (b"-1", b"8")),
        (Property("p", "float", minimum=-0.5, maximum=0.5), (b"-0.5", b"0.5", b"null"), (b"-0.51", b"0.51")),
        (Property("p", "string", min_length=0, max_length=2), (b'""', '"éé"'.encode()), (b'"abc"', b"1")),
        (Property("p", "string", min_length=2), (b'"ab"', b"null"), (b'"a"',)),
        (Property("p", "string", enum=("a", "b")), (b'"a"', b'"b"', b"null", None), (b'"c"',)),
        (Property("p", "string", enum=("a",), nullable=False), (b'"a"', None), (b"null",)),
        (Property("p", "decimal", minimum=5), (b"4", b"null", b'"x"'), ()),  # left to the suspects
        (Property("p", "array", items=Property("i", "integer"), max_length=2),
         (b"[]", b"[1,null]", b"null"), (b"[1,2,3]", b'["1"]')),
        (Property("p", "array", items=Property("i", "integer", required=True)), (b"[1]",), (b"[null]",)),
        (Property("p", "object", properties=(Property("q", "boolean", required=True),)),
         (b'{"q":true,"r":1}', b"null"), (b"{}", b'{"q":null}', b"[]")),
    ],
    ids=lambda value: f"{value.type}" if isinstance(value, Property) else "",
)  # fmt: skip
def test_value_is_decoded_if_its_property_allows_it(
    prop: Property, valid: tuple[bytes | None, ...], invalid: tuple[bytes | None, ...]
) -> None:
    decode = compile_decoder({"sale": contract(prop)}, None).decode

    def is_valid(value: bytes | None) -> bool:
        try:
            decode(b"{}" if value is None else b'{"p":%s}' % value)
        except msgspec.ValidationError:
            return False
        return True

    assert [value for value in (*valid, *invalid) if is_valid(value)] == list(valid)


def test_required_property_may_follow_an_optional_one() -> None:
    decoder = compile_decoder(
        {"sale": contract(Property("a", "integer"), Property("b", "date", required=True))}, None
    )
    event = decoder.decode(b'{"b":"2025-02-08"}')
    assert (event.a, event.b.isoformat()) == (None, "2025-02-08")


def test_event_costs_the_garbage_collector_nothing() -> None:
    decoder = compile_decoder(
        {"sale": contract(Property("list", "array", items=Property("i", "integer")))}, None
    )
    assert not gc.is_tracked(decoder.decode(b'{"list":[1]}'))


def test_struct_without_a_tag_field_has_no_tag() -> None:
    struct = compile_struct("sale", [Property("a", "integer")])
    assert msgspec.json.encode(msgspec.json.decode(b'{"a":1,"type":5}', type=struct)) == b'{"a":1}'
    assert struct.__struct_fields__ == ("a",)


def test_property_whose_name_is_no_identifier_is_decoded() -> None:
    names = ["class", "a b", "é", "event_time_", "property_0_", "_x", "__init__", "$", "plain"]
    decoder = compile_decoder({"sale": contract(*(Property(name, "integer") for name in names))}, None)
    event = decoder.decode(msgspec.json.encode({name: index for index, name in enumerate(names)}))
    assert list(msgspec.structs.astuple(event)) == list(range(len(names)))
    assert event.plain == 8


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1", True), ("-0.5", True), ("99999999999999999999999999999.999999999", True), ("0", True),
        ("100000000000000000000000000000", False), ("0.1234567890", False), ("1e2", False), ("null", False),
        ('"1"', False), ("1e999", False),
    ],
)  # fmt: skip
def test_decimal_with_unusual_spelling_is_a_suspect(text: str, plain: bool) -> None:
    decoder = compile_decoder({"sale": contract(Property("price", "decimal", required=True))}, None)
    event = decoder.decode(f'{{"price": {text} }}'.encode())
    assert decoder.suspects[type(event)]([event]) == ([] if plain else [0])


@pytest.mark.parametrize(
    ("record", "plain"),
    [
        ("{}", True),
        ('{"price":null,"box":null,"list":null}', True),
        ('{"box":{}}', True),
        ('{"box":{"fee":0.1}}', True),
        ('{"box":{"fee":0.11}}', False),
        ('{"box":{"fee":-1.000000001}}', False),
        ('{"list":[[1,null],null,[]]}', True),
        ('{"list":[[1],[1e2]]}', False),
        ('{"at":"0001-01-01T00:00:00+01:00"}', False),
        ('{"at":"9999-12-31T00:00:00"}', False),
        ('{"at":"2025-02-08T13:09:00"}', True),
        ('{"id":"00000001-0000-4000-8000-00000000000A"}', True),
        ('{"id":null}', True),
        ('{"id":"00000001-0000-4000-8000-0000000000000"}', False),
        ('{"id":"00000001-0000-4000-8000-00000000000g"}', False),
        ('{"id":"00000001-0000-4000-8000-00000000000\u0661"}', False),
        ('{"id":"00000001-0000-4000-8000-000000000001\\n00000001-0000-4000-8000-000000000001"}', False),
        ('{"id":"00000001-0000-4000-8000-000000000001\\n"}', False),
        ('{"id":"00000001\\n0000-4000-8000-000000000001"}', False),
        ('{"id":""}', False),
    ],
)
def test_suspect_value_is_found_at_any_depth(record: str, plain: bool) -> None:
    fee = Property("fee", "decimal", minimum=-1, maximum=0.1)
    inner = Property("row", "array", items=Property("item", "decimal"))
    properties = (
        Property("price", "decimal"),
        Property("box", "object", properties=(fee,)),
        Property("list", "array", items=inner),
        Property("at", "timestamp"),
        Property("id", "uuid"),
    )
    decoder = compile_decoder({"sale": contract(*properties)}, None)
    event = decoder.decode(record.encode())
    assert decoder.suspects[type(event)]([event]) == ([] if plain else [0])


def test_suspects_are_found_anywhere_among_many_events() -> None:
    # The name is none of Python's, and the tag stands before it.
    tag = Property("event_type", "string", required=True, enum=("sale",))
    contracts = {"sale": contract(tag, Property("é", "decimal", required=True), Property("id", "uuid"))}
    decoder = compile_decoder(contracts, "event_type")
    plain = '{"event_type":"sale","é":1.5,"id":"00000001-0000-4000-8000-000000000001"}'
    records = [plain] * 100
    suspects = {0: plain.replace("1.5", "1e2"), 15: plain.replace("-4000", "-400"), 16: plain.replace("1.5", "null"),
           17: plain.replace("0001-", "\u0661001-"), 99: plain.replace("1.5", '"1.5"')}  # fmt: skip
    for index, record in suspects.items():
        records[index] = record
    events = [decoder.decode(record.encode()) for record in records]
    find_odd = decoder.suspects[type(events[0])]
    assert find_odd(events) == list(suspects)
    assert find_odd(events[1:15]) == find_odd([]) == []


MANY = contract(
    Property("box", "object", properties=(Property("fee", "decimal", required=True),)),
    Property("list", "array", items=Property("i", "array", items=Property("j", "decimal", minimum=-2))),
    Property("at", "timestamp", required=True, latest=datetime(2026, 1, 1, tzinfo=UTC)),
    Property("id", "uuid"),
    Property("code", "string", pattern="^[A-Z]{2}$"),
    Property("tags", "array", items=Property("t", "string"), unique_items=True),
)
UUID_TEXT = "00000001-0000-4000-8000-000000000001"
SOME_DECIMALS = st.sampled_from([b"0", b"-1.5", b"1e2", b"-3", b'"1"', b"[1,\n2]", b"null"]).map(msgspec.Raw)
SOME_RECORDS = st.fixed_dictionaries(
    {
        "at": st.sampled_from(
            ["2025-02-08T13:09:00Z", "2025-02-08T13:09:00", "2026-03-01T00:00:00Z", "9999-12-31T00:00:00Z"]
        )
    },
    optional={
        "box": st.fixed_dictionaries({"fee": SOME_DECIMALS}),
        "list": st.lists(st.none() | st.lists(SOME_DECIMALS, max_size=3), max_size=3),
        "id": st.sampled_from(
            [UUID_TEXT, UUID_TEXT[:-1], f"{UUID_TEXT[:-1]}g", "é", f"{UUID_TEXT}\n{UUID_TEXT}", ""]
        ),
        "code": st.sampled_from(["AB", "ab", "A", "AB\nAB", "", None]),
        "tags": st.lists(st.sampled_from(["a", "b"]), max_size=3),
    },
)


@given(st.lists(SOME_RECORDS, min_size=1, max_size=50))
def test_event_is_a_suspect_among_others_if_it_is_one_alone(records: list[dict[str, Any]]) -> None:
    decoder = compile_decoder({"sale": MANY}, None)
    events = [decoder.decode(msgspec.json.encode(record)) for record in records]
    find_odd = decoder.suspects[type(events[0])]
    assert find_odd(events) == [index for index, event in enumerate(events) if find_odd([event])]


def test_contract_without_uuids_decimals_or_timestamps_has_no_suspects() -> None:
    decoder = compile_decoder({"sale": contract(Property("count", "integer"))}, None)
    assert decoder.suspects == {}


@pytest.mark.parametrize(
    ("contracts", "route_by", "message"),
    [
        ({}, "event_type", "expected contracts, got 0"),
        (EVENTS, None, "expected one contract, or route_by, got 3"),
        (
            {"sale": contract(Property("a", "string")), "refund": contract(Property("b", "string"))},
            None,
            "expected one contract, or route_by, got 2",
        ),
        (
            {"sale": contract(Property("event_type", "string", enum=("sale",)))},
            "event_type",
            "sale@1: property event_type: events are routed by it, so expected a required string with"
            " `enum: [{value: sale}]`, got sale",
        ),
        (
            {"sale": contract(Property("event_type", "string", required=True, enum=("sale", "refund")))},
            "event_type",
            "sale@1: property event_type: events are routed by it, so expected a required string with"
            " `enum: [{value: sale}]`, got sale, refund",
        ),
        (
            {"sale": contract(Property("event_type", "uuid", required=True))},
            "event_type",
            "sale@1: property event_type: events are routed by it, so expected a required string with"
            " `enum: [{value: sale}]`, got uuid",
        ),
        (
            {"sale": contract(Property("list", "array"))},
            None,
            "property list: expected an array with items, got none",
        ),
    ],
)
def test_contracts_that_cannot_be_routed_are_rejected(
    contracts: dict[str, Contract], route_by: str | None, message: str
) -> None:
    with pytest.raises(ContractError) as raised:
        compile_decoder(contracts, route_by)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("record", "deep"),
    [
        (b"[" * 256 + b"]" * 256, False),
        (b"[" * 257 + b"]" * 257, True),
        (b"[" * 255 + b"[],[]" + b"]" * 255, False),  # more brackets than the limit, and as deep as it
        (b"[" * 256 + b"[],[]" + b"]" * 256, True),
        (b"{" * 255 + b"{},{}" + b"}" * 255, False),
        (b"{" * 256 + b"{},{}" + b"}" * 256, True),
        (b"[" * 128 + b"{" * 128 + b"1" + b"}" * 128 + b"]" * 128, False),
        (b"[" * 128 + b"{" * 129 + b"1" + b"}" * 129 + b"]" * 128, True),
        (b"[" + b"[]," * 1000 + b"[]]", False),
        (b"[" + b"[]," * 1000 + b"[" * 256 + b"]" * 257, True),  # what is closed counts no more, and no less
        (b"[" + b"{}," * 1000 + b"{" * 256 + b"}" * 256 + b"]", True),
        (bytes(range(256)) + b"[]" * 300, False),  # other bytes are none of its business
        (b'["' + b"[" * 1000 + b'\\"' + b"{" * 1000 + b'"]', False),
        (b'{"a":' * 300 + b"1" + b"}" * 300, True),
    ],
)
def test_record_nested_deeper_than_the_limit_is_too_deep(record: bytes, deep: bool) -> None:
    assert too_deep(record) is deep
