"""ODCS YAML -> contracts: reads a file or a folder, and checks what the schema of an event type says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from sluice.contracts.model import REPAIR_RULES, Contract, Identity, LogPartition, OnConflict, Property
from sluice.contracts.names import (
    check_domain,
    check_event_type,
    check_table,
    fold_event_type,
    fold_name,
    is_reserved_column,
)
from sluice.contracts.odcs import (
    KeyPath,
    choice,
    custom_properties,
    names,
    parse_odcs,
    show,
)
from sluice.contracts.odcs_document import DataContract, SchemaObject
from sluice.contracts.patterns import compile_repair_pattern
from sluice.contracts.property_reading import read_properties
from sluice.contracts.reserved import COUNTS_VIEW, ONCE_SUFFIX, SOURCE_PROPERTY
from sluice.contracts.value_types import CLUSTERABLE_TYPES
from sluice.elements import DEAD_LETTER
from sluice.errors import ContractError

_CUSTOM = (
    "eventTime",
    "identity",
    "countBy",
    "clusterBy",
    "logPartition",
    "eventTimeDefault",
    "repair",
    "onConflict",
)
_MAX_CLUSTER = 4  # BigQuery clusters by at most four columns


def load_contracts(path: str, notes: list[str] | None = None) -> dict[str, Contract]:
    """Read one `.odcs.yaml` file, or every one of a folder (not of folders in it).

    Returns:
        Event type -> contract, in the order of file names. What of the files has no effect, or another one than a
        reader may think, is added to `notes`.

    Raises:
        ContractError: naming file, key path and fix, for the first mistake found.

    """
    place = Path(path)
    files = sorted(place.glob("*.odcs.yaml")) if place.is_dir() else [place]
    if not files:
        message = f"{path}: expected a folder of contracts named *.odcs.yaml, got none"
        raise ContractError(message)
    contracts: dict[str, Contract] = {}
    owners: dict[tuple[str, str], KeyPath] = {}
    for file in map(str, files):
        for index, contract in enumerate(_read(KeyPath(file, notes=[] if notes is None else notes))):
            schema = KeyPath(file).key("schema").item(index)
            for key, name, folded in (
                ("name", contract.event_type, fold_event_type(contract.event_type)),
                ("physicalName", contract.table, fold_name(contract.table)),
            ):
                owner = owners.setdefault((key, folded), schema)
                if owner != schema:
                    schema.key(key).fail(f"{name!r} is already used by {owner}; rename one")
            contracts[contract.event_type] = contract
    _check_views(owners)
    return contracts


def _check_views(owners: Mapping[tuple[str, str], KeyPath]) -> None:
    """Refuse a table that is named as the view that BigQuery has beside another table."""
    for (key, table), schema in owners.items():
        owner = owners.get((key, table.removesuffix(ONCE_SUFFIX)), schema)
        if key == "physicalName" and owner != schema:
            view = f"BigQuery's view of each event once, beside the table of {owner}"
            schema.key(key).fail(f"{table!r} is also the name of {view}; rename one")


def load_contract(path: str, *, internal: bool = False) -> Contract:
    """Read a file that holds exactly one contract; raises ContractError as `load_contracts` does.

    An `internal` contract is one of the product's own, and may have a name that is reserved for it.
    """
    contracts = _read(KeyPath(path), internal=internal)
    if len(contracts) != 1:
        KeyPath(path).key("schema").fail(f"expected one object, got {len(contracts)}")
    return contracts[0]


def _read(root: KeyPath, *, internal: bool = False) -> list[Contract]:
    document = parse_odcs(root)
    if document.kind != "DataContract":
        root.key("kind").fail(f"expected DataContract, got {show(document.kind)}")
    for key in ("id", "version"):
        if not getattr(document, key):
            root.key(key).fail("expected a text, got nothing")
    if document.domain is None:
        document.domain = _folder(root)
        root.key("domain").note(
            f"is {document.domain}, as the folder of the file, since the contract names none"
        )
    check_domain(root.key("domain"), document.domain)
    if not document.schema_:
        root.key("schema").note("is empty, so no record has this contract")
    custom = custom_properties(root, document.customProperties, ("consumers",))
    consumers = names(root.key("customProperties").key("consumers"), custom.get("consumers"))
    contracts = []
    for index, schema in enumerate(document.schema_ or ()):
        place = root.key("schema").item(index)
        if schema.properties is None:
            place.note("has no properties, so its records are not known")
        else:
            contracts.append(_contract(place, document, schema, consumers, internal=internal))
    return contracts


def _folder(root: KeyPath) -> str:
    """Return the name of the folder of a file, with `_` for what a domain cannot have."""
    return _NO_DOMAIN.sub("_", Path(root.file).resolve().parent.name).strip("_.") or _DOMAIN


_NO_DOMAIN = re.compile(r"[^A-Za-z0-9._-]")
_DOMAIN = "default"

_TABLES = ("table", "view")
"""Physical types of an object whose physical name is that of a table; that of a topic, say, is not."""


def _table(place: KeyPath, schema: SchemaObject) -> str | None:
    """Return the name of an object's table."""
    if schema.physicalName is None:
        return schema.name
    if schema.physicalType is not None and schema.physicalType.lower() not in _TABLES:
        place.key("physicalName").note(
            f"is that of a {schema.physicalType}, so its table is called {schema.name}, as the event type"
        )
        return schema.name
    return schema.physicalName


