"""The types that values of a property can have: their names, their groups and their limits.

This is the one list of types. A layer that needs something for each type (an Arrow type, a check, a column type of
a warehouse) keeps its own table and makes it with `by_type`, which fails at import when an entry is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, TypeVar, get_args

ValueType = Literal[
    "string", "uuid", "integer", "float", "decimal", "boolean", "timestamp", "date", "object", "array", "json"
]
"""The type of a property's values. `timestamp` is an instant in UTC with microseconds; `object` has `properties`;
`array` has `items`; `json` is an object of any shape, stored as its JSON text."""

VALUE_TYPES: tuple[ValueType, ...] = get_args(ValueType)

LEAF_TYPES: frozenset[ValueType] = frozenset(VALUE_TYPES) - {"object", "array"}
"""Types whose values contain no other declared values."""

SCALAR_TYPES: frozenset[ValueType] = LEAF_TYPES - {"json"}
"""Types of a single value: the ones that `unique` properties can have."""

CLUSTERABLE_TYPES: frozenset[ValueType] = SCALAR_TYPES - {"float"}
"""Types that every warehouse can cluster a table by (BigQuery excludes FLOAT64)."""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
"""Bounds of an integer: the range of 64 bits, which msgspec and all warehouses have."""

DECIMAL_PRECISION = 38
"""Significant digits of a decimal: the most that Arrow's decimal128, BigQuery's NUMERIC and Snowflake's NUMBER hold."""

DECIMAL_SCALE = 9
"""Digits of a decimal after the point: the scale of BigQuery's NUMERIC."""

DECIMAL_WHOLE_DIGITS = DECIMAL_PRECISION - DECIMAL_SCALE
"""Digits of a decimal before the point."""

_T = TypeVar("_T")


def by_type(
    table: Mapping[ValueType, _T], types: Collection[ValueType] = VALUE_TYPES
) -> Mapping[ValueType, _T]:
    """Return `table`, which must have an entry for each of `types` and no other.

    Raises:
        ValueError: an entry is missing, or there is one too many. Tables are built at import, so a new type cannot
            be forgotten.

    """
    missing = [value_type for value_type in VALUE_TYPES if value_type in types and value_type not in table]
    unexpected = [value_type for value_type in table if value_type not in types]
    if missing or unexpected:
        message = (
            f"expected an entry for each type, got none for {missing} and unexpected ones for {unexpected}"
        )
        raise ValueError(message)
    return table
