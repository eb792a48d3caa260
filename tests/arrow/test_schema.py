from __future__ import annotations

import pyarrow as pa
import pytest
from sluice.arrow.schema import arrow_schema, holds_forbidden_null, retype
from sluice.contracts import Contract, Property
from sluice.errors import ContractError

AT = Property("at", "timestamp", required=True)


def contract(*properties: Property, path: str = "") -> Contract:
    return Contract(
        "thing", "things", "thing", "1.2.0", "test", "Things.", (AT, *properties), "at", path=path
    )


ADDED = ["_extra", "_event_id", "_segment_id", "_ingested_at"]

TYPES = [
    (Property("p", "string"), pa.string()),
    (Property("p", "uuid"), pa.string()),
    (Property("p", "integer"), pa.int64()),
    (Property("p", "float"), pa.float64()),
    (Property("p", "decimal"), pa.decimal128(38, 9)),
    (Property("p", "boolean"), pa.bool_()),
    (Property("p", "timestamp"), pa.timestamp("us", tz="UTC")),
    (Property("p", "date"), pa.date32()),
    (Property("p", "json"), pa.string()),
    (
        Property("p", "object", properties=(Property("a", "integer", required=True), Property("b", "date"))),
        pa.struct([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.date32())]),
    ),
    (
        Property("p", "array", items=Property("each", "decimal", required=True)),
        pa.list_(pa.field("item", pa.decimal128(38, 9), nullable=False)),
    ),
]


@pytest.mark.parametrize(("prop", "expected"), TYPES, ids=[prop.type for prop, _ in TYPES])
def test_property_of_each_type_has_its_arrow_type(prop: Property, expected: pa.DataType) -> None:
    assert arrow_schema(contract(prop)).field("p").type == expected


def test_columns_are_the_properties_in_order_followed_by_the_added_ones() -> None:
    schema = arrow_schema(contract(Property("z", "string"), Property("a", "integer", required=True)))
    assert schema.names == ["at", "z", "a", *ADDED]
    assert [field.nullable for field in schema] == [False, True, False, True, False, False, False]
    assert schema.metadata == {b"contract": b"thing@1.2.0"}


def test_field_metadata_has_description_and_value_type() -> None:
    schema = arrow_schema(contract(Property("a", "json", description="Anything."), Property("b", "uuid")))
    assert schema.field("a").metadata == {b"description": b"Anything.", b"kind": b"json"}
    assert schema.field("b").metadata == {b"kind": b"uuid"}
    assert schema.field("at").metadata is None
    assert schema.field("_extra").metadata[b"kind"] == b"json"


@pytest.mark.parametrize(
    ("prop", "message"),
    [
        (Property("_extra", "json"), "c.yaml: property _extra: the name is reserved by Sluice; rename it"),
        (
            Property("p", "object"),
            "c.yaml: property p: expected an object with properties, got none; of any shape: json",
        ),
        (
            Property("p", "object", properties=(Property("q", "array"),)),
            "c.yaml: property p: property q: expected an array with items, got none; of anything: json",
        ),
    ],
)
def test_property_that_no_table_can_hold_is_rejected(prop: Property, message: str) -> None:
    with pytest.raises(ContractError) as error:
        arrow_schema(contract(prop, path="c.yaml"))
    assert str(error.value) == message


INNER = pa.field("s", pa.struct([pa.field("a", pa.int64(), nullable=False)]))
LIST = pa.field("l", pa.list_(pa.field("item", INNER.type)))


@pytest.mark.parametrize(
    ("values", "field", "expected"),
    [
        ([1, None], pa.field("a", pa.int64()), False),
        ([1, None], pa.field("a", pa.int64(), nullable=False), True),
        ([{"a": 1}, None], INNER, False),
        ([{"a": 1}, {"a": None}], INNER, True),
        ([None, [None, {"a": 1}], []], LIST, False),
        ([None, [{"a": None}], []], LIST, True),
        ([], LIST, False),
    ],
)
def test_forbidden_nulls_are_found_at_any_depth(
    values: list[object], field: pa.Field, expected: bool
) -> None:
    loose = pa.struct([pa.field("a", pa.int64())])
    types = {"s": loose, "l": pa.list_(loose), "a": pa.int64()}
    assert holds_forbidden_null([pa.array(values, types[field.name])], [field]) is expected


def test_retyping_keeps_the_values() -> None:
    values = [None, {"d": None, "l": [None, {"x": 5}]}, {"d": 86400, "l": None}]
    loose = pa.struct([("d", pa.timestamp("s")), ("l", pa.list_(pa.struct([("x", pa.int64())])))])
    item = pa.field("item", pa.struct([pa.field("x", pa.int64(), nullable=False)]))
    tight = pa.struct([pa.field("d", pa.date32()), pa.field("l", pa.list_(item))])
    array = retype(pa.array(values, loose), tight)
    array.validate(full=True)
    assert array.equals(pa.array([None, {"d": None, "l": [None, {"x": 5}]}, {"d": 1, "l": None}], tight))
