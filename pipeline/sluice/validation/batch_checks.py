"""Decoded events of one contract -> which of them need a second, exact validation; checked for many events at once.

Some rules msgspec cannot express, or checks slowly. For these a quick test accepts the usual spelling: a UUID, a text
that matches the pattern, a decimal of at most 29 digits before the point and 9 after, an instant well within the years
0001 to 9999. The values of many events are joined and tested together, which takes a tenth of the time of single tests.
An event that fails is a suspect: it may still be valid, and the explainer decides exactly.
"""

from __future__ import annotations

import keyword
import operator
import re
import string
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import Any

import msgspec

from sluice.contracts import Property
from sluice.contracts.patterns import DECIMAL_PATTERN, UNSIGNED_DECIMAL_PATTERN, compile_pattern_of_all
from sluice.validation.exact_values import is_multiple

FindSuspects = Callable[[Sequence[Any]], list[int]]
"""Structs of one contract -> the indexes of the suspects, in order."""

_Reach = Callable[[Iterable[Any]], Iterable[Any]]
"""Events -> all values of one property in them, without those that are absent."""

_Test = Callable[[Sequence[Any]], bool]
"""Values -> whether all of them have the usual spelling."""


def attribute_names(properties: Iterable[Property]) -> dict[str, str]:
    """Return property name -> attribute name, which is the same where that is an identifier."""
    attributes: dict[str, str] = {}
    for index, prop in enumerate(properties):
        plain = prop.name.isascii() and prop.name.isidentifier() and not keyword.iskeyword(prop.name)
        edged = prop.name.startswith("_") or prop.name.endswith("_")
        attributes[prop.name] = prop.name if plain and not edged else f"property_{index}_"
    return attributes


def compile_suspects(properties: Iterable[Property], names: Mapping[str, str]) -> FindSuspects | None:
    """Compile what finds the suspects among structs, whose attributes are `names` by property; None if none can be one.

    Members of objects have the attributes of `attribute_names`.
    """
    columns: dict[_Rule, list[_Reach]] = defaultdict(list)
    for rule, reach in _columns(properties, names, iter):
        columns[rule].append(reach)
    tests = [(_test(rule), reaches) for rule, reaches in columns.items()]
    return partial(_suspects, tests) if tests else None


_Tests = Sequence[tuple[_Test, Sequence[_Reach]]]


def _suspects(tests: _Tests, events: Sequence[Any]) -> list[int]:
    """Test all events at once; where that fails, groups of a few, and each event of the groups that fail."""
    failed = [test for test in tests if not _pass([test], events)]
    if not failed:
        return []
    groups = (range(start, min(start + _FEW, len(events))) for start in range(0, len(events), _FEW))
    suspected = (group for group in groups if not _pass(failed, events[group.start : group.stop]))
    return [index for group in suspected for index in group if not _pass(failed, [events[index]])]


_FEW = 16
"""Halving instead costs more where one event in a hundred is a suspect, and no less where one in a thousand is."""


def _pass(tests: _Tests, events: Sequence[Any]) -> bool:
    columns = (
        (test, list(chain.from_iterable(reach(events) for reach in reaches))) for test, reaches in tests
    )
    return all(not values or test(values) for test, values in columns)


@dataclass(frozen=True, slots=True)
class _Rule:
    """What values are tested for; bounds apply to decimals and times, `null` to decimals, `pattern` to strings."""

    name: str
    minimum: Any = None
    maximum: Any = None
    null: bool = False
    pattern: str = ""
    members: tuple[str, ...] = ()
    multiple_of: Decimal | None = None


def _columns(
    properties: Iterable[Property], names: Mapping[str, str], reach: _Reach
) -> Iterator[tuple[_Rule, _Reach]]:
    for prop in properties:
        if prop.name in names:
            yield from _column(prop, _present(prop, _values(reach, names[prop.name])))


def _column(prop: Property, reach: _Reach) -> Iterator[tuple[_Rule, _Reach]]:
    if prop.type == "decimal":
        null = prop.nullable and not prop.required
        yield _Rule("decimal", prop.minimum, prop.maximum, null, multiple_of=prop.multiple_of), reach
    elif prop.type in ("uuid", "timestamp") or (prop.type == "date" and _is_bounded(prop)):
        yield _Rule(prop.type, prop.earliest, prop.latest), reach
    elif prop.type == "integer" and prop.multiple_of is not None:
        yield _Rule("integer", multiple_of=prop.multiple_of), reach
    elif prop.members:
        yield _Rule("members", members=prop.members), reach
    elif prop.pattern is not None:
        yield _Rule("pattern", pattern=prop.pattern), reach
    elif prop.type == "object":
        yield from _columns(prop.properties, attribute_names(prop.properties), reach)
    elif prop.items is not None:
        if prop.unique_items:
            yield _Rule("unique" if prop.items.type in _HASHABLE else "single"), reach
        yield from _column(prop.items, _present(prop.items, _items(reach)))