def _contract(
    place: KeyPath,
    document: DataContract,
    schema: SchemaObject,
    consumers: tuple[str, ...],
    *,
    internal: bool,
) -> Contract:
    check_event_type(place.key("name"), schema.name, internal=internal)
    table = _table(place, schema)
    check_table(place.key("physicalName"), table, internal=internal)
    custom = custom_properties(place, schema.customProperties, _CUSTOM)
    if not schema.properties:
        place.key("properties").fail("expected a list of properties, got nothing")
    properties = read_properties(place.key("properties"), schema.properties)
    columns = _column_names(place.key("properties"), properties)
    _check_aliases(place.key("properties"), properties)
    purpose = document.description.purpose if document.description is not None else None
    return Contract(
        event_type=str(schema.name),
        table=str(table),
        id=str(document.id),
        version=str(document.version),
        domain=str(document.domain),
        description=(schema.description or purpose or "").strip(),
        properties=properties,
        consumers=consumers,
        path=place.file,
        **_settings(place.key("customProperties"), custom, properties, columns),
    )


def _settings(
    place: KeyPath, custom: dict[str, Any], properties: tuple[Property, ...], columns: tuple[str, ...]
) -> dict[str, Any]:
    """Return the fields of Contract that custom properties of the schema set."""
    event_time = _event_time(place.key("eventTime"), custom.get("eventTime"), properties)
    default = choice(place.key("eventTimeDefault"), custom.get("eventTimeDefault"), ("arrival",))
    if default is not None and event_time is None:
        place.key("eventTime").fail("expected the timestamp that `eventTimeDefault` fills, got nothing")
    partition = custom.get("logPartition", "minute")
    identity = _identity(place.key("identity"), custom.get("identity", "content"), properties)
    return {
        "event_time": event_time,
        "identity": identity,
        "on_conflict": _on_conflict(place.key("onConflict"), custom.get("onConflict"), identity),
        "count_by": _count_by(place.key("countBy"), custom.get("countBy"), properties),
        "cluster_by": _cluster_by(place.key("clusterBy"), custom.get("clusterBy"), properties),
        "log_partition": choice(place.key("logPartition"), partition, get_args(LogPartition)),
        "event_time_from_arrival": default is not None,
        "repair": _repair_rules(place.key("repair"), custom.get("repair"), columns),
    }


def _column_names(place: KeyPath, properties: tuple[Property, ...]) -> tuple[str, ...]:
    """Return the names of the table's columns; rejects reserved names, and two that differ only in case."""
    for index, prop in enumerate(properties):
        if is_reserved_column(prop.name) and prop.name != SOURCE_PROPERTY:
            message = f"{prop.name!r} begins with an underscore, which is reserved for Sluice; rename it"
            place.item(index).key("name").fail(message)
    columns: list[str] = []
    owners: dict[str, KeyPath] = {}
    for index, prop in enumerate(properties):
        here = place.item(index)
        for column in prop.properties if prop.flatten else (prop,):
            owner = owners.setdefault(fold_name(column.name), here)
            reserved = is_reserved_column(column.name) and prop.name != SOURCE_PROPERTY
            if owner != here or reserved:
                reason = f"reserved for Sluice, or used by {owner.keys}"
                here.fail(f"{column.name!r} cannot be a column: {reason}; rename it")
            columns.append(column.name)
    return tuple(columns)


def _check_aliases(place: KeyPath, properties: tuple[Property, ...]) -> None:
    """Refuse an alias that another property has as its name or alias: a CSV column of this name would be either's."""
    owners: dict[str, str] = {}
    named: list[tuple[str, KeyPath, Property]] = []
    for index, prop in enumerate(properties):
        named.append((prop.name, place.item(index), prop))
        members = place.item(index).key("properties")
        for number, member in enumerate(prop.properties):
            path = member.name if prop.flatten else f"{prop.name}.{member.name}"
            named.append((path, members.item(number), member))
    for path, here, _ in named:
        owners[fold_name(path)] = here.keys
    for _, here, prop in named:
        for alias in prop.aliases:
            owner = owners.setdefault(fold_name(alias), here.keys)
            if owner != here.keys:
                aliases = here.key("customProperties").key("aliases")
                aliases.fail(f"{alias!r} is already a name of {owner}; remove one")


