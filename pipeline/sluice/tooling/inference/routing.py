"""Records -> the property that may tell their event types apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sluice.contracts.names import check_event_type, fold_event_type
from sluice.contracts.odcs import KeyPath
from sluice.errors import ConfigError, ContractError, quote
from sluice.tooling.inference.records import SampleRecord

_USUAL_NAMES = (
    "event_type",
    "eventtype",
    "event_name",
    "eventname",
    "event",
    "type",
    "kind",
    "record_type",
    "@type",
)
"""Names that such a property usually has, in lower case, the best first."""

_MOST_TYPES = 50

_RECORDS_OF_EACH = 3
"""A property with more different values than this allows does not name types, but records."""


@dataclass(frozen=True, slots=True)
class Route:
    """A property that can route: every record has it, and each of its few values can be an event type."""

    name: str
    types: tuple[str, ...]
    """Its values, in order."""
    usual: bool
    """It has a name that such properties usually have."""


def find_routes(records: Sequence[SampleRecord]) -> list[Route]:
    """Return the properties that can route `records` to event types that differ in their properties, the best first."""
    if not records:
        return []
    routes = [
        route
        for name in records[0].values
        if (route := _route(records, name)) is not None
        and 1 < len(route.types) <= len(records) / _RECORDS_OF_EACH
        and _differ(records, name)
    ]
    return sorted(routes, key=lambda route: (_rank(route.name), len(route.types)))


def route_by(records: Sequence[SampleRecord], name: str) -> Route:
    """Return the route by a property that the user names.

    Raises:
        ConfigError: not every record has it, or its values cannot be event types.

    """
    route = _route(records, name)
    if route is not None:
        return route
    values = {quote(record.values.get(name)) for record in records}
    shown = ", ".join(sorted(values)[:3])
    message = (
        "--route-by: expected a property that names an event type (letters, digits, '_', '-' and '.') in every record, "
        f"at most {_MOST_TYPES} of them, got {quote(name)} with {len(values):,} different values, such as {shown}"
    )
    raise ConfigError(message)


def grouped(records: Sequence[SampleRecord], name: str) -> dict[str, list[int]]:
    """Return the indexes of the records of each event type, in order of the types."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        groups[record.values[name]].append(index)
    return dict(sorted(groups.items()))


def _route(records: Sequence[SampleRecord], name: str) -> Route | None:
    types: set[str] = set()
    for record in records:
        value = record.values.get(name)
        if not isinstance(value, str):
            return None
        types.add(value)
        if len(types) > _MOST_TYPES:
            return None
    folded = {fold_event_type(value) for value in types}
    if len(folded) < len(types) or not all(map(_is_event_type, types)):
        return None
    return Route(name, tuple(sorted(types)), name.lower() in _USUAL_NAMES)


def _is_event_type(value: str) -> bool:
    try:
        check_event_type(KeyPath(""), value, internal=False)
    except ContractError:
        return False
    return True


def _rank(name: str) -> int:
    return _USUAL_NAMES.index(name.lower()) if name.lower() in _USUAL_NAMES else len(_USUAL_NAMES)


def _differ(records: Sequence[SampleRecord], name: str) -> bool:
    """Tell whether all records of one type have a property that no record of another type has."""
    always: dict[str, set[str]] = {}
    ever: dict[str, set[str]] = defaultdict(set)
    for record in records:
        names = {key for key, value in record.values.items() if value is not None}
        value = record.values[name]
        always[value] = always[value] & names if value in always else set(names)
        ever[value] |= names
    return any(always[one] - ever[other] for one in always for other in ever)
