from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
from sluice.codegen.json_schema import DATE_PATTERN, TIMESTAMP_PATTERN, json_schema, property_schema
from sluice.contracts import Contract, Property, load_contracts
from sluice.contracts.patterns import UUID_PATTERN

from tests.names import ALLOWED_NAMES, WORDS_OF_SCHEMAS

EVENTS = load_contracts(str(Path(__file__).parents[2] / "schemas" / "backend_events"))


@pytest.mark.parametrize(
    ("prop", "schema"),
    [
        (
            Property("a", "string", required=True, description="Why."),
            {"description": "Why.", "type": "string"},
        ),
        (Property("a", "string"), {"type": ["string", "null"]}),
        (
            Property("a", "string", min_length=1, max_length=2, pattern="^x"),
            {"type": ["string", "null"], "pattern": "^x", "minLength": 1, "maxLength": 2},
        ),
        (Property("a", "string", required=True, enum=("x",)), {"type": "string", "const": "x"}),
        (Property("a", "string", enum=("x", "y")), {"type": ["string", "null"], "enum": ["x", "y", None]}),
        (Property("a", "integer", required=True, enum=(1, 2)), {"type": "integer", "enum": [1, 2]}),
        (Property("a", "uuid", required=True), {"type": "string", "format": "uuid", "pattern": UUID_PATTERN}),
        (
            Property("a", "integer", required=True, minimum=-100),
            {"type": "integer", "minimum": -100, "maximum": 9223372036854775807},
        ),
        (
            Property("a", "float", required=True),
            {"type": "number", "minimum": -1.7976931348623157e308, "maximum": 1.7976931348623157e308},
        ),
        (
            Property("a", "decimal", required=True, minimum=0),
            {
                "type": "number",
                "multipleOf": 1e-9,
                "exclusiveMinimum": -1e29,
                "exclusiveMaximum": 1e29,
                "minimum": 0,
            },
        ),
        (Property("a", "boolean", required=True), {"type": "boolean"}),
        (
            Property("a", "timestamp", required=True),
            {"type": "string", "format": "timestamp", "pattern": TIMESTAMP_PATTERN},
        ),
        (Property("a", "date", required=True), {"type": "string", "format": "date", "pattern": DATE_PATTERN}),
        (Property("a", "json"), {"type": ["object", "null"]}),
        (
            Property(
                "a", "array", required=True, items=Property("item", "boolean", required=True), max_length=3
            ),
            {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
        ),
        (
            Property("a", "object", required=True, properties=(Property("b", "boolean", required=True),)),
            {"type": "object", "required": ["b"], "properties": {"b": {"type": "boolean"}}},
        ),
    ],
)
def test_property_has_the_schema_of_its_type_and_limits(prop: Property, schema: dict[str, object]) -> None:
    assert property_schema(prop) == schema


def test_event_has_a_json_schema_with_its_properties() -> None:
    schema = json_schema(EVENTS["inventory"])
    properties = schema.pop("properties")
    assert schema == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "inventory",
        "description": "The stock of a product in a warehouse changed.",
        "$comment": "Data contract backend-events-inventory@1.0.0",
        "type": "object",
        "required": list(properties),
    }
    assert properties["event_type"]["const"] == "inventory"
    assert properties["quantity_change"] == {
        "description": "How many came (positive) or went (negative).",
        "type": "integer",
        "minimum": -100,
        "maximum": 100,
    }


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_json_schema_of_every_contract_is_valid(name: str) -> None:
    assert jsonschema_rs.meta.is_valid(json_schema(EVENTS[name]))


def named(name: str) -> Contract:
    """Return a contract in which everything has this name, and is required."""
    text = Property(name, "string", required=True, description=f"What's {name}?", pattern="^x")
    item = Property("item", "object", required=True, properties=(text,))
    return Contract(
        "odd", "odd_events", "odd", "1.0.0", "odd", "",
        (
            text,
            Property("o", "object", required=True, properties=(text, Property("p", "object", properties=(text,)))),
            Property("l", "array", required=True, items=item),
        ),
        None,
    )  # fmt: skip


@pytest.mark.parametrize("name", [*ALLOWED_NAMES, *WORDS_OF_SCHEMAS])
def test_schema_of_any_name_judges_the_member_of_that_name(name: str) -> None:
    schema = json.loads(json.dumps(json_schema(named(name)), ensure_ascii=False).encode())
    accepts = jsonschema_rs.validator_for(schema).is_valid
    right = {name: "x", "o": {name: "x"}, "l": [{name: "x"}]}
    assert accepts(right)
    assert accepts(right | {"o": {name: "x", "p": {name: "x"}}})
    if name not in ("o", "l"):
        assert not accepts({key: value for key, value in right.items() if key != name})
        assert not accepts(right | {name: "y"})
    assert not accepts(right | {"o": {}})
    assert not accepts(right | {"o": {name: "x", "p": {name: "y"}}})
    assert not accepts(right | {"l": [{name: "x"}, {name: 1}]})
