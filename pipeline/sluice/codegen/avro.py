"""Contract -> Avro schema of its events.

Avro holds the event as the contract describes it; properties outside the contract and the columns that
Sluice adds to tables are not part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sluice.contracts import (
    DECIMAL_PRECISION,
    DECIMAL_SCALE,
    LEAF_TYPES,
    Contract,
    Property,
    ValueType,
    by_type,
)
from sluice.errors import ContractError

Schema = Any
"""An Avro schema as JSON: a name, a list (union) or a dict."""

SCALARS: Mapping[ValueType, Schema] = by_type(
    {
        "string": "string",
        "uuid": {"type": "string", "logicalType": "uuid"},
        "integer": "long",
        "float": "double",
        "decimal": {
            "type": "bytes",
            "logicalType": "decimal",
            "precision": DECIMAL_PRECISION,
            "scale": DECIMAL_SCALE,
        },
        "boolean": "boolean",
        "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
        "date": {"type": "int", "logicalType": "date"},
        "json": "string",
    },
    LEAF_TYPES,
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def avro_schema(contract: Contract) -> dict[str, Any]:
    """Return the Avro record of the contract's events.

    A property that is not required is a union with null and null by default. Named types (records, enums) are
    named by their path, so they are unique. An `enum` becomes an Avro enum if all its values are Avro names,
    and stays a string otherwise. In a name that Avro does not allow, each such character becomes `_`, and the
    attribute `json_name` has the name in the contract.

    Raises:
        ContractError: two properties would have the same name in Avro.

    """
    where = contract.path or contract.label
    name = avro_name(contract.event_type)
    record = _record(name, contract.properties, _Names(name), f"{where}: property ")
    head = {"type": "record", "name": name, "namespace": avro_name(contract.domain or "sluice")}
    doc = {"doc": contract.description} if contract.description else {}
    return {**head, **doc, **record}


def avro_name(name: str) -> str:
    """Return `name` with `_` for each character that Avro does not allow in names."""
    allowed = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return allowed if _NAME.fullmatch(allowed) else f"_{allowed}"


class _Names:
    """Makes the names of types unique."""

    def __init__(self, *taken: str) -> None:
        self._taken = set(taken)

    def take(self, base: str) -> str:
        name, number = base, 2
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name


def _record(path: str, properties: Iterable[Property], names: _Names, where: str) -> dict[str, Any]:
    fields: list[dict[str, Any]] = []
    seen: dict[str, str] = {}
    for prop in properties:
        name = avro_name(prop.name)
        if other := seen.get(name):
            message = (
                f"{where}{prop.name}: Avro cannot tell it from {other}, both are {name} there; rename one"
            )
            raise ContractError(message)
        seen[name] = prop.name
        field: dict[str, Any] = {"name": name}
        if prop.description:
            field["doc"] = prop.description
        field["type"] = _nullable(prop, f"{path}_{name}", names, f"{where}{prop.name}.")
        if not prop.required:
            field["default"] = None
        if name != prop.name:
            field["json_name"] = prop.name
        fields.append(field)
    return {"fields": fields}


def _nullable(prop: Property, path: str, names: _Names, where: str) -> Schema:
    avro_type = _type(prop, path, names, where)
    return avro_type if prop.required else ["null", avro_type]


def _type(prop: Property, path: str, names: _Names, where: str) -> Schema:
    if prop.type == "object":
        name = names.take(path)
        return {"type": "record", "name": name, **_record(name, prop.properties, names, where)}
    if prop.items is not None:
        return {"type": "array", "items": _nullable(prop.items, f"{path}_item", names, where)}
    if is_avro_enum(prop):
        return {"type": "enum", "name": names.take(path), "symbols": list(prop.enum)}
    return SCALARS[prop.type]


def is_avro_enum(prop: Property) -> bool:
    """Tell whether all values that the property lists are names that Avro allows."""
    symbols = [value for value in prop.enum if isinstance(value, str) and _NAME.fullmatch(value)]
    return prop.type == "string" and bool(symbols) and len(set(symbols)) == len(prop.enum)