def _event_time(place: KeyPath, name: Any, properties: tuple[Property, ...]) -> str | None:
    timestamps = [prop.name for prop in properties if prop.type == "timestamp" and prop.required]
    return _name_of(place, name, timestamps, "a required timestamp")


def _count_by(place: KeyPath, name: Any, properties: tuple[Property, ...]) -> str | None:
    enums = [prop.name for prop in properties if prop.type == "string" and prop.enum and prop.required]
    counted_by = _name_of(place, name, enums, "a required string with an enum")
    for prop in properties:
        if prop.name == counted_by and DEAD_LETTER in prop.enum:
            place.fail(
                f"{name!r} has the value {DEAD_LETTER!r}, which {COUNTS_VIEW} leaves out; rename the value"
            )
    return counted_by


def _name_of(place: KeyPath, name: Any, allowed: Sequence[str], expected: str) -> str | None:
    """Return the name of a property, which must be one of `allowed`; None stays None."""
    if name is not None and name not in allowed:
        known = ", ".join(allowed) or "no property is one"
        place.fail(f"expected {expected} ({known}), got {show(name)}")
    return None if name is None else str(name)


def _identity(place: KeyPath, value: Any, properties: tuple[Property, ...]) -> Identity:
    allowed: tuple[Identity, ...] = get_args(Identity)
    if value not in allowed:
        place.fail(f"expected one of {', '.join(allowed)}, got {show(value)}")
    identity = allowed[allowed.index(value)]
    unique = [prop for prop in properties if prop.unique]
    if identity == "properties" and not unique:
        place.fail("expected a property with `unique: true` for identity properties, got none")
    optional = ", ".join(prop.name for prop in unique if not prop.required)
    if identity == "properties" and optional:
        place.fail(f"expected unique properties to be required, got optional {optional}")
    return identity


def _on_conflict(place: KeyPath, value: Any, identity: Identity) -> OnConflict:
    if value is not None and identity != "properties":
        place.fail(
            f"expected identity properties, whose events can conflict, got {identity}; remove this key"
        )
    chosen: OnConflict = choice(place, "keep_first" if value is None else value, get_args(OnConflict))
    return chosen


def _cluster_by(place: KeyPath, value: Any, properties: tuple[Property, ...]) -> tuple[str, ...]:
    columns = names(place, value)
    allowed = [prop.name for prop in properties if prop.type in CLUSTERABLE_TYPES]
    for name in columns:
        if name not in allowed:
            place.fail(f"expected some of {', '.join(allowed)}, got {name!r}")
    if len(columns) > _MAX_CLUSTER or len(set(columns)) < len(columns):
        place.fail(f"expected at most {_MAX_CLUSTER} different names, got {show(value)}")
    return columns


def _repair_rules(place: KeyPath, value: Any, columns: Iterable[str]) -> tuple[tuple[str, str | None], ...]:
    """Return rule names with their pattern: None for those of REPAIR_RULES, the contract's own have one."""
    rules: dict[str, str | None] = {}
    if value is not None and not isinstance(value, list):
        place.fail(f"expected a list of rules, got {show(value)}")
    for index, rule in enumerate(value or ()):
        here = place.item(index)
        own = isinstance(rule, dict) and set(rule) == {"name", "pattern"}
        name, pattern = (rule["name"], rule["pattern"]) if own else (rule, None)
        if not isinstance(name, str) or own == (name in REPAIR_RULES):
            allowed = f"one of {', '.join(REPAIR_RULES)}, or name and pattern of a rule with another name"
            here.fail(f"expected {allowed}, got {show(rule)}")
        if name in rules:
            here.fail(f"{name!r} is listed twice; remove one")
        if own:
            _check_groups(here.key("pattern"), pattern, tuple(columns))
        rules[name] = pattern
    return tuple(rules.items())


def _check_groups(place: KeyPath, pattern: Any, columns: tuple[str, ...]) -> None:
    """Refuse a pattern of a repair rule that has no groups, or groups that are not named as columns."""
    try:
        groups = compile_repair_pattern(str(pattern)).groupindex.keys()
    except ValueError as error:
        syntax = "RE2 has no look-around and no back-references; write what stands there, as in (?:\\W|$)"
        place.fail(f"expected a regular expression of RE2, got {show(pattern)}: {error}; {syntax}")
    if not groups or not groups <= {*columns}:
        expected = f"expected groups, named as some of {', '.join(columns)}"
        place.fail(f"{expected}; got {', '.join(sorted(groups)) or 'none'}")
