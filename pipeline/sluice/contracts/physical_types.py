"""The `physicalType` of numbers, as contracts of many databases write it, and the type that Sluice stores them as.

It decides for numbers alone, of which the logical type does not tell whether they are exact. Any other value is stored
as its logical type says.
"""

from __future__ import annotations

import re

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


def number_type(place: KeyPath, physical: str | None) -> ValueType:
    """Return how the numbers of a property with this physical type are stored; with none, as floats.

    Raises:
        ContractError: naming `place`, if no column of every warehouse holds them.

    """
    if physical is None:
        return "float"
    sized = _SIZED.fullmatch(physical.strip().lower())
    name = re.sub(r"\s+", " ", sized["name"]) if sized is not None else ""
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
