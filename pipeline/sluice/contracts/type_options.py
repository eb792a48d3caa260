"""The `logicalTypeOptions` of ODCS: those that Sluice holds its values to, and those that it must refuse.

An option that restricts values, and that Sluice does not check, would be believed by those who read the contract: it is
refused, with the way out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from open_data_contract_standard.model import SchemaProperty

from sluice.contracts.odcs import KeyPath, show
from sluice.contracts.value_types import DECIMAL_SCALE, INT64_MAX, INT64_MIN, ValueType

TIME_PATTERN = r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?$"
"""A time of the day as RFC 3339 writes it, with or without an offset."""

_BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}
_UNSIGNED_BITS = {"u8": 8, "u16": 16, "u32": 32}

_FORMATS: Mapping[str, tuple[str, ...]] = {
    "number": ("f64", "double"),
    "date": ("yyyy-MM-dd", "YYYY-MM-DD", "%Y-%m-%d", "ISO8601", "iso8601", "date"),
    "timestamp": (
        "yyyy-MM-dd'T'HH:mm:ssXXX",
        "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
        "yyyy-MM-dd'T'HH:mm:ssZ",
        "yyyy-MM-ddTHH:mm:ssZ",
        "RFC3339",
        "rfc3339",
        "ISO8601",
        "iso8601",
        "date-time",
    ),
    "time": ("HH:mm:ss",),
}
"""logicalType -> formats that say what Sluice reads anyway."""

_WAYS_OUT: Mapping[str, str] = {
    "defaultTimezone": "remove it: a timestamp without an offset is UTC",
    "exclusiveMaximum": "remove it, and test it in dbt",
    "exclusiveMinimum": "remove it, and test it in dbt",
    "maximum": "remove it, and test it in dbt",
    "maxProperties": "list its `properties`",
    "minimum": "remove it, and test it in dbt",
    "minProperties": "list its `properties`",
    "multipleOf": "remove it, and test it in dbt; `physicalType: DECIMAL(38,9)` is exact",
    "required": "list its `properties`, with `required: true`",
    "uniqueItems": "remove it, and test it in dbt",
}
"""Option that ODCS has for some type and Sluice does not check -> what to write in its place."""


def supported_options(place: KeyPath, prop: SchemaProperty, value_type: ValueType) -> dict[str, Any]:
    """Return the options of a property in the words of Sluice: without those that restrict nothing.

    Raises:
        ContractError: naming the option, if Sluice does not check what it restricts.

    """
    logical = str(prop.logicalType)
    options = {key: value for key, value in (prop.logicalTypeOptions or {}).items() if value is not None}
    for key, value in list(options.items()):
        here = place.key(key)
        if key == "format":
            _read_format(here, logical, value, options)
        elif key in _INCLUSIVE and value_type in ("integer", "float", "decimal"):
            _tighten(here, key, value, value_type, options)
        elif (key, value) in (("timezone", True), ("uniqueItems", False), ("defaultTimezone", "UTC")):
            del options[key]
        elif key == "timezone" and logical in ("timestamp", "time"):
            here.note("is not used by Sluice: a timestamp without an offset is UTC")
            del options[key]
        elif key in _WAYS_OUT and not (key in _INCLUSIVE.values() and logical in ("integer", "number")):
            here.fail(f"is not supported by Sluice for {logical}; {_WAYS_OUT[key]}")
    return options


def _read_format(place: KeyPath, logical: str, value: Any, options: dict[str, Any]) -> None:
    if logical == "string":
        if value != "uuid":
            place.fail(
                f"expected uuid, got {show(value)}; the others are not supported by Sluice: write a `pattern`"
            )
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
    elif value not in _FORMATS.get(logical, ()):
        supported = [*_FORMATS.get(logical, ()), *((_BITS | _UNSIGNED_BITS) if logical == "integer" else ())]
        expected = f"expected one of {', '.join(supported)}" if supported else "expected none"
        place.fail(f"{expected}, got {show(value)}, which is not supported by Sluice for {logical}")


def _bound(options: dict[str, Any], low: int, high: int) -> None:
    """Tighten the bounds of an integer, unless they are those of 64 bits, which all integers have."""
    if low > INT64_MIN:
        options["minimum"] = max(options.get("minimum", low), low)
    if high < INT64_MAX:
        options["maximum"] = min(options.get("maximum", high), high)


_INCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def _tighten(place: KeyPath, key: str, value: Any, value_type: ValueType, options: dict[str, Any]) -> None:
    """Write an exclusive bound as an inclusive one: the next value that the type has."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) != math.inf
    if not is_number or (value_type == "integer" and not isinstance(value, int)):
        place.fail(f"expected {'an integer' if value_type == 'integer' else 'a number'}, got {show(value)}")
    del options[key]
    bound = _next(value, value_type, up=key == "exclusiveMinimum")
    if bound is None:
        place.fail(f"{value} is not supported by Sluice for {value_type}; {_WAYS_OUT[key]}")
    inclusive = _INCLUSIVE[key]
    tighter = max if inclusive == "minimum" else min
    options[inclusive] = tighter(options.get(inclusive, bound), bound)


def _next(value: float, value_type: ValueType, *, up: bool) -> int | float | None:
    """Return the next higher or lower value of a type; None: it cannot be written as a bound."""
    if value_type == "integer":
        return int(value) + (1 if up else -1)
    if value_type == "float":
        return math.nextafter(value, math.inf if up else -math.inf)
    unit = Decimal(1).scaleb(-DECIMAL_SCALE)
    following = Decimal(str(value)) + (unit if up else -unit)
    return float(following) if Decimal(str(float(following))) == following else None
