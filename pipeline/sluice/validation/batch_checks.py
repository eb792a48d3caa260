"""Decoded events of one contract -> which of them are odd, told for many events at once.

An event is plain if what msgspec cannot say of it, or says slowly, is as it nearly always is: a UUID has its one
spelling, a decimal at most 29 digits before the point and 9 after, an instant lies well within the years 0001 to
9999. The values of many events are put together and looked at in one go, which takes a tenth of the time of looking
at each. What is odd is left to the explainer, which decides exactly.
"""

from __future__ import annotations

import keyword
import operator
import re
import string
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, datetime
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import Any

import msgspec

from sluice.contracts import Property
from sluice.contracts.patterns import DECIMAL_PATTERN, UNSIGNED_DECIMAL_PATTERN

FindSuspects = Callable[[Sequence[Any]], list[int]]
"""Structs of one contract -> the indexes of those that are odd, in order."""

_Reach = Callable[[Iterable[Any]], Iterable[Any]]
"""Events -> all values of one property in them, without those that are absent."""

_Test = Callable[[Sequence[Any]], bool]
"""Values -> whether all of them are plain."""


def attribute_names(properties: Iterable[Property]) -> dict[str, str]:
    """Return property name -> attribute name, the same wherever it is a fit identifier."""
    attributes: dict[str, str] = {}
    for index, prop in enumerate(properties):
        plain = prop.name.isascii() and prop.name.isidentifier() and not keyword.iskeyword(prop.name)
        edged = prop.name.startswith("_") or prop.name.endswith("_")
        attributes[prop.name] = prop.name if plain and not edged else f"property_{index}_"
    return attributes


def compile_suspects(properties: Iterable[Property], names: Mapping[str, str]) -> FindSuspects | None:
    """Compile what finds the odd among structs whose attributes are `names`; None if none can be odd.

    Members of objects have the attributes that `attribute_names` says.
    """
    columns: dict[_Kind, list[_Reach]] = defaultdict(list)
    for kind, reach in _columns(properties, names, iter):
        columns[kind].append(reach)
    tests = [(_test(kind), reaches) for kind, reaches in columns.items()]
    return partial(_suspects, tests) if tests else None


_Tests = Sequence[tuple[_Test, Sequence[_Reach]]]


def _suspects(tests: _Tests, events: Sequence[Any]) -> list[int]:
    """Look at all events at once; where that fails at a few at a time, and at each of those few."""
    failed = [each for each in tests if not _are_plain([each], events)]
    if not failed:
        return []
    few = (range(start, min(start + _FEW, len(events))) for start in range(0, len(events), _FEW))
    doubted = (each for each in few if not _are_plain(failed, events[each.start : each.stop]))
    return [index for each in doubted for index in each if not _are_plain(failed, [events[index]])]


_FEW = 16
"""Halving costs more where one in a hundred is odd, and little else where it is one in a thousand."""


def _are_plain(tests: _Tests, events: Sequence[Any]) -> bool:
    columns = (
        (test, list(chain.from_iterable(reach(events) for reach in reaches))) for test, reaches in tests
    )
    return all(not values or test(values) for test, values in columns)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What values are tested for; bounds and `null` are those of decimals."""

    name: str
    minimum: Any = None
    maximum: Any = None
    null: bool = False


def _columns(
    properties: Iterable[Property], names: Mapping[str, str], reach: _Reach
) -> Iterator[tuple[_Kind, _Reach]]:
    for prop in properties:
        if prop.name in names:
            yield from _column(prop, _present(prop, _values(reach, names[prop.name])))


def _column(prop: Property, reach: _Reach) -> Iterator[tuple[_Kind, _Reach]]:
    if prop.type == "decimal":
        yield _Kind("decimal", prop.minimum, prop.maximum, not prop.required), reach
    elif prop.type in ("uuid", "timestamp"):
        yield _Kind(prop.type), reach
    elif prop.type == "object":
        yield from _columns(prop.properties, attribute_names(prop.properties), reach)
    elif prop.items is not None:
        items: _Reach = lambda events: chain.from_iterable(reach(events))  # noqa: E731
        yield from _column(prop.items, _present(prop.items, items))


def _values(reach: _Reach, name: str) -> _Reach:
    get = operator.attrgetter(name)
    return lambda events: map(get, reach(events))


def _present(prop: Property, reach: _Reach) -> _Reach:
    if prop.required:
        return reach
    return lambda events: [value for value in reach(events) if value is not None]


def _test(kind: _Kind) -> _Test:
    if kind.name == "uuid":
        return _are_uuids
    if kind.name == "timestamp":
        return _are_instants
    # The usual bounds of a price need no arithmetic.
    unsigned = kind.minimum == 0 and kind.maximum is None
    number = UNSIGNED_DECIMAL_PATTERN if unsigned else DECIMAL_PATTERN
    each = f"(?:null|{number})" if kind.null else number
    are_plain = re.compile(f"(?:{each}\n)*+{each}".encode()).fullmatch
    if unsigned or (kind.minimum is None and kind.maximum is None):
        return lambda values: are_plain(b"\n".join(values)) is not None
    low, high = (None if bound is None else Decimal(str(bound)) for bound in (kind.minimum, kind.maximum))
    return lambda values: (
        are_plain(b"\n".join(values)) is not None and all(_within(value, low, high) for value in values)
    )


def _within(value: msgspec.Raw, low: Decimal | None, high: Decimal | None) -> bool:
    """Whether a plain decimal, or null, is within bounds."""
    text = bytes(value).decode()
    if text == "null":
        return True
    number = Decimal(text)
    return (low is None or number >= low) and (high is None or number <= high)


def _are_uuids(texts: Sequence[str]) -> bool:
    joined = "\n".join(texts)
    return joined.isascii() and joined.encode().translate(_UUID_SHAPE) == b"\n".join([_UUID] * len(texts))


_UUID = b"00000000-0000-0000-0000-000000000000"
_UUID_SHAPE = bytes(
    ord("0") if chr(byte) in string.hexdigits else byte if byte in b"-\n" else 0 for byte in range(256)
)
"""Every hexadecimal digit becomes a zero character, and what no UUID has a byte of value 0."""


def _are_instants(times: Sequence[datetime]) -> bool:
    years = [time.year for time in times]
    return min(years) > MINYEAR and max(years) < MAXYEAR
