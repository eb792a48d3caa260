"""Properties of a contract -> functions that list the violations of their values. Used by the explainer."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec

from sluice.contracts import (
    DECIMAL_SCALE,
    DECIMAL_WHOLE_DIGITS,
    INT64_MAX,
    INT64_MIN,
    Property,
    ValuePath,
    ValueType,
    by_type,
    path_text,
)
from sluice.contracts.patterns import UUID_PATTERN, compile_pattern
from sluice.elements import Violation
from sluice.errors import ContractError
from sluice.validation.exact_values import comparable, exact_decimal, is_multiple

Check = Callable[[Any, ValuePath, list[Violation]], None]
"""Value, its path in the record, and the list to which violations are added. The value is never absent or null."""

_SNIPPET = 100
_LISTED = 100


class Number:
    """A JSON number that is not a plain integer, exactly as it was written."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        """Keep the text."""
        self.text = text


class DuplicateKeys(dict[str, Any]):
    """An object with repeated keys: the last value of each, and the `earlier` ones."""

    earlier: Sequence[tuple[str, Any]] = ()


class _Absent:
    pass


ABSENT = _Absent()
"""Stands for the value of a key that an object does not have."""


def snippet(value: Any) -> str:
    """Return the compact JSON text of `value`, cut to 100 characters; 'nothing' if it is absent."""
    if value is ABSENT:
        return "nothing"
    try:
        text = msgspec.json.encode(value, enc_hook=_raw_number).decode()
    except OverflowError:  # msgspec writes integers of 64 bits only
        text = json.dumps(
            value, default=lambda number: number.text, separators=(",", ":"), ensure_ascii=False
        )
    return text if len(text) <= _SNIPPET else f"{text[: _SNIPPET - 1]}…"


def _raw_number(number: Any) -> msgspec.Raw:
    return msgspec.Raw(number.text.encode())


def instant(value: Any) -> datetime | None:
    """Return the instant of a timestamp, in UTC; None if it is no timestamp, or outside the years 0001 to 9999."""
    try:
        time = msgspec.convert(value, datetime)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        return None


def make_violation(code: str, path: ValuePath, expected: str, got: str) -> Violation:
    """Return a violation at `path`, which it has as text."""
    return Violation(code, path_text(path), expected, got)


def compile_object(properties: Iterable[Property]) -> Check:
    """Compile the check of an object; a required member must be present, and it and one not nullable not null."""
    properties = tuple(properties)
    members = [(prop.name, expectation(prop) if prop.required else "", _compile(prop)) for prop in properties]
    not_null = {prop.name for prop in properties if not prop.nullable}
    by_name = {name: (expected, check) for name, expected, check in members}

    def check_members(value: dict[str, Any], path: ValuePath, violations: list[Violation]) -> None:
        for name, expected, check in members:
            member = value.get(name, ABSENT)
            if member is not ABSENT and (member is not None or name in not_null):
                check(member, (*path, name), violations)
            elif expected:
                violations.append(make_violation("missing", (*path, name), expected, snippet(member)))
        if type(value) is DuplicateKeys:
            for name, earlier in value.earlier:
                if name in by_name and (earlier is not None or name in not_null):
                    by_name[name][1](earlier, (*path, name), violations)
                elif name in by_name and by_name[name][0]:
                    violations.append(make_violation("missing", (*path, name), by_name[name][0], "null"))

    def check_object(value: Any, path: ValuePath, violations: list[Violation]) -> None:
        if isinstance(value, dict):
            check_members(value, path, violations)
        else:
            violations.append(make_violation("type", path, "an object", snippet(value)))

    return check_object


def _compile(prop: Property) -> Check:
    if prop.enum:
        return _enum(prop)
    return _COMPILERS[prop.type](prop)


_NAMES: Mapping[ValueType, str] = by_type(
    {
        "string": "a string",
        "uuid": "a UUID such as 123e4567-e89b-12d3-a456-426614174000",
        "integer": "an integer",
        "float": "a number",
        "decimal": "a number",
        "boolean": "true or false",
        "timestamp": "a timestamp such as 2025-02-08T13:09:00Z",
        "date": "a date such as 2025-02-08",
        "object": "an object",
        "array": "an array",
        "json": "an object",
    }
)


def listing(values: Collection[object]) -> str:
    """Return values with commas between them; only the first 100, since every dead letter has them."""
    shown = ", ".join(str(value) for value in islice(values, _LISTED))
    return shown if len(values) <= _LISTED else f"{shown} and {len(values) - _LISTED} more"


def expectation(prop: Property) -> str:
    """Return what a value of `prop` must be, in words: its type, or the values that are allowed."""
    if prop.enum:
        return str(prop.enum[0]) if len(prop.enum) == 1 else f"one of {listing(prop.enum)}"
    return _NAMES[prop.type]


def _bounds(low: Any, high: Any, unit: str = "") -> str:
    if low is not None and high is not None:
        return f"{low} to {high}{unit}"
    return f"at least {low}{unit}" if low is not None else f"at most {high}{unit}"


def _string(prop: Property) -> Check:
    pattern = UUID_PATTERN if prop.type == "uuid" else prop.pattern
    form = _NAMES["uuid"] if prop.type == "uuid" else f"a string that matches {pattern}"
    matches = None if pattern is None else compile_pattern(pattern)
    limited = prop.min_length is not None or prop.max_length is not None
    low, high = prop.min_length or 0, float("inf") if prop.max_length is None else prop.max_length

    def check(value: Any, path: ValuePath, violations: list[Violation]) -> None:
        if type(value) is not str:
            violations.append(make_violation("type", path, _NAMES[prop.type], snippet(value)))
            return
        if matches is not None and not matches(value):
            violations.append(make_violation("format", path, form, snippet(value)))
        if limited and not low <= len(value) <= high:
            length = _bounds(prop.min_length, prop.max_length, " characters")
            violations.append(make_violation("length", path, length, f"{len(value)} characters"))

    return check


def _enum(prop: Property) -> Check:
    expected, allowed, value_type = expectation(prop), frozenset(prop.enum), type(prop.enum[0])

    def check(value: Any, path: ValuePath, violations: list[Violation]) -> None:
        if type(value) is not value_type:
            violations.append(make_violation("type", path, expected, snippet(value)))
        elif value not in allowed:
            violations.append(make_violation("enum", path, expected, snippet(value)))

    return check


def _integer(prop: Property) -> Check:
    low = INT64_MIN if prop.minimum is None else prop.minimum
    high = INT64_MAX if prop.maximum is None else prop.maximum
    limits = (prop.minimum, prop.maximum)
    bounds = _bounds(low, high) if limits == (None, None) else _bounds(*limits)

    def check(value: Any, path: ValuePath, violations: list[Violation]) -> None:
        if type(value) is Number and value.text.lstrip("-").isdigit():
            violations.append(make_violation("range", path, bounds, snippet(value)))
        elif type(value) is not int:
            violations.append(make_violation("type", path, "an integer", snippet(value)))
        elif not low <= value <= high:
            violations.append(make_violation("range", path, bounds, snippet(value)))
        elif not is_multiple(Decimal(value), prop.multiple_of):
            violations.append(make_violation("range", path, _multiple(prop), snippet(value)))

    return check


def _multiple(prop: Property) -> str:
    return f"a multiple of {prop.multiple_of:f}"


def _float(prop: Property) -> Check:
    low = float("-inf") if prop.minimum is None else float(prop.minimum)
    high = float("inf") if prop.maximum is None else float(prop.maximum)
    bounded = prop.minimum is not None or prop.maximum is not None
    bounds = _bounds(prop.minimum, prop.maximum) if bounded else _DOUBLE

    def check(value: Any, path: ValuePath, violations: list[Violation]) -> None:
        if type(value) not in (int, Number):
            violations.append(make_violation("type", path, "a number", snippet(value)))
        elif not _is_double(value):
            violations.append(make_violation("range", path, _DOUBLE, snippet(value)))
        elif not low <= float(value if type(value) is int else value.text) <= high:
            violations.append(make_violation("range", path, bounds, snippet(value)))

    return check


_DOUBLE = "a number within the range of a double"


def _is_double(value: int | Number) -> bool:
    try:
        return abs(float(value if isinstance(value, int) else value.text)) != float("inf")
    except OverflowError:
        return False


_DECIMAL = f"a number with at most {DECIMAL_WHOLE_DIGITS} digits before the point and {DECIMAL_SCALE} after"


def _decimal(prop: Property) -> Check:
    low = None if prop.minimum is None else Decimal(str(prop.minimum))
    high = None if prop.maximum is None else Decimal(str(prop.maximum))

    def check(value: Any, path: ValuePath, violations: list[Violation]) -> None:
        if type(value) not in (int, Number):
            violations.append(make_violation("type", path, "a number", snippet(value)))
            return
        number = exact_decimal(value if isinstance(value, int) else value.text)
        if number is None:
            violations.append(make_violation("range", path, _DECIMAL, snippet(value)))
        elif (low is not None and number < low) or (high is not None and number > high):
            violations.append(
                make_violation("range", path, _bounds(prop.minimum, prop.maximum), snippet(value))
            )
        elif not is_multiple(number, prop.multiple_of):
            violations.append(make_violation("range", path, _multiple(prop), snippet(value)))

    return check


def _boolean(prop: Property) -> Check:
    def check(value: Any, path: ValuePath, violations: list[Violation]) -> None:
        if type(value) is not bool:
            violations.append(make_violation("type", path, expectation(prop), snippet(value)))

    return check


def _limit_time(prop: Property, time: date, value: str, path: ValuePath, violations: list[Violation]) -> None:
    """Add a violation if a date or timestamp is outside the bounds of `prop`."""
    low, high = prop.earliest, prop.latest
    if (low is not None and time < low) or (high is not None and time > high):
        bounds = _bounds(low and low.isoformat(), high and high.isoformat())
        violations.append(make_violation("range", path, bounds, snippet(value)))


def _timestamp(prop: Property) -> Check:
    expected = expectation(prop)

    def check(value: Any, path: ValuePath, violations: list[Violation]) -> None:
        if type(value) is not str:
            violations.append(make_violation("type", path, expected, snippet(value)))
        elif (time := instant(value)) is not None:
            _limit_time(prop, time, value, path, violations)
        else:
            try:
                msgspec.convert(value, datetime)
            except msgspec.ValidationError:
                violations.append(make_violation("format", path, expected, snippet(value)))
            else:
                violations.append(
                    make_violation(
                        "range", path, "an instant of the years 0001 to 9999 in UTC", snippet(value)
                    )
                )

    return check


def _date(prop: Property) -> Check:
    expected = expectation(prop)

    def check(value: Any, path: ValuePath, violations: list[Violation]) -> None:
        if type(value) is not str:
            violations.append(make_violation("type", path, expected, snippet(value)))
            return
        try:
            _limit_time(prop, msgspec.convert(value, date), value, path, violations)
        except msgspec.ValidationError:
            violations.append(make_violation("format", path, expected, snippet(value)))

    return check


def _array(prop: Property) -> Check:
    if prop.items is None:
        message = f"property {prop.name}: expected an array with items, got none"
        raise ContractError(message)
    required, expected = prop.items.required, expectation(prop.items)
    check_item = _compile(prop.items)
    low, high = prop.min_length or 0, float("inf") if prop.max_length is None else prop.max_length
    length = _bounds(prop.min_length, prop.max_length, " items")

    def check(value: Any, path: ValuePath, violations: list[Violation]) -> None:
        if type(value) is not list:
            violations.append(make_violation("type", path, "an array", snippet(value)))
            return
        if not low <= len(value) <= high:
            violations.append(make_violation("length", path, length, f"{len(value)} items"))
        if prop.unique_items and len(value) != len(set(map(comparable, value))):
            violations.append(make_violation("range", path, "items that differ", snippet(value)))
        for index, item in enumerate(value):
            if item is not None:
                check_item(item, (*path, index), violations)
            elif required:
                violations.append(make_violation("missing", (*path, index), expected, "null"))

    return check


def _json(prop: Property) -> Check:
    """Compile the check of an object of any shape, whose numbers must be in the range that warehouses have."""
    low, high = prop.min_length or 0, float("inf") if prop.max_length is None else prop.max_length
    length = _bounds(prop.min_length, prop.max_length, " members")

    def check(value: Any, path: ValuePath, violations: list[Violation]) -> None:
        if not isinstance(value, dict):
            violations.append(make_violation("type", path, expectation(prop), snippet(value)))
            return
        if not low <= len(value) <= high:
            violations.append(make_violation("length", path, length, f"{len(value)} members"))
        for name in prop.members:
            if name not in value:
                violations.append(make_violation("missing", (*path, name), "a value", "nothing"))
        todo: list[tuple[ValuePath, Any]] = [(path, value)]
        while todo:
            where, node = todo.pop()
            if isinstance(node, dict):
                earlier = node.earlier if isinstance(node, DuplicateKeys) else ()
                todo.extend(((*where, name), member) for name, member in (*node.items(), *earlier))
            elif isinstance(node, list):
                todo.extend(((*where, index), item) for index, item in enumerate(node))
            elif type(node) is Number and not _is_double(node):
                violations.append(make_violation("range", where, _DOUBLE, snippet(node)))
            elif type(node) is Number and node.text.lstrip("-").isdigit():
                violations.append(
                    make_violation("range", where, "an integer of at most 4300 digits", snippet(node))
                )

    return check


_COMPILERS: Mapping[ValueType, Callable[[Property], Check]] = by_type(
    {
        "object": lambda prop: compile_object(prop.properties),
        "string": _string,
        "uuid": _string,
        "integer": _integer,
        "float": _float,
        "decimal": _decimal,
        "boolean": _boolean,
        "timestamp": _timestamp,
        "date": _date,
        "array": _array,
        "json": _json,
    }
)
