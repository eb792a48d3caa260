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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from sluice.contracts import Property
from sluice.contracts.patterns import (
    DECIMAL_PATTERN,
    UNSIGNED_DECIMAL_PATTERN,
    compile_mismatches,
    misfits,
    misfits_in_lines,
)
from sluice.validation.exact_values import is_multiple

FindSuspects = Callable[[Sequence[Any]], list[int]]
"""Structs of one contract -> the indexes of the suspects, in order."""

_Reach = Callable[[Iterable[Any]], Iterable[Any]]
"""Events -> all values of one property in them, without those that are absent."""

_Test = Callable[[Sequence[Any]], Sequence[int]]
"""Values, at least one -> the indexes of those that do not have the usual spelling, in order."""


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
    columns = [_Column(_TESTS[rule.name](rule), reach) for rule, reach in _columns(properties, names, iter)]
    return partial(_suspects, columns) if columns else None


class _Column(NamedTuple):
    """The values of one property in many events, and their test."""

    test: _Test
    reach: _Reach


def _suspects(columns: Sequence[_Column], events: Sequence[Any]) -> list[int]:
    """Test each column as a whole; only where a value fails, look for its event."""
    suspects: set[int] = set()
    for test, reach in columns:
        values = list(reach(events))
        if values and (failed := test(values)):
            suspects.update(_owners(events, reach, failed))
    return sorted(suspects)


_FEW = 16
"""Events whose values are counted together, to find those that have a value."""


def _owners(events: Sequence[Any], reach: _Reach, places: Sequence[int]) -> Iterator[int]:
    """Yield the indexes of the events that have the values at `places` of what `reach` finds; in order."""
    wanted = iter(places)
    place = next(wanted, None)
    reached = 0
    for start in range(0, len(events), _FEW):
        if place is None:
            return
        group = range(start, min(start + _FEW, len(events)))
        end = reached + _number(reach(events[group.start : group.stop]))
        for index in group if place < end else ():
            reached += _number(reach((events[index],)))
            while place is not None and place < reached:
                yield index
                place = next(wanted, None)
        reached = end


def _number(values: Iterable[Any]) -> int:
    return len(list(values))


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


def _single(test: Callable[[Any], bool]) -> _Test:
    """Return what tests one value after the other."""
    return lambda values: misfits(values, test)


def _decimals(rule: _Rule) -> _Test:
    # The usual bounds of a price need no arithmetic.
    unsigned = rule.minimum == 0 and rule.maximum is None
    number = UNSIGNED_DECIMAL_PATTERN if unsigned else DECIMAL_PATTERN
    spelling = f"(?:null|{number})" if rule.null else number
    find = _find_misspelt(spelling)
    if rule.multiple_of is None and (unsigned or (rule.minimum is None and rule.maximum is None)):
        return find
    low, high = (None if bound is None else Decimal(str(bound)) for bound in (rule.minimum, rule.maximum))

    def find_unusual(values: Sequence[msgspec.Raw]) -> Sequence[int]:
        misspelt = frozenset(find(values))
        return [
            index
            for index, value in enumerate(values)
            if index in misspelt or not _within(value, low, high, rule.multiple_of)
        ]

    return find_unusual


def _find_misspelt(spelling: str) -> _Test:
    """Return what finds the values of another spelling."""
    match_one = re.compile(spelling.encode()).fullmatch
    match_lines = re.compile(f"(?>(?:{spelling}\n)*)".encode()).match
    return lambda values: misfits_in_lines(values, b"\n".join([*values, b""]), match_lines, match_one)


def _within(value: msgspec.Raw, low: Decimal | None, high: Decimal | None, of: Decimal | None) -> bool:
    """Tell whether a decimal in its usual spelling, or null, is within bounds, and a multiple."""
    text = bytes(value).decode()
    if text == "null":
        return True
    number = Decimal(text)
    is_within = (low is None or number >= low) and (high is None or number <= high)
    return is_within and is_multiple(number, of)


def _find_no_uuids(texts: Sequence[str]) -> Sequence[int]:
    joined = "\n".join(texts)
    if joined.isascii():
        shape = joined.encode().translate(_UUID_SHAPE)
        if shape == b"\n".join([_UUID] * len(texts)):
            return ()
        shapes = shape.split(b"\n")
        if len(shapes) == len(texts):
            return [index for index, shape in enumerate(shapes) if shape != _UUID]
    return [
        index
        for index, text in enumerate(texts)
        if not text.isascii() or text.encode().translate(_UUID_SHAPE) != _UUID
    ]


_UUID = b"00000000-0000-0000-0000-000000000000"
_UUID_SHAPE = bytes(
    ord("0") if chr(byte) in string.hexdigits else byte if byte in b"-\n" else 0 for byte in range(256)
)
"""Translates every hexadecimal digit to the character 0, and what no UUID contains to a byte of value 0."""


def _times(rule: _Rule) -> _Test:
    low, high = rule.minimum, rule.maximum
    if low is None and high is None:
        return _find_edges
    is_within = _is_time_within(low, high)
    return lambda times: sorted({*_find_edges(times), *is_within(times)})


def _find_edges(times: Sequence[datetime]) -> Sequence[int]:
    """Return the indexes of times in the first and the last year."""
    years = [time.year for time in times]
    if min(years) > MINYEAR and max(years) < MAXYEAR:
        return ()
    return [index for index, year in enumerate(years) if not MINYEAR < year < MAXYEAR]


def _is_time_within(low: datetime | None, high: datetime | None) -> _Test:
    def test(time: datetime) -> bool:
        instant = time if time.tzinfo else time.replace(tzinfo=UTC)
        return (low is None or instant >= low) and (high is None or instant <= high)

    return _single(test)


def _dates(rule: _Rule) -> _Test:
    low, high = rule.minimum, rule.maximum
    return _single(lambda day: (low is None or day >= low) and (high is None or day <= high))


def _have_members(names: frozenset[str]) -> _Test:
    return _single(lambda value: value.keys() >= names)


_TESTS: Mapping[str, Callable[[_Rule], _Test]] = {
    "decimal": _decimals,
    "uuid": lambda _: _find_no_uuids,
    "timestamp": _times,
    "date": _dates,
    "integer": lambda rule: _single(lambda value: is_multiple(Decimal(value), rule.multiple_of)),
    "pattern": lambda rule: compile_mismatches(rule.pattern),
    "members": lambda rule: _have_members(frozenset(rule.members)),
    "unique": lambda _: _single(lambda items: len(items) == len(set(items))),
    "single": lambda _: _single(lambda items: len(items) <= 1),
}
"""Rule -> what tests its values; decimals are tested as texts."""
