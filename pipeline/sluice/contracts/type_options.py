"""The `logicalTypeOptions` of ODCS: those that Sluice holds its values to, and those that it must refuse.

An option that restricts values, and that Sluice does not check, would be believed by those who read the contract: it is
refused, with the way out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from sluice.contracts.odcs import KeyPath, show
from sluice.contracts.odcs_document import SchemaProperty
from sluice.contracts.value_types import DECIMAL_SCALE, INT64_MAX, INT64_MIN, ValueType

TIME_PATTERN = r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?$"
"""A time of the day as RFC 3339 writes it, with or without an offset."""

DAY_FIRST = {"date": ("dd.MM.yyyy", "d.M.yyyy"), "timestamp": ("dd.MM.yyyy HH:mm:ss", "dd.MM.yyyy HH:mm")}
"""logicalType -> formats of texts, such as those of CSV, whose day comes first, with points behind it and the month."""

_BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}
_UNSIGNED_BITS = {"u8": 8, "u16": 16, "u32": 32}

_FORMATS: Mapping[str, tuple[str, ...]] = {
    "number": ("f64", "double"),
    "date": ("yyyy-MM-dd", "YYYY-MM-DD", "%Y-%m-%d", "ISO8601", "iso8601", "date", *DAY_FIRST["date"]),
    "timestamp": ("RFC3339", "rfc3339", "ISO8601", "iso8601", "date-time", *DAY_FIRST["timestamp"]),
    "time": ("HH:mm:ss",),
}
"""logicalType -> formats that say what Sluice reads anyway, and those of `DAY_FIRST`."""

_TIMESTAMP_FORMAT = re.compile(r"[yu]{4}-MM-dd('T'|T| )HH:mm:ss([.]S{1,9})?('Z'|Z|[Xx]{1,3})?")
"""Formats of timestamps, in the letters of Java, that say what Sluice reads anyway."""

_STRING_PATTERNS: Mapping[str, str] = {
    "byte": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    "date": "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
    "date-time": (
        "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)"
        "([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
    ),
    "email": "^[^@ ]+@[^@ ]+$",
    "hostname": "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
    "ipv4": (
        "^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])$"
    ),
    "time": TIME_PATTERN,
    "uri": "^[A-Za-z][A-Za-z0-9+.-]*:[^ ]+$",
}
"""Format of strings -> the pattern that Sluice holds them to; those of JSON Schema that a short pattern can tell."""

_ANY_STRING = ("binary", "password")
"""Formats that restrict nothing."""

_WAYS_OUT: Mapping[str, str] = {
    "defaultTimezone": "remove it: a timestamp without an offset is UTC",
    "exclusiveMaximum": "remove it, and test it in dbt",
    "exclusiveMinimum": "remove it, and test it in dbt",
    "maxProperties": "list its `properties`",
    "minProperties": "list its `properties`",
    "multipleOf": "write `physicalType: DECIMAL(38,9)`, which is exact, or remove it",
    "required": "list its `properties`, with `required: true`",
}
"""Option that ODCS has for some type and Sluice does not check -> what to write in its place."""

_INCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_BOUNDS = {"minimum": "minimum", "maximum": "maximum", **_INCLUSIVE}


_ANY_TIME = {"minimum": re.compile("00:00(:00([.]0+)?)?"), "maximum": re.compile("23:59(:59([.][0-9]+)?)?")}
"""Bounds that every time of the day is within."""


def _has_offset(prop: SchemaProperty) -> bool:
    options = prop.logicalTypeOptions or {}
    return options.get("timezone") is True and str(options.get("format")).endswith(("Z", "X", "x"))


def has_time(date_format: Any) -> bool:
    """Tell whether a format of dates has a time of day: before v3.1 ODCS had no type for timestamps."""
    return date_format == "date-time" or "H" in str(date_format)


def supported_options(place: KeyPath, prop: SchemaProperty, value_type: ValueType) -> dict[str, Any]:
    """Return the options of a property in the words of Sluice: without those that restrict nothing.

    Raises:
        ContractError: naming the option, if Sluice does not check what it restricts.

    """
    logical = "timestamp" if value_type == "timestamp" else str(prop.logicalType)
    options = {key: value for key, value in (prop.logicalTypeOptions or {}).items() if value is not None}
    # Inclusive bounds first: the others are compared with them.
    for key, value in sorted(options.items(), key=lambda item: item[0] not in ("minimum", "maximum")):
        here = place.key(key)
        if key == "format":
            _read_format(here, logical, value, options)
        elif key in _BOUNDS and value_type in ("date", "timestamp"):
            del options[key]
            _tighten(options, _BOUNDS[key], _temporal_bound(here, key, value, value_type))
        elif key in _BOUNDS and logical == "time":
            del options[key]
            if not _ANY_TIME[_BOUNDS[key]].fullmatch(str(value)) or key in _INCLUSIVE:
                here.fail("is not supported by Sluice for time; write a string with a `pattern`")
        elif key in _INCLUSIVE and value_type in ("integer", "float", "decimal"):
            del options[key]
            _tighten(options, _INCLUSIVE[key], _inclusive(here, key, value, value_type))
        elif key == "multipleOf" and value_type in ("integer", "decimal"):
            options[key] = _multiple(here, value)
        elif (key, value) in (("timezone", True), ("uniqueItems", False), ("defaultTimezone", "UTC")):
            del options[key]
        elif key == "timezone" and logical in ("timestamp", "time"):
            here.note("is not used by Sluice: a timestamp without an offset is UTC")
            del options[key]
        elif key == "defaultTimezone" and _has_offset(prop):
            here.note(f"{value} is not used by Sluice: timestamps of this format have an offset")
            del options[key]
        elif key in _WAYS_OUT and value_type != "json":
            here.fail(f"is not supported by Sluice for {logical}; {_WAYS_OUT[key]}")
    return options


def _read_format(place: KeyPath, logical: str, value: Any, options: dict[str, Any]) -> None:
    if not isinstance(value, str):
        place.fail(f"expected a text, got {show(value)}")
    if logical == "string":
        _read_string_format(place, value, options)
        return
    del options["format"]
    if logical == "integer" and value in _BITS:
        _bound(
            options, max(-(2 ** (_BITS[value] - 1)), INT64_MIN), min(2 ** (_BITS[value] - 1) - 1, INT64_MAX)
        )
    elif logical == "integer" and value in _UNSIGNED_BITS:
        _bound(options, 0, 2 ** _UNSIGNED_BITS[value] - 1)
    elif logical == "number" and value in ("f32", "float"):
        place.note(f"{value} is not checked: the numbers are stored with 64 bits")
    elif logical == "timestamp" and _TIMESTAMP_FORMAT.fullmatch(value):
        pass
    elif value not in _FORMATS.get(logical, ()):
        supported = [*_FORMATS.get(logical, ()), *((_BITS | _UNSIGNED_BITS) if logical == "integer" else ())]
        supported += ["yyyy-MM-dd'T'HH:mm:ssXXX"] if logical == "timestamp" else []
        expected = f"expected one of {', '.join(supported)}" if supported else "expected none"
        place.fail(f"{expected}, got {show(value)}, which is not supported by Sluice for {logical}")


def _read_string_format(place: KeyPath, value: str, options: dict[str, Any]) -> None:
    if value == "uuid":
        return
    del options["format"]
    if value in _ANY_STRING:
        place.note(f"{value} is not used by Sluice: it restricts no text")
        return
    if value not in _STRING_PATTERNS:
        known = ", ".join(sorted([*_STRING_PATTERNS, *_ANY_STRING, "uuid"]))
        place.fail(
            f"expected one of {known}, got {show(value)}, which is not supported by Sluice: write a `pattern`"
        )
    if "pattern" in options:
        place.fail(
            f"expected either a format or a `pattern`, got {show(value)} beside one; remove one of them"
        )
    options["pattern"] = _STRING_PATTERNS[value]


def _bound(options: dict[str, Any], low: int, high: int) -> None:
    """Tighten the bounds of an integer, unless they are those of 64 bits, which all integers have."""
    if low > INT64_MIN:
        _tighten(options, "minimum", low)
    if high < INT64_MAX:
        _tighten(options, "maximum", high)


def _tighten(options: dict[str, Any], name: str, bound: date | float) -> None:
    """Set an inclusive bound, unless there is a tighter one; one that is no number stays, to be refused as a limit."""
    tighter: Callable[[Any, Any], Any] = max if name == "minimum" else min
    given = options.get(name, bound)
    if isinstance(bound, date) or isinstance(given, int | float):
        options[name] = tighter(given, bound)


def _inclusive(place: KeyPath, key: str, value: Any, value_type: ValueType) -> int | float:
    """Return an exclusive bound as an inclusive one: the next value that the type has."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
    if not is_number or (value_type == "integer" and value != int(value)):
        place.fail(f"expected {'an integer' if value_type == 'integer' else 'a number'}, got {show(value)}")
    bound = _next(value, value_type, up=key == "exclusiveMinimum")
    if bound is None:
        place.fail(f"{value} is not supported by Sluice for {value_type}; {_WAYS_OUT[key]}")
    return bound


