"""What was seen at a place -> a property of a contract, with the number of values that each guess rests on.

Every guess accepts all values that were seen. What no type holds, such as a number in one record and a text in
another, is left out of the contract with the reason: the members of a record that its contract does not name are kept
in `_extra`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from sluice.contracts import DECIMAL_SCALE, ITEM, Path, Property, ValueType
from sluice.contracts.names import check_property_name, fold_name, is_reserved_column
from sluice.contracts.odcs import KeyPath
from sluice.errors import ContractError
from sluice.tooling.inference.observations import Kind, Observed
from sluice.warehouses.duckdb.views import DIALECT

_MOST_ENUM_VALUES = 20
_VALUES_OF_EACH = 10
"""An enum needs so many values for each different one, and none that was seen only once.

By Good and Turing, the share of values that are still unseen is about that of those seen once
(https://doi.org/10.1093/biomet/40.3-4.237)."""

_LONGEST_ENUM_VALUE = 40

_MOST_MEMBERS = 100
_LEAST_SHARE = 0.1
"""An object whose members are many, and each rarely there, is a map whose keys are data."""


class LeftOut(NamedTuple):
    """Why a place is not in the contract."""

    reason: str


@dataclass(frozen=True, slots=True)
class Guess:
    """A property, and what its guess rests on; `comments` and `left_out` have paths below the event."""

    prop: Property
    comments: Mapping[Path, str]
    left_out: Mapping[Path, str]


class _Type(NamedTuple):
    """The type of the values at a place, and what says so."""

    prop: Property
    reason: str
    comments: Mapping[Path, str] = {}
    left_out: Mapping[Path, str] = {}


def guess_properties(
    observed: Observed, *, bounds: bool = False, parent: Path = ()
) -> tuple[tuple[Property, ...], dict[Path, str], dict[Path, str]]:
    """Return the properties of the objects that were seen at a place, their comments, and what is left out and why.

    Args:
        observed: what was seen at the place, which has objects alone.
        bounds: whether numbers are bounded by those that were seen.
        parent: where the place is.

    """
    properties: list[Property] = []
    comments: dict[Path, str] = {}
    left_out: dict[Path, str] = {}
    names: dict[str, str] = {}
    for name, member in observed.members.items():
        path = (*parent, name)
        problem = _name_problem(name, names, nested=bool(parent))
        guess = LeftOut(problem) if problem else _guess(name, member, path, observed.kinds["object"], bounds)
        if isinstance(guess, LeftOut):
            left_out[path] = guess.reason
            continue
        names[fold_name(name)] = name
        properties.append(guess.prop)
        comments |= guess.comments
        left_out |= guess.left_out
    return tuple(properties), comments, left_out


def _name_problem(name: str, names: Mapping[str, str], *, nested: bool) -> str | None:
    try:
        check_property_name(KeyPath(""), name)
    except ContractError as error:
        return str(error).removeprefix(": ")
    if not nested and is_reserved_column(name):
        return "names with an underscore at their beginning are reserved for Sluice"
    if not nested and fold_name(name) in DIALECT.own_columns:
        return f"{DIALECT.name} has its own column of this name"
    other = names.get(fold_name(name))
    return None if other is None else f"warehouses cannot tell its name from {other}"


def _guess(name: str, observed: Observed, path: Path, objects: int, bounds: bool) -> Guess | LeftOut:
    found = _type_of(name, observed, path, bounds)
    if isinstance(found, LeftOut):
        return found
    required = observed.count == objects
    without = objects - observed.count
    presence = f"in all {objects:,}" if required else f"absent or null in {without:,} of {objects:,}"
    comment = f"{found.reason}; {presence}"
    prop = replace(found.prop, required=required, description=describe(name))
    return Guess(prop, {path: comment, **found.comments}, found.left_out)


def describe(name: str) -> str:
    """Return the name of a property as a sentence: `unitPrice` and `unit_price` are `Unit price.`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = " ".join(re.split(r"[\W_]+", words)).strip().lower() or name
    return f"{words[0].upper()}{words[1:]}."


def _type_of(name: str, observed: Observed, path: Path, bounds: bool) -> _Type | LeftOut:
    if not observed.kinds:
        return LeftOut(f"null in all {observed.nulls:,} records that have it, so its type is not known")
    if len(observed.kinds) > 1:
        seen = ", ".join(_counted(number, kind) for kind, number in observed.kinds.items())
        return LeftOut(f"values of several types: {seen}")
    (kind,) = observed.kinds
    return _TYPES[kind](name, observed, path, bounds)


def _counted(number: int, kind: str) -> str:
    return f"{number:,} {kind}{'' if number == 1 else 's'}"


def _string(name: str, observed: Observed, _path: Path, _bounds: bool) -> _Type:
    texts, count = observed.texts, observed.count
    forms: tuple[tuple[ValueType, Callable[[], bool]], ...] = (
        ("uuid", texts.all_are_uuids),
        ("timestamp", texts.all_are_timestamps),
        ("date", texts.all_are_dates),
    )
    for form, holds in forms:
        if holds():
            return _Type(Property(name, form), _counted(count, form))
    if _is_enum(observed):
        different = len(texts.values)
        reason = f"{_counted(count, 'string')}, {different:,} different, each seen more than once"
        return _Type(Property(name, "string", enum=tuple(sorted(texts.values))), reason)
    return _Type(Property(name, "string"), f"{_counted(count, 'string')}, {len(texts.values):,} different")


def _is_enum(observed: Observed) -> bool:
    values = observed.texts.values
    return (
        1 < len(values) <= _MOST_ENUM_VALUES
        and observed.count >= _VALUES_OF_EACH * len(values)
        and min(values.values()) > 1
        and all(0 < len(text) <= _LONGEST_ENUM_VALUE and text.isprintable() for text in values)
    )


def _number(name: str, observed: Observed, _path: Path, bounds: bool) -> _Type:
    numbers, count = observed.numbers, observed.count
    low, high = numbers.low, numbers.high
    if numbers.are_integers:
        prop = Property(name, "integer")
        if bounds and low is not None and high is not None:
            prop = replace(prop, minimum=int(low), maximum=int(high))
        return _Type(prop, f"{_counted(count, 'integer')}, {low:f} to {high:f}")
    if numbers.are_decimals:
        prop = Property(name, "decimal")
        if bounds and low is not None and high is not None:
            prop = replace(prop, minimum=_bound(low, math.floor), maximum=_bound(high, math.ceil))
        digits = _counted(numbers.scale, "digit")
        return _Type(prop, f"{_counted(count, 'number')}, exact, with at most {digits} after the point")
    reason = f"{_counted(count, 'number')}, some with an exponent or more than {DECIMAL_SCALE} digits after the point"
    return _Type(Property(name, "float"), reason)


def _bound(value: Decimal, round_off: Callable[[Decimal], int]) -> int | float:
    """Return a bound as YAML has it: exact, or else the next integer outside."""
    if Decimal(str(float(value))) == value:
        return int(value) if value == int(value) else float(value)
    return round_off(value)


def _boolean(name: str, observed: Observed, _path: Path, _bounds: bool) -> _Type:
    return _Type(Property(name, "boolean"), _counted(observed.count, "boolean"))


def _array(name: str, observed: Observed, path: Path, bounds: bool) -> _Type | LeftOut:
    items = observed.items
    if items is None or not (items.count or items.nulls):
        return LeftOut(
            f"{_counted(observed.count, 'array')}, all empty, so the type of their items is not known"
        )
    if items.nulls:
        return LeftOut(f"{_counted(observed.count, 'array')} with {items.nulls:,} items that are null")
    found = _type_of("item", items, (*path, ITEM), bounds)
    if isinstance(found, LeftOut):
        return LeftOut(f"{_counted(observed.count, 'array')} with items that are {found.reason}")
    prop = Property(name, "array", items=replace(found.prop, required=True))
    comments = {(*path, ITEM): found.reason, **found.comments}
    return _Type(prop, _counted(observed.count, "array"), comments, found.left_out)


def _object(name: str, observed: Observed, path: Path, bounds: bool) -> _Type:
    count, members = observed.count, observed.members
    values = sum(member.count + member.nulls for member in members.values())
    if len(members) > _MOST_MEMBERS and values < _LEAST_SHARE * count * len(members):
        return _Type(
            Property(name, "json"), f"{_counted(count, 'object')} with {len(members):,} different keys"
        )
    properties, comments, left_out = guess_properties(observed, bounds=bounds, parent=path)
    if not properties:
        return _Type(Property(name, "json"), f"{_counted(count, 'object')} of no known shape", {}, left_out)
    return _Type(
        Property(name, "object", properties=properties), _counted(count, "object"), comments, left_out
    )


_TYPES: Mapping[Kind, Callable[[str, Observed, Path, bool], _Type | LeftOut]] = {
    "string": _string,
    "number": _number,
    "boolean": _boolean,
    "array": _array,
    "object": _object,
}
