"""Data contracts: ODCS YAML in, frozen `Contract` objects out. The contract is the only schema."""

from sluice.contracts.model import (
    REPAIR_RULES,
    Contract,
    Identity,
    LogPartition,
    Mask,
    OnConflict,
    Property,
    Scalar,
)
from sluice.contracts.reading import load_contract, load_contracts
from sluice.contracts.reserved import (
    DELIVERY_KEY,
    EVENT_ID_COLUMN,
    EXTRA_COLUMN,
    INGESTED_AT_COLUMN,
    REPAIRED_KEY,
    SEGMENT_ID_COLUMN,
)
from sluice.contracts.value_types import (
    DECIMAL_PRECISION,
    DECIMAL_SCALE,
    DECIMAL_WHOLE_DIGITS,
    INT64_MAX,
    INT64_MIN,
    LEAF_TYPES,
    SCALAR_TYPES,
    VALUE_TYPES,
    ValueType,
    by_type,
)
from sluice.contracts.walk import ITEM, Path, innermost_items, path_text, walk

__all__ = [
    "DECIMAL_PRECISION",
    "DECIMAL_SCALE",
    "DECIMAL_WHOLE_DIGITS",
    "DELIVERY_KEY",
    "EVENT_ID_COLUMN",
    "EXTRA_COLUMN",
    "INGESTED_AT_COLUMN",
    "INT64_MAX",
    "INT64_MIN",
    "ITEM",
    "LEAF_TYPES",
    "REPAIRED_KEY",
    "REPAIR_RULES",
    "SCALAR_TYPES",
    "SEGMENT_ID_COLUMN",
    "VALUE_TYPES",
    "Contract",
    "Identity",
    "LogPartition",
    "Mask",
    "OnConflict",
    "Path",
    "Property",
    "Scalar",
    "ValueType",
    "by_type",
    "innermost_items",
    "load_contract",
    "load_contracts",
    "path_text",
    "walk",
]
