"""The rules of a contract as the native core takes them (docs/adr/0133).

A rule that is not known here makes a contract unknown to the core: so a new rule is right before the core knows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sluice.contracts.model import Contract, Property
from sluice.contracts.value_types import DECIMAL_SCALE


def describe(contract: Contract) -> list[dict[str, Any]] | None:
    """Return the properties of a contract for the core; None if it does not know all rules of the contract."""
    if not any(
        prop.name == contract.event_time and prop.type == "timestamp" and prop.required
        for prop in contract.properties
    ):
        return None
    try:
        return _describe_all(contract.properties)
    except _UnknownRuleError:
        return None


class _UnknownRuleError(Exception):
    """The core does not know a rule of a property."""


_NO_RULES: Mapping[str, Any] = {
    "required": False,
    "nullable": True,
    "description": "",
    "unique": False,
    "classification": None,
    "references": None,
    "flatten": False,
    "aliases": (),
    "day_first": False,
}
"""What is described to the core apart, or is no rule for a value of a record."""

_BOUNDED = ("integer", "float", "decimal")
_BARE = ("uuid", "boolean", "timestamp", "date", "json", *_BOUNDED)
"""Types without rules. Of type `json` the core takes no value: it takes lines that have none."""


_MOST_PROPERTIES = 64
"""Of one object."""


def _describe_all(properties: Sequence[Property]) -> list[dict[str, Any]]:
    if len(properties) > _MOST_PROPERTIES:
        raise _UnknownRuleError
    return [_describe(prop) for prop in properties]


def _describe(prop: Property) -> dict[str, Any]:
    known: dict[str, Any] = {}
    described: dict[str, Any] = dict.fromkeys(("minimum", "maximum", "lengths", "pattern", "values"))
    described |= {"name": prop.name, "type": prop.type, "members": []}
    described |= {"required": prop.required, "nullable": prop.nullable}
    if prop.type == "string" and prop.enum:
        known = {"enum": ()}
        described["values"] = list(prop.enum)
    elif prop.type == "string":
        known = {"pattern": None, "min_length": None, "max_length": None}
        described |= {"pattern": prop.pattern, "lengths": _lengths(prop)}
    elif prop.type in _BOUNDED:
        known = {"minimum": None, "maximum": None}
        described |= {name: _bound(prop, getattr(prop, name)) for name in known}
    elif prop.type == "object":
        known = {"properties": ()}
        described["members"] = _describe_all(prop.properties)
    elif prop.type == "array" and prop.items is not None:
        known = {"items": None, "min_length": None, "max_length": None}
        described |= {"members": [_describe(prop.items)], "lengths": _lengths(prop)}
    elif prop.type not in _BARE:
        raise _UnknownRuleError
    if replace(prop, **_NO_RULES, **known) != Property(prop.name, prop.type):
        raise _UnknownRuleError
    return described


_MOST = 2**32


def _lengths(prop: Property) -> tuple[int, int] | None:
    if prop.min_length is None and prop.max_length is None:
        return None
    return prop.min_length or 0, _MOST if prop.max_length is None else prop.max_length


def _bound(prop: Property, bound: float | None) -> str | None:
    if bound is None:
        return None
    if prop.type == "float":
        return repr(float(bound))
    number = Decimal(str(bound)).scaleb(DECIMAL_SCALE if prop.type == "decimal" else 0)
    if number != number.to_integral_value():
        raise _UnknownRuleError
    return str(int(number))
