"""Contract -> Arrow schema of its table, as it is loaded into every warehouse.

The columns are the contract's properties, in order, followed by the four of `ADDED` and, where the event log keeps the
source of each event, by the three of `SOURCE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import pyarrow as pa

from sluice.contracts import (
    ARRIVED_AT_COLUMN,
    DECIMAL_PRECISION,
    DECIMAL_SCALE,
    EVENT_ID_COLUMN,
    EXTRA_COLUMN,
    INGESTED_AT_COLUMN,
    LEAF_TYPES,
    POSITION_COLUMN,
    SEGMENT_ID_COLUMN,
    SOURCE_COLUMN,
    Contract,
    Property,
    ValueType,
    by_type,
)
from sluice.errors import ContractError

VALUE_TYPE = b"kind"
"""Field metadata: the contract's type where the Arrow type does not determine it (`uuid`, `json`); stored in files."""

DESCRIPTION = b"description"
"""Field metadata: the description of the property."""

DECIMAL = pa.decimal128(DECIMAL_PRECISION, DECIMAL_SCALE)
TIMESTAMP = pa.timestamp("us", tz="UTC")

ADDED: tuple[Property, ...] = (
    Property(
        EXTRA_COLUMN, "json", description="Properties outside the contract, nested as they came, or null."
    ),
    Property(EVENT_ID_COLUMN, "string", required=True, description="Identity of the event: 32 hex digits."),
    Property(
        SEGMENT_ID_COLUMN, "string", required=True, description="Segment of the log that holds the event."
    ),
    Property(INGESTED_AT_COLUMN, "timestamp", required=True, description="When the event was loaded."),
)
"""What every table has after the contract's own columns."""

SOURCE: tuple[Property, ...] = (
    Property(
        ARRIVED_AT_COLUMN,
        "timestamp",
        required=True,
        description="When the event's export arrived: the modification time of its file.",
    ),
    Property(
        SOURCE_COLUMN, "string", required=True, description="Address of the event's file or other source."
    ),
    Property(POSITION_COLUMN, "integer", required=True, description="Where the event begins in its source."),
)
"""The last columns of a table whose contract has identity `export`: sorted by them, a later word comes later."""


def table_columns(contract: Contract) -> tuple[Property, ...]:
    """Return all columns of a contract's table, in order."""
    return (*contract.columns, *ADDED, *(SOURCE if contract.identity == "export" else ()))


_LEAVES: Mapping[ValueType, pa.DataType] = by_type(
    {
        "string": pa.string(),
        "uuid": pa.string(),
        "integer": pa.int64(),
        "float": pa.float64(),
        "decimal": DECIMAL,
        "boolean": pa.bool_(),
        "timestamp": TIMESTAMP,
        "date": pa.date32(),
        "json": pa.string(),
    },
    LEAF_TYPES,
)


@lru_cache(maxsize=256)
def arrow_schema(contract: Contract) -> pa.Schema:
    """Return the table of `contract`, as loaded: see `table_columns`.

    A `uuid` is a string as received; `json` is a string of compact JSON text (`VALUE_TYPE` says so in the field's
    metadata); a property is nullable unless it is required. The schema's metadata names contract and version.

    Raises:
        ContractError: a property has a reserved name, an object no properties, or an array no items.

    """
    columns = table_columns(contract)
    names = {added.name for added in columns[len(contract.columns) :]}
    for prop in contract.columns:
        if prop.name in names:
            message = f"{_where(contract)}: property {prop.name}: the name is reserved by Sluice; rename it"
            raise ContractError(message)
    fields = [arrow_field(prop, where=_where(contract)) for prop in columns]
    return pa.schema(fields, metadata={b"contract": contract.label.encode()})


@lru_cache(maxsize=256)
def event_fields(contract: Contract) -> tuple[pa.Field, ...]:
    """Return the properties of an event of `contract` as fields, nested as its records are."""
    return tuple(arrow_field(prop, where=_where(contract)) for prop in contract.properties)


def flatten(contract: Contract, columns: Sequence[pa.Array]) -> list[pa.Array]:
    """Return arrays of `event_fields` as arrays of the contract's columns; an absent object's are null."""
    flat: list[pa.Array] = []
    for prop, column in zip(contract.properties, columns, strict=True):
        flat += column.flatten() if prop.flatten else [column]
    return flat


def arrow_field(prop: Property, *, where: str) -> pa.Field:
    """Return one property as an Arrow field; `where` names the contract in the error's message."""
    metadata = {DESCRIPTION: prop.description.encode()} if prop.description else {}
    if prop.type in ("uuid", "json"):
        metadata[VALUE_TYPE] = prop.type.encode()
    return pa.field(prop.name, _type(prop, where), nullable=not prop.required, metadata=metadata or None)


def _type(prop: Property, where: str) -> pa.DataType:
    here = f"{where}: property {prop.name}"
    if prop.type == "object":
        if not prop.properties:
            message = f"{here}: expected an object with properties, got none; of any shape: json"
            raise ContractError(message)
        return pa.struct([arrow_field(inner, where=here) for inner in prop.properties])
    if prop.type == "array":
        if prop.items is None:
            message = f"{here}: expected an array with items, got none; of anything: json"
            raise ContractError(message)
        item = arrow_field(prop.items, where=here)
        return pa.list_(item.with_name("item"))
    return _LEAVES[prop.type]


def _where(contract: Contract) -> str:
    return contract.path or contract.label


def holds_forbidden_null(columns: Iterable[pa.Array], fields: Sequence[pa.Field]) -> bool:
    """Tell whether a value is null although its field forbids it, at any depth.

    `columns` are one for each of `fields`, members of one parent without nulls.
    """
    return any(_holds_forbidden_null(column, field) for column, field in zip(columns, fields, strict=True))


def _holds_forbidden_null(array: pa.Array, field: pa.Field) -> bool:
    if array.null_count:
        if not field.nullable:
            return True
        if pa.types.is_nested(field.type):
            array = array.drop_null()
    if pa.types.is_struct(field.type):
        return holds_forbidden_null(array.flatten(), list(field.type))
    if pa.types.is_list(field.type):
        return _holds_forbidden_null(array.flatten(), field.type.value_field)
    return False


def retype(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Return `array` as `target`, which differs only in nullability, metadata and the types of leaves.

    A value that `target` forbids to be null may be null only where its parent is. Such a null is not visible, but
    Parquet's writer would reject the column, so it is removed from the validity bitmap.
    """
    if array.type == target and not pa.types.is_nested(target):
        return array
    if pa.types.is_struct(target):
        inner = [
            _retype_member(array.field(index), target.field(index)) for index in range(target.num_fields)
        ]
        validity = array.buffers()[:1]
        return pa.Array.from_buffers(target, len(array), validity, array.null_count, array.offset, inner)
    if pa.types.is_list(target):
        values = [retype(array.values, target.value_type)]
        return pa.Array.from_buffers(
            target, len(array), array.buffers()[:2], array.null_count, array.offset, values
        )
    return array.cast(target)


def _retype_member(array: pa.Array, field: pa.Field) -> pa.Array:
    array = retype(array, field.type)
    if field.nullable or not array.null_count:
        return array
    children = None
    buffers = array.buffers()[1:]
    if pa.types.is_struct(field.type):
        buffers, children = [], [array.field(index) for index in range(field.type.num_fields)]
    elif pa.types.is_list(field.type):
        buffers, children = buffers[:1], [array.values]
    return pa.Array.from_buffers(field.type, len(array), [None, *buffers], 0, array.offset, children)
