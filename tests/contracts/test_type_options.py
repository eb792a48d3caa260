from __future__ import annotations

from typing import Any

import pytest
from open_data_contract_standard.model import SchemaProperty
from sluice.contracts.odcs import KeyPath
from sluice.contracts.patterns import compile_pattern
from sluice.contracts.type_options import TIME_PATTERN, supported_options
from sluice.contracts.value_types import ValueType
from sluice.errors import ContractError

TYPES: dict[str, tuple[str, ValueType]] = {
    "decimal": ("number", "decimal"),
    "float": ("number", "float"),
    "integer": ("integer", "integer"),
    "string": ("string", "string"),
    "date": ("date", "date"),
    "timestamp": ("timestamp", "timestamp"),
    "time": ("time", "string"),
    "array": ("array", "array"),
    "object": ("object", "object"),
}


def supported(name: str, options: dict[str, Any], place: KeyPath | None = None) -> dict[str, Any]:
    logical, value_type = TYPES[name]
    prop = SchemaProperty(name="x", logicalType=logical, logicalTypeOptions=options)
    return supported_options(place or KeyPath("f"), prop, value_type)


@pytest.mark.parametrize(
    ("name", "options", "result"),
    [
        ("integer", {"exclusiveMinimum": 18}, {"minimum": 19}),
        ("integer", {"exclusiveMaximum": 100}, {"maximum": 99}),
        ("integer", {"minimum": 30, "exclusiveMinimum": 18}, {"minimum": 30}),
        ("integer", {"maximum": 50, "exclusiveMaximum": 18}, {"maximum": 17}),
        ("integer", {"format": "i64"}, {}),
        ("integer", {"format": "i32"}, {"minimum": -(2**31), "maximum": 2**31 - 1}),
        ("integer", {"format": "u8"}, {"minimum": 0, "maximum": 255}),
        ("integer", {"format": "u8", "minimum": 5, "maximum": 300}, {"minimum": 5, "maximum": 255}),
        ("float", {"exclusiveMinimum": 0}, {"minimum": 5e-324}),
        ("float", {"exclusiveMaximum": 1}, {"maximum": 0.9999999999999999}),
        ("decimal", {"exclusiveMinimum": 0}, {"minimum": 1e-9}),
        ("decimal", {"exclusiveMaximum": 10.5}, {"maximum": 10.499999999}),
        ("float", {"format": "f64", "minimum": 0}, {"minimum": 0}),
        ("date", {"format": "yyyy-MM-dd"}, {}),
        ("timestamp", {"format": "RFC3339", "timezone": True, "defaultTimezone": "UTC"}, {}),
        ("time", {"format": "HH:mm:ss"}, {}),
        ("array", {"uniqueItems": False, "maxItems": 3}, {"maxItems": 3}),
        ("string", {"format": "uuid"}, {"format": "uuid"}),
        ("string", {"pattern": None, "minLength": 1}, {"minLength": 1}),
    ],
)
def test_options_are_written_in_the_words_of_sluice(
    name: str, options: dict[str, Any], result: dict[str, Any]
) -> None:
    assert supported(name, options) == result


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        (
            "integer",
            {"multipleOf": 5},
            "multipleOf: is not supported by Sluice for integer; remove it, and test it in dbt",
        ),
        (
            "date",
            {"minimum": "2020-01-01"},
            "minimum: is not supported by Sluice for date; remove it, and test it in dbt",
        ),
        (
            "date",
            {"exclusiveMaximum": "2020-01-01"},
            "exclusiveMaximum: is not supported by Sluice for date; ",
        ),
        (
            "timestamp",
            {"maximum": "2020-01-01T00:00:00Z"},
            "maximum: is not supported by Sluice for timestamp; ",
        ),
        (
            "timestamp",
            {"defaultTimezone": "Europe/Paris"},
            "defaultTimezone: is not supported by Sluice for timestamp; ",
        ),
        ("timestamp", {"format": "yyyy"}, "format: expected one of yyyy-MM-dd'T'HH:mm:ssXXX, "),
        ("array", {"uniqueItems": True}, "uniqueItems: is not supported by Sluice for array; "),
        (
            "object",
            {"maxProperties": 5},
            "maxProperties: is not supported by Sluice for object; list its `properties`",
        ),
        (
            "object",
            {"required": ["a"]},
            "required: is not supported by Sluice for object; list its `properties`, with ",
        ),
        (
            "string",
            {"format": "email"},
            "format: expected uuid, got 'email'; the others are not supported by Sluice: ",
        ),
        (
            "integer",
            {"format": "u64"},
            "format: expected one of i8, i16, i32, i64, u8, u16, u32, got 'u64', which is ",
        ),
        ("integer", {"exclusiveMinimum": 1.5}, "exclusiveMinimum: expected an integer, got 1.5"),
        ("integer", {"exclusiveMinimum": True}, "exclusiveMinimum: expected an integer, got True"),
        ("float", {"exclusiveMaximum": float("inf")}, "exclusiveMaximum: expected a number, got inf"),
        ("decimal", {"exclusiveMinimum": "0"}, "exclusiveMinimum: expected a number, got '0'"),
        (
            "decimal",
            {"exclusiveMinimum": 12345678901234},
            "exclusiveMinimum: 12345678901234 is not supported by Sluice for decimal; remove it, and test it in dbt",
        ),
    ],
)
def test_option_that_is_not_checked_is_refused_with_the_way_out(
    name: str, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ContractError) as raised:
        supported(name, options)
    assert str(raised.value).startswith(f"f: {problem}")


@pytest.mark.parametrize(
    ("name", "options", "note"),
    [
        ("float", {"format": "f32"}, "f: format: f32 is not checked: the numbers are stored with 64 bits"),
        (
            "timestamp",
            {"timezone": False},
            "f: timezone: is not used by Sluice: a timestamp without an offset is UTC",
        ),
    ],
)
def test_option_of_little_effect_is_noted(name: str, options: dict[str, Any], note: str) -> None:
    place = KeyPath("f")
    assert supported(name, options, place) == {}
    assert place.notes == [note]


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("00:00:00", True),
        ("23:59:59.123456+01:00", True),
        ("12:30:00Z", True),
        ("24:00:00", False),
        ("12:60:00", False),
        ("1:00:00", False),
        ("12:30", False),
        ("12:30:00\n", False),
    ],
)
def test_time_is_a_time_of_the_day(text: str, matches: bool) -> None:
    assert bool(compile_pattern(TIME_PATTERN)(text)) is matches
