from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sluice.contracts.odcs import KeyPath
from sluice.contracts.odcs_document import SchemaProperty
from sluice.contracts.patterns import check_pattern, compile_pattern
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
    "json": ("object", "json"),
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
        ("array", {"uniqueItems": True}, {"uniqueItems": True}),
        ("json", {"maxProperties": 5, "required": ["a"]}, {"maxProperties": 5, "required": ["a"]}),
        ("date", {"minimum": "2020-01-01"}, {"minimum": date(2020, 1, 1)}),
        ("date", {"exclusiveMinimum": "2020-01-31"}, {"minimum": date(2020, 2, 1)}),
        ("date", {"exclusiveMaximum": date(2020, 1, 1)}, {"maximum": date(2019, 12, 31)}),
        ("date", {"exclusiveMinimum": "2020-01-31", "minimum": "2020-01-01"}, {"minimum": date(2020, 2, 1)}),
        ("date", {"minimum": "2020-02-09", "exclusiveMinimum": "2020-01-31"}, {"minimum": date(2020, 2, 9)}),
        (
            "timestamp",
            {"exclusiveMaximum": "2020-01-31T00:00:00Z", "maximum": "2020-01-01T00:00:00Z"},
            {"maximum": datetime(2020, 1, 1, tzinfo=UTC)},
        ),
        ("timestamp", {"maximum": "2020-01-01 00:00:00"}, {"maximum": datetime(2020, 1, 1, tzinfo=UTC)}),
        (
            "timestamp",
            {"exclusiveMaximum": "2020-01-01T10:00:00+10:00"},
            {"maximum": datetime(2019, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)},
        ),
        ("timestamp", {"format": "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"}, {}),
        ("timestamp", {"format": "yyyy-MM-dd HH:mm:ss"}, {}),
        ("time", {"minimum": "00:00:00", "maximum": "23:59:59"}, {}),
        ("integer", {"multipleOf": 5}, {"multipleOf": Decimal(5)}),
        ("decimal", {"multipleOf": 0.05}, {"multipleOf": Decimal("0.05")}),
        ("string", {"format": "email"}, {"pattern": "^[^@ ]+@[^@ ]+$"}),
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
            "float",
            {"multipleOf": 0.1},
            "multipleOf: is not supported by Sluice for number; write `physicalType: DECIMAL(38,9)`, which is exact, "
            "or remove it",
        ),
        ("integer", {"multipleOf": 0}, "multipleOf: expected a number above 0, got 0"),
        ("date", {"minimum": "2020"}, "minimum: expected a date such as 2025-02-08, got '2020'"),
        (
            "date",
            {"exclusiveMaximum": "0001-01-01"},
            "exclusiveMaximum: expected a date such as 2025-02-08, got ",
        ),
        ("timestamp", {"maximum": 5}, "maximum: expected a timestamp such as 2025-02-08T13:09:00Z, got 5"),
        (
            "time",
            {"minimum": "08:00:00"},
            "minimum: is not supported by Sluice for time; write a string with a ",
        ),
        (
            "string",
            {"format": "email", "pattern": "a"},
            "format: expected either a format or a `pattern`, got ",
        ),
        (
            "timestamp",
            {"defaultTimezone": "Europe/Paris"},
            "defaultTimezone: is not supported by Sluice for timestamp; ",
        ),
        (
            "timestamp",
            {"format": "yyyy"},
            "format: expected one of RFC3339, rfc3339, ISO8601, iso8601, date-time, ",
        ),
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
            {"format": "ipv6"},
            "format: expected one of binary, byte, date, date-time, email, hostname, ipv4, password, time, uri, uuid, "
            "got 'ipv6', which is not supported by Sluice: write a `pattern`",
        ),
        (
            "integer",
            {"format": "u64"},
            "format: expected one of i8, i16, i32, i64, u8, u16, u32, got 'u64', which is ",
        ),
        ("string", {"format": ["email"]}, "format: expected a text, got ['email']"),
        ("integer", {"format": {"bits": 8}}, "format: expected a text, got a mapping"),
        ("integer", {"exclusiveMinimum": float("nan")}, "exclusiveMinimum: expected an integer, got nan"),
        ("float", {"exclusiveMaximum": float("nan")}, "exclusiveMaximum: expected a number, got nan"),
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
            {"timezone": True, "format": "yyyy-MM-dd HH:mm:ssZ", "defaultTimezone": "Australia/Sydney"},
            "f: defaultTimezone: Australia/Sydney is not used by Sluice: timestamps of this format have an offset",
        ),
        ("string", {"format": "password"}, "f: format: password is not used by Sluice: it restricts no text"),
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


FORMATS: dict[str, tuple[list[str], list[str]]] = {
    "byte": (["", "AP8=", "QUJD"], ["AP8", "A", "AP8=\n"]),
    "date": (["2025-02-28"], ["2025-13-01", "2025-2-8", "2025-02-28T"]),
    "date-time": (
        ["2025-02-28T23:59:60Z", "2025-02-28t00:00:00.5+01:00"],
        ["2025-02-28", "2025-02-28T24:00:00Z"],
    ),
    "email": (["a@b.c"], ["a", "a@", "a b@c"]),
    "hostname": (["a", "a-1.example.com"], ["", "-a", "a_b", "a."]),
    "ipv4": (["0.0.0.0", "255.249.199.9"], ["256.0.0.1", "1.2.3", "01.2.3.4"]),
    "uri": (["https://a/b?c", "urn:x"], ["a/b", "http://a b", ":x"]),
}


@pytest.mark.parametrize("name", FORMATS)
def test_format_of_strings_is_held_to_a_pattern(name: str) -> None:
    pattern = supported("string", {"format": name})["pattern"]
    check_pattern(pattern)
    accepted, rejected = FORMATS[name]
    assert [bool(compile_pattern(pattern)(text)) for text in accepted + rejected] == [True] * len(
        accepted
    ) + [False] * len(rejected)