def _multiple(place: KeyPath, value: Any) -> Decimal:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    if not is_number:
        place.fail(f"expected a number above 0, got {show(value)}")
    return Decimal(str(value))


def _temporal_bound(place: KeyPath, key: str, value: Any, value_type: ValueType) -> date:
    """Return a bound of dates or of timestamps, which is inclusive; a timestamp without an offset is UTC."""
    steps = {"exclusiveMinimum": 1, "exclusiveMaximum": -1}.get(key, 0)
    try:
        if value_type == "date":
            return msgspec.convert(str(value), date) + timedelta(days=steps)
        instant = msgspec.convert(str(value), datetime)
        return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC) + timedelta(microseconds=steps)
    except (msgspec.ValidationError, OverflowError):
        example = "2025-02-08" if value_type == "date" else "2025-02-08T13:09:00Z"
        place.fail(f"expected a {value_type} such as {example}, got {show(value)}")


def _next(value: float, value_type: ValueType, *, up: bool) -> int | float | None:
    """Return the next higher or lower value of a type; None: it cannot be written as a bound."""
    if value_type == "integer":
        return int(value) + (1 if up else -1)
    if value_type == "float":
        return math.nextafter(value, math.inf if up else -math.inf)
    unit = Decimal(1).scaleb(-DECIMAL_SCALE)
    following = Decimal(str(value)) + (unit if up else -unit)
    return float(following) if Decimal(str(float(following))) == following else None
