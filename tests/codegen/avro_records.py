"""Accepted events as records that an Avro writer takes, to prove that the schemas fit the events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any
from uuid import UUID

import msgspec
from sluice.codegen.avro import avro_name
from sluice.contracts import (
    DECIMAL_PRECISION,
    DECIMAL_SCALE,
    LEAF_TYPES,
    Contract,
    Property,
    ValueType,
    by_type,
)


def to_avro(contract: Contract, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an accepted event as a record of `avro_schema(contract)`.

    Args:
        contract: that accepted the event.
        event: decoded from JSON into builtin values. With `parse_float=Decimal` (msgspec: `float_hook`) to
            keep more than 15 digits of a decimal.

    Returns:
        UUID, Decimal, datetime (UTC) and date for their types, compact JSON text for `json`, None for what is
        absent.

    """
    return _to_object(contract.properties, event)


def _to_object(properties: Iterable[Property], event: Mapping[str, Any]) -> dict[str, Any]:
    return {avro_name(prop.name): _to_value(prop, event.get(prop.name)) for prop in properties}


def _to_value(prop: Property, value: Any) -> Any:
    if value is None:
        return None
    if prop.type == "object":
        return _to_object(prop.properties, value)
    if prop.items is not None:
        items = prop.items
        return [_to_value(items, item) for item in value]
    convert = _CONVERT[prop.type]
    return value if convert is None else convert(value)


_exact = Context(prec=DECIMAL_PRECISION, traps=[Inexact, InvalidOperation])
_unit = Decimal(1).scaleb(-DECIMAL_SCALE)


def _decimal(value: Any) -> Decimal:
    """Write the number with nine decimals, as Avro wants it; an accepted number fits exactly."""
    # A float by way of its text: 0.1 means 0.1, not the 55 digits of its binary form.
    return _exact.quantize(value if isinstance(value, Decimal) else Decimal(str(value)), _unit)


def _timestamp(value: str) -> datetime:
    time = msgspec.convert(value, datetime)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


_encode = msgspec.json.Encoder(decimal_format="number").encode


def _text(value: Any) -> str:
    return _encode(value).decode()


_CONVERT: Mapping[ValueType, Any] = by_type(
    {
        "uuid": UUID,
        "float": float,
        "integer": int,
        "decimal": _decimal,
        "timestamp": _timestamp,
        "date": date.fromisoformat,
        "json": _text,
        "string": None,
        "boolean": None,
    },
    LEAF_TYPES,
)
"""What has to be done to a value of JSON for Avro; None: it stays as it is."""
