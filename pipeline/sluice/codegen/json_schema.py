"""Contract -> JSON Schema (draft 2020-12), to be shared with the producers of the events.

It accepts what the decoder accepts, with three exceptions that JSON Schema cannot express: an integer must be
written without a point or exponent, every value of a repeated key must be valid, and free-form objects must
hold no number outside the range of a double.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from sluice.contracts import INT64_MAX, INT64_MIN, Contract, Property
from sluice.contracts.patterns import UUID_PATTERN

DIALECT = "https://json-schema.org/draft/2020-12/schema"

TIMESTAMP_FORMAT = "timestamp"
"""A format of Sluice: RFC 3339, also with a space for the T, an offset without colon, or none (then it is UTC);
a real day and time of the years 0001 to 9999 in UTC. Validators that do not know the format use the pattern."""

TIMESTAMP_PATTERN = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}"
    "(?:[.][0-9]+)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?$"
)
DATE_PATTERN = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

_JSON_TYPES: Mapping[str, str] = {
    "uuid": "string",
    "timestamp": "string",
    "date": "string",
    "float": "number",
    "decimal": "number",
    "json": "object",
}
_FORMS: Mapping[str, Mapping[str, Any]] = {
    "uuid": {"format": "uuid", "pattern": UUID_PATTERN},
    "timestamp": {"format": TIMESTAMP_FORMAT, "pattern": TIMESTAMP_PATTERN},
    "date": {"format": "date", "pattern": DATE_PATTERN},
    "integer": {"minimum": INT64_MIN, "maximum": INT64_MAX},
    "float": {"minimum": -sys.float_info.max, "maximum": sys.float_info.max},
    "decimal": {"multipleOf": 1e-9, "exclusiveMinimum": -1e29, "exclusiveMaximum": 1e29},
}


def json_schema(contract: Contract) -> dict[str, Any]:
    """Return the schema of one event of `contract`; properties that it does not name are allowed."""
    return {
        "$schema": DIALECT,
        "title": contract.event_type,
        "description": contract.description,
        "$comment": f"Data contract {contract.label}",
        "type": "object",
        **_members(contract.properties),
    }


def _members(properties: tuple[Property, ...]) -> dict[str, Any]:
    return {
        "required": [prop.name for prop in properties if prop.required],
        "properties": {prop.name: property_schema(prop) for prop in properties},
    }


def property_schema(prop: Property) -> dict[str, Any]:
    """Return the schema of one property's value; null is allowed if the property is optional and nullable."""
    json_type = _JSON_TYPES.get(prop.type, prop.type)
    is_null_allowed = prop.nullable and not prop.required
    schema: dict[str, Any] = {"type": [json_type, "null"] if is_null_allowed else json_type}
    if prop.description:
        schema = {"description": prop.description, **schema}
    if prop.enum:
        values = [*prop.enum, None] if is_null_allowed else [*prop.enum]
        schema |= {"const": values[0]} if len(values) == 1 else {"enum": values}
        return schema
    schema |= _form(prop)
    if prop.type == "object":
        schema |= _members(prop.properties)
    if prop.type == "array":
        schema |= {"items": property_schema(prop.items)} if prop.items is not None else {}
        schema |= _keywords(minItems=prop.min_length, maxItems=prop.max_length)
        schema |= {"uniqueItems": True} if prop.unique_items else {}
    if prop.type == "json":
        schema |= _keywords(minProperties=prop.min_length, maxProperties=prop.max_length)
        schema |= {"required": [*prop.members]} if prop.members else {}
    if prop.type == "string":
        schema |= _keywords(minLength=prop.min_length, maxLength=prop.max_length)
    return schema


def _form(prop: Property) -> dict[str, Any]:
    """Return the keywords for the form of the property's strings and the range of its numbers."""
    form = dict(_FORMS.get(prop.type, {})) | _keywords(pattern=prop.pattern)
    bounds = {"formatMinimum": prop.earliest, "formatMaximum": prop.latest}
    form |= {name: bound.isoformat() for name, bound in bounds.items() if bound is not None}
    if prop.multiple_of is not None:
        form["multipleOf"] = float(prop.multiple_of)
    return form | _keywords(minimum=prop.minimum, maximum=prop.maximum)


def _keywords(**keywords: Any) -> dict[str, Any]:
    return {name: value for name, value in keywords.items() if value is not None}
