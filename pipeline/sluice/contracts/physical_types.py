"""The `physicalType`, as contracts of many databases write it, and the type that Sluice stores its values as.

It decides for numbers, of which the logical type does not tell whether they are exact, and where there is no logical
type. Any other value is stored as its logical type says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sluice.contracts.odcs import KeyPath
from sluice.contracts.value_types import DECIMAL_PRECISION, DECIMAL_SCALE, DECIMAL_WHOLE_DIGITS, ValueType

_SIZED = re.compile(
    r"(?P<name>[a-z0-9_ ]*[a-z0-9_])\s*"
    r"(?:[(\[]\s*(?P<precision>\d{1,4})(?:\s*,\s*(?P<scale>\d{1,4}))?\s*[)\]])?"
)

_EXACT = frozenset({"bignumeric", "dec", "decimal", "number", "numeric"})
_FLOATS = frozenset({"double", "double precision", "float", "float32", "float4", "float64", "float8", "real"})
_INTEGERS = frozenset(
    {
        "bigint", "bigserial", "byteint", "int", "int16", "int2", "int32", "int4", "int64", "int8", "integer", "long",
        "mediumint", "serial", "short", "smallint", "smallserial", "tinyint",
    }
)  # fmt: skip


_LOGICAL: Mapping[str, frozenset[str]] = {
    "integer": _INTEGERS,
    "number": _EXACT | _FLOATS,
    "boolean": frozenset({"bit", "bool", "boolean"}),
    "date": frozenset({"date"}),
    "timestamp": frozenset(
        {
            "datetime", "datetime2", "timestamp", "timestamp with time zone", "timestamp without time zone",
            "timestamp_ltz", "timestamp_ntz", "timestamp_tz", "timestamptz",
        }
    ),
    "time": frozenset({"time"}),
    "string": frozenset(
        {
            "bpchar", "char", "character", "character varying", "clob", "nchar", "nvarchar", "nvarchar2", "string",
            "text", "varchar", "varchar2",
        }
    ),
}  # fmt: skip


def logical_type(physical: str | None) -> str | None:
    """Return the logical type of a physical one; None if it may be of several."""
    name = _name(_SIZED.fullmatch((physical or "").strip().lower()))
    return next((logical for logical, types in _LOGICAL.items() if name in types), None)


def _name(sized: re.Match[str] | None) -> str:
    return re.sub(r"\s+", " ", sized["name"]) if sized is not None else ""


def number_type(place: KeyPath, physical: str | None) -> ValueType:
    """Return how the numbers of a property with this physical type are stored; with none, as floats.

    Raises:
        ContractError: naming `place`, if no column of every warehouse holds them.

    """
    if physical is None:
        return "float"
    sized = _SIZED.fullmatch(physical.strip().lower())
    name = _name(sized)
    if sized is None or name not in _EXACT | _FLOATS | _INTEGERS:
        place.note(f"{physical} is not known: the numbers are stored as DOUBLE")
        return "float"
    if name in _FLOATS:
        return "float"
    if name in _INTEGERS:
        return "integer"
    if sized["precision"] is not None:
        _check_size(place, physical, int(sized["precision"]), int(sized["scale"] or 0))
    return "decimal"


def _check_size(place: KeyPath, physical: str, precision: int, scale: int) -> None:
    stored = f"DECIMAL({DECIMAL_PRECISION},{DECIMAL_SCALE})"
    if scale > DECIMAL_SCALE or precision - scale > DECIMAL_WHOLE_DIGITS:
        place.fail(
            f"{physical} is not supported by Sluice, which stores exact numbers as {stored}; write this, if they fit, "
            "or a string"
        )
    if (precision, scale) != (DECIMAL_PRECISION, DECIMAL_SCALE):
        place.note(f"{physical} is stored as {stored}, which has room for more digits")