def _is_bounded(prop: Property) -> bool:
    return (prop.earliest, prop.latest) != (None, None)


_HASHABLE = ("string", "integer", "boolean")
"""Types whose equal values are equal when they are decoded; of other items the explainer tells."""


def _values(reach: _Reach, name: str) -> _Reach:
    get = operator.attrgetter(name)
    return lambda events: map(get, reach(events))


def _items(reach: _Reach) -> _Reach:
    return lambda events: chain.from_iterable(reach(events))


def _present(prop: Property, reach: _Reach) -> _Reach:
    if prop.required:
        return reach
    return lambda events: [value for value in reach(events) if value is not None]


def _test(rule: _Rule) -> _Test:
    if rule.name != "decimal":
        return _TESTS[rule.name](rule)
    # The usual bounds of a price need no arithmetic.
    unsigned = rule.minimum == 0 and rule.maximum is None
    number = UNSIGNED_DECIMAL_PATTERN if unsigned else DECIMAL_PATTERN
    value = f"(?:null|{number})" if rule.null else number
    match = re.compile(f"(?:{value}\n)*+{value}".encode()).fullmatch
    if rule.multiple_of is None and (unsigned or (rule.minimum is None and rule.maximum is None)):
        return lambda values: match(b"\n".join(values)) is not None
    low, high = (None if bound is None else Decimal(str(bound)) for bound in (rule.minimum, rule.maximum))
    return lambda values: (
        match(b"\n".join(values)) is not None
        and all(_within(value, low, high, rule.multiple_of) for value in values)
    )


def _within(value: msgspec.Raw, low: Decimal | None, high: Decimal | None, of: Decimal | None) -> bool:
    """Tell whether a decimal in its usual spelling, or null, is within bounds, and a multiple."""
    text = bytes(value).decode()
    if text == "null":
        return True
    number = Decimal(text)
    is_within = (low is None or number >= low) and (high is None or number <= high)
    return is_within and is_multiple(number, of)


def _are_uuids(texts: Sequence[str]) -> bool:
    joined = "\n".join(texts)
    return joined.isascii() and joined.encode().translate(_UUID_SHAPE) == b"\n".join([_UUID] * len(texts))


_UUID = b"00000000-0000-0000-0000-000000000000"
_UUID_SHAPE = bytes(
    ord("0") if chr(byte) in string.hexdigits else byte if byte in b"-\n" else 0 for byte in range(256)
)
"""Translates every hexadecimal digit to the character 0, and what no UUID contains to a byte of value 0."""


def _are_instants(times: Sequence[datetime]) -> bool:
    years = [time.year for time in times]
    return min(years) > MINYEAR and max(years) < MAXYEAR


def _times(rule: _Rule) -> _Test:
    low, high = rule.minimum, rule.maximum
    if low is None and high is None:
        return _are_instants
    return lambda times: (
        _are_instants(times)
        and all(
            (low is None or time >= low) and (high is None or time <= high)
            for time in (time if time.tzinfo else time.replace(tzinfo=UTC) for time in times)
        )
    )


def _dates(rule: _Rule) -> _Test:
    low, high = rule.minimum, rule.maximum
    return lambda days: (low is None or min(days) >= low) and (high is None or max(days) <= high)


def _have_members(names: frozenset[str]) -> _Test:
    return lambda objects: all(value.keys() >= names for value in objects)


_TESTS: Mapping[str, Callable[[_Rule], _Test]] = {
    "uuid": lambda _: _are_uuids,
    "timestamp": _times,
    "date": _dates,
    "integer": lambda rule: (
        lambda values: all(is_multiple(Decimal(value), rule.multiple_of) for value in values)
    ),
    "pattern": lambda rule: compile_pattern_of_all(rule.pattern),
    "members": lambda rule: _have_members(frozenset(rule.members)),
    "unique": lambda _: lambda arrays: all(len(items) == len(set(items)) for items in arrays),
    "single": lambda _: lambda arrays: all(len(items) <= 1 for items in arrays),
}
"""Rule -> what tests its values; decimals are tested as texts."""
