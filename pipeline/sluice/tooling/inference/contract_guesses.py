"""Records of one event type -> its contract, with what each guess rests on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from sluice.contracts import Contract, Identity, Path, Property
from sluice.contracts.names import fold_name
from sluice.contracts.reserved import RESERVED_TABLES
from sluice.errors import ConfigError, alternatives
from sluice.tooling.inference.guesses import describe, guess_properties
from sluice.tooling.inference.observations import Observed
from sluice.tooling.inference.records import SampleRecord

_TIME_NAMES = (
    "event_time", "eventtime", "event_timestamp", "occurred_at", "occurredat", "timestamp", "@timestamp", "time",
    "ts", "datetime", "date_time", "created_at", "createdat", "created",
)  # fmt: skip
"""Names that the time of an event usually has, in lower case, the best first."""

_ID_NAMES = ("event_id", "eventid", "id", "uuid", "guid", "message_id", "messageid", "transaction_id")
"""Names that the identity of an event usually has, in lower case, the best first."""

_ID_TYPES = ("uuid", "string", "integer")
_LEAST_RECORDS = 20
"""Fewer records say nothing about whether the values of a property are unique."""


@dataclass(frozen=True, slots=True)
class Inferred:
    """A contract, and what it rests on."""

    contract: Contract
    records: int
    comments: Mapping[Path, str]
    """Path of a property -> what its type and presence rest on."""
    left_out: Mapping[Path, str]
    """Path of what the contract leaves out -> why."""
    event_times: tuple[str, ...]
    """Properties that can be the event time, the best first."""
    identities: tuple[str, ...]
    """Properties with another value in each different record, the best first; none if that cannot be told."""


def infer_contract(
    event_type: str,
    records: Sequence[SampleRecord],
    latest: datetime,
    *,
    domain: str,
    columns: Mapping[str, Property] = MappingProxyType({}),
    routed_by: str | None = None,
    bounds: bool = False,
) -> Inferred:
    """Return the contract of records, which accepts them all, and the candidates for its event time and identity.

    Args:
        event_type: what the records are.
        records: some of them.
        latest: no event can be later than this, so that no expiry becomes the event time.
        domain: of the contract.
        columns: name -> what a column of CSV is, for properties that are one.
        routed_by: property that is the event type in all records.
        bounds: whether numbers are bounded by those that were seen.

    Raises:
        ConfigError: the records have no property that a contract can have.

    """
    observed = _observe(records)
    found, comments, left_out = guess_properties(observed, bounds=bounds)
    if not found:
        raise _no_properties(event_type, left_out)
    as_columns = (_as_column(prop, columns.get(prop.name)) for prop in found)
    properties = tuple(_routing(prop, event_type) if prop.name == routed_by else prop for prop in as_columns)
    return Inferred(
        _contract(event_type, domain, properties),
        len(records),
        comments,
        left_out,
        _event_times(properties, observed, latest),
        _identities(properties, records, event_type),
    )


def _observe(records: Sequence[SampleRecord]) -> Observed:
    observed = Observed()
    for record in records:
        observed.add(record.values)
    return observed


def _no_properties(event_type: str, left_out: Mapping[Path, str]) -> ConfigError:
    reasons = "; ".join(f"{path[0]}: {reason}" for path, reason in left_out.items())
    return ConfigError(
        f"{event_type}: expected records with a property that a contract can have, got {reasons or 'none'}"
    )


def _contract(event_type: str, domain: str, properties: tuple[Property, ...]) -> Contract:
    return Contract(
        event_type=event_type,
        table=_table(event_type),
        id=event_type if event_type == domain else f"{domain}-{event_type}",
        version="1.0.0",
        domain=domain,
        description=f"{describe(event_type)[:-1]} records.",
        properties=properties,
        event_time=None,
    )


def with_event_time(inferred: Inferred, name: str | None) -> Inferred:
    """Return it with another event time; None: events are placed by their arrival.

    Raises:
        ConfigError: the property is no required timestamp.

    """
    times = [prop.name for prop in inferred.contract.properties if prop.type == "timestamp" and prop.required]
    _check_choice("--event-time", name, times, "a timestamp that is in every record")
    return replace(inferred, contract=replace(inferred.contract, event_time=name))


def with_identity(inferred: Inferred, name: str | None) -> Inferred:
    """Return it with another identity; None: two records are the same event if all of their bytes are the same.

    Raises:
        ConfigError: the values of the property are not unique.

    """
    _check_choice("--identity", name, inferred.identities, "a property with another value in each record")
    properties = tuple(replace(prop, unique=prop.name == name) for prop in inferred.contract.properties)
    identity: Identity = "content" if name is None else "properties"
    return replace(inferred, contract=replace(inferred.contract, properties=properties, identity=identity))


def sure_identity(inferred: Inferred) -> str | None:
    """Return the best identity if its name or its type says that it is one; None if a person must say it."""
    best = next(iter(inferred.identities), None)
    if best is None:
        return None
    is_uuid = any(prop.name == best and prop.type == "uuid" for prop in inferred.contract.properties)
    return best if is_uuid or best.lower() in _id_names(inferred.contract.event_type) else None


def _check_choice(flag: str, name: str | None, allowed: Sequence[str], expected: str) -> None:
    if name is not None and name not in allowed:
        known = alternatives(name, allowed) if allowed else "no property is one"
        message = f"{flag}: expected {expected}, got {name!r}; {known}"
        raise ConfigError(message)


def _as_column(prop: Property, column: Property | None) -> Property:
    if column is None:
        return prop
    return replace(prop, aliases=column.aliases, day_first=column.day_first and column.type == prop.type)


def _routing(prop: Property, event_type: str) -> Property:
    return replace(prop, type="string", enum=(event_type,), minimum=None, maximum=None)


def _table(event_type: str) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "_", event_type).strip("_")
    name = name if name[:1].isalpha() else f"events_{name}"
    return f"{name}_events" if fold_name(name) in RESERVED_TABLES else name


def _event_times(properties: Sequence[Property], observed: Observed, latest: datetime) -> tuple[str, ...]:
    names = []
    for prop in properties:
        if prop.type == "timestamp" and prop.required:
            last = observed.members[prop.name].texts.latest()
            if last is not None and last <= latest:
                names.append(prop.name)
    return tuple(sorted(names, key=lambda name: _rank(name, _TIME_NAMES)))


def _identities(
    properties: Sequence[Property], records: Sequence[SampleRecord], event_type: str
) -> tuple[str, ...]:
    different = list({record.line: record.values for record in records}.values())
    if len(different) < 2:  # noqa: PLR2004  one record tells nothing
        return ()
    usual = _id_names(event_type)
    names = []
    for prop in properties:
        if prop.type not in _ID_TYPES or not prop.required or prop.enum:
            continue
        is_usual = prop.type == "uuid" or prop.name.lower() in usual
        is_id = is_usual or re.search(r"(?:^|_|[a-z])(?:id|ID|Id|no|key|nr)$", prop.name) is not None
        if is_id and (is_usual or len(different) >= _LEAST_RECORDS):
            if len({record[prop.name] for record in different}) == len(different):
                names.append(prop.name)
    return tuple(sorted(names, key=lambda name: _rank(name, usual)))


def _id_names(event_type: str) -> tuple[str, ...]:
    stem = re.sub(r"\W+", "_", event_type).lower()
    singular = stem.removesuffix("s")
    return (*_ID_NAMES, *(f"{name}{end}" for name in (stem, singular) for end in ("_id", "id")))


def _rank(name: str, names: Sequence[str]) -> int:
    return names.index(name.lower()) if name.lower() in names else len(names)
