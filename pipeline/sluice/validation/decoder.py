"""Contract -> msgspec decoder: the hot path, which decides in a microsecond whether a line is an event.

msgspec checks types, enums, lengths and bounds while it parses. What it cannot express, or checks slowly, is left to
`suspects`: see `sluice.validation.batch_checks`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from itertools import accumulate
from typing import Annotated, Any, Literal

import msgspec

from sluice.contracts import INT64_MAX, INT64_MIN, LEAF_TYPES, Contract, Property, ValueType, by_type
from sluice.errors import ContractError
from sluice.validation.batch_checks import FindSuspects, attribute_names, compile_suspects

MAX_DEPTH = 256
"""How deep a record may nest: well below where any parser, at any depth of Python's stack, gives up."""

TIME_FIELD = "event_time_"
"""Attribute that holds the event time, whatever the contract calls it."""

_TYPES: Mapping[ValueType, Any] = by_type(
    {
        "string": str,
        "uuid": str,
        "integer": int,
        "float": float,
        "boolean": bool,
        "timestamp": datetime,
        "date": date,
        "decimal": msgspec.Raw,  # msgspec's Decimal would accept strings
        "json": dict[str, Any],
    },
    LEAF_TYPES,
)


@dataclass(frozen=True, slots=True)
class EventDecoder:
    """Decodes the events of some contracts; see `compile_decoder`.

    Attributes:
        decode: one record (bytes) -> its struct, whose class determines the contract. Raises
            msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError or RecursionError. The UTF-8 and the
            depth of members outside the contract are not checked: do so before (`too_deep`).
        suspects: class -> what finds, among structs of it, those that the explainer must validate. Only classes with
            UUIDs, patterns, decimals or timestamps are in it.
        contract_of: class -> its contract.

    """

    decode: Callable[[bytes], Any]
    suspects: Mapping[type, FindSuspects]
    contract_of: Mapping[type, Contract]


def compile_decoder(contracts: Mapping[str, Contract], route_by: str | None) -> EventDecoder:
    """Compile `contracts` (event type -> contract), which are routed by the property `route_by`.

    Without `route_by` there must be one contract. Every struct of a contract with an event time has it as
    `event_time_`, a datetime; one without an offset is in UTC. Other attributes have the properties' names
    where Python allows.

    Raises:
        ContractError: no contract, several without `route_by`, or a contract whose property `route_by` is
            anything but a string with its event type as only value.

    """
    if not contracts or (route_by is None and len(contracts) > 1):
        message = f"expected {'contracts' if route_by else 'one contract, or route_by'}, got {len(contracts)}"
        raise ContractError(message)
    structs = {
        _event_struct(contract, route_by, tagged=len(contracts) > 1): contract
        for contract in contracts.values()
    }
    suspects = {
        struct: compile_suspects(contract.properties, _names(struct)) for struct, contract in structs.items()
    }
    return EventDecoder(
        decode=msgspec.json.Decoder(reduce(operator.or_, structs)).decode,
        suspects={struct: function for struct, function in suspects.items() if function is not None},
        contract_of=structs,
    )


def too_deep(record: bytes) -> bool:
    """Tell whether `record` nests deeper than `MAX_DEPTH`; only a record longer than twice that can.

    Brackets in strings do not count. On well-formed JSON the answer is exact.
    """
    if record.count(b"[") + record.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", record).translate(None, delete=_NO_BRACKETS)
    return max(accumulate(_STEP[bracket] for bracket in brackets), default=0) > MAX_DEPTH


_STRING = re.compile(rb'"(?>(?:[^"\\]|\\.)*)"', re.DOTALL)
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEP)


def routed_properties(contract: Contract, route_by: str | None) -> tuple[Property, ...]:
    """Return the properties without the one that routes; raises ContractError if records cannot be routed by it."""
    for prop in contract.properties:
        if prop.name == route_by and (prop.enum != (contract.event_type,) or not prop.required):
            message = (
                f"{contract.path or contract.label}: property {route_by}: events are routed by it, so"
                f" expected a required string with `enum: [{{value: {contract.event_type}}}]`"
                f", got {', '.join(map(str, prop.enum)) or prop.type}"
            )
            raise ContractError(message)
    return tuple(prop for prop in contract.properties if prop.name != route_by)


def routing_property(contract: Contract, route_by: str) -> Property:
    """Return the property by which events are routed to `contract`, whether or not it declares the property."""
    return Property(route_by, "string", required=True, enum=(contract.event_type,))


def _event_struct(contract: Contract, route_by: str | None, *, tagged: bool) -> type[msgspec.Struct]:
    properties = routed_properties(contract, route_by)
    if route_by is None:
        return compile_struct(contract.event_type, properties, contract.event_time)
    if tagged:
        return compile_struct(contract.event_type, properties, contract.event_time, route_by)
    # A lone tagged struct would let an event without its tag pass.
    tag = routing_property(contract, route_by)
    return compile_struct(contract.event_type, (tag, *properties), contract.event_time)


def compile_struct(
    name: str, properties: Sequence[Property], time: str | None = None, tag_field: str | None = None
) -> type[msgspec.Struct]:
    """Compile the struct of `properties`: the event time is `TIME_FIELD`, and `tag_field` must hold `name`."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    names = attribute_names(properties)
    if time in names:
        names[time] = TIME_FIELD
    for prop in properties:
        attribute = names[prop.name]
        value = _optional(prop) if prop.nullable else _type(prop)
        fields.append((attribute, _type(prop)) if prop.required else (attribute, value, None))
    return msgspec.defstruct(
        name,
        fields,
        rename={attribute: original for original, attribute in names.items()},
        tag=name if tag_field is not None else None,
        tag_field=tag_field,
        kw_only=True,
        gc=False,
    )


def _names(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return property name -> attribute name, for all but the tag."""
    return dict(zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True))


def _optional(prop: Property) -> Any:
    # Raw takes null as it is, and cannot be in a union.
    return msgspec.Raw if prop.type == "decimal" else _type(prop) | None


def _type(prop: Property) -> Any:
    """Return the type that msgspec decodes a value of `prop` to; null apart."""
    if prop.enum:
        return Literal[prop.enum]
    if prop.type == "object":
        return compile_struct(prop.name, prop.properties)
    base = _array(prop) if prop.type == "array" else _TYPES[prop.type]
    limits = _limits(prop)
    return Annotated[base, msgspec.Meta(**limits)] if limits else base


def _array(prop: Property) -> Any:
    if prop.items is None:
        message = f"property {prop.name}: expected an array with items, got none"
        raise ContractError(message)
    return list.__class_getitem__(_type(prop.items) if prop.items.required else _optional(prop.items))


def _limits(prop: Property) -> dict[str, Any]:
    """Return what msgspec is to check beyond the type; `batch_checks` does what msgspec has no words for."""
    limits: dict[str, Any] = {}
    if prop.type == "integer":
        limits = {"ge": INT64_MIN, "le": INT64_MAX}
    if prop.type != "decimal":
        given: dict[str, Any] = {"min_length": prop.min_length, "max_length": prop.max_length}
        if prop.type in ("integer", "float"):
            given |= {"ge": prop.minimum, "le": prop.maximum}
        limits |= {name: value for name, value in given.items() if value is not None}
    return limits
