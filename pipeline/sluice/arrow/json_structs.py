"""Contract -> msgspec types of its stored lines, for reading lines one by one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any

import msgspec

from sluice.contracts import (
    INT64_MAX,
    INT64_MIN,
    LEAF_TYPES,
    Contract,
    Property,
    ValueType,
    by_type,
)

RAW_TYPES: frozenset[ValueType] = frozenset({"decimal", "json"})
"""Types whose JSON text is stored as it is, null included."""

NULL = msgspec.Raw(b"null")

_DECODED: Mapping[ValueType, Any] = by_type(
    {
        "string": str,
        "uuid": str,
        "integer": Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)],
        "float": float,
        "decimal": msgspec.Raw,
        "boolean": bool,
        "timestamp": datetime,
        "date": date,
        "json": msgspec.Raw,
    },
    LEAF_TYPES,
)


class UnconvertibleLine(ValueError):
    """An accepted line that cannot become a row; the message says expected, got and where."""

    @classmethod
    def from_error(cls, error: Exception) -> UnconvertibleLine:
        """Describe why a line could not be decoded."""
        if isinstance(error, UnicodeDecodeError):
            byte = error.object[error.start]
            return cls(f"expected UTF-8 in properties outside the contract, got byte {byte:#x}")
        if isinstance(error, RecursionError):
            return cls("expected properties outside the contract to be nested less deeply")
        return cls(str(error))


def record_object(contract: Contract) -> Property:
    """Return a record as an object with the contract's properties."""
    return Property("", "object", required=True, properties=contract.properties)


def struct_of(prop: Property, *, strict: bool) -> type[msgspec.Struct]:
    """Return a struct with an attribute for each member of `prop`, see `attribute`; `strict` rejects other members."""
    fields: list[Any] = []
    for index, member in enumerate(prop.properties):
        decoded = decoded_type(member, strict=strict)
        absent = NULL if member.type in RAW_TYPES else None
        fields.append((attribute(index), decoded) if member.required else (attribute(index), decoded, absent))
    return msgspec.defstruct(
        "Row",
        fields,
        rename={attribute(index): member.name for index, member in enumerate(prop.properties)},
        forbid_unknown_fields=strict,
        kw_only=True,
        gc=False,
    )


def attribute(index: int) -> str:
    """Return the attribute of the member at `index`: a number, as a JSON key can be any text."""
    return f"p{index}"


def decoded_type(prop: Property, *, strict: bool) -> Any:
    """Return the type that msgspec decodes a value of `prop` to."""
    decoded: Any
    if prop.type in RAW_TYPES:  # not in a union with None: msgspec would take Raw for no type at all
        return msgspec.Raw
    if prop.type == "object":
        decoded = struct_of(prop, strict=strict)
    elif prop.items is not None:
        decoded = list[decoded_type(prop.items, strict=strict)]  # type: ignore[misc]
    else:
        decoded = _DECODED[prop.type]
    return decoded if prop.required else decoded | None
