"""Inferred contract -> the text of its ODCS file, with a comment above each guess."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import yaml

from sluice.contracts import ITEM, Path, Property, ValueType, by_type, path_text
from sluice.contracts.odcs import API_VERSION
from sluice.contracts.type_options import DAY_FIRST
from sluice.contracts.value_types import DECIMAL_PRECISION, DECIMAL_SCALE
from sluice.storage.base import printable
from sluice.tooling.inference.contract_guesses import Inferred

_LOGICAL_TYPES: Mapping[ValueType, str] = by_type(
    {
        "string": "string",
        "uuid": "string",
        "integer": "integer",
        "float": "number",
        "decimal": "number",
        "boolean": "boolean",
        "timestamp": "timestamp",
        "date": "date",
        "object": "object",
        "array": "array",
        "json": "object",
    }
)


def contract_yaml(inferred: Inferred, source: str) -> str:
    """Return the contract as YAML; `source` says where its records were read."""
    contract = inferred.contract
    lines = [
        f"# Inferred from {inferred.records:,} records of {source}.",
        "# The comment above each property says what it rests on: check them, they are guesses.",
        f"apiVersion: {API_VERSION}",
        "kind: DataContract",
        f"id: {yaml_scalar(contract.id)}",
        f"version: {yaml_scalar(contract.version)}",
        "status: draft",
        f"domain: {yaml_scalar(contract.domain)}",
        "schema:",
        f"  - name: {yaml_scalar(contract.event_type)}",
        f"    physicalName: {yaml_scalar(contract.table)}",
        "    logicalType: object",
        f"    description: {yaml_scalar(contract.description)}",
        *_settings(inferred),
        "    properties:",
        *_properties(contract.properties, inferred.comments, (), "      "),
        *_left_out(inferred.left_out),
    ]
    return "\n".join(map(_one_line, lines)) + "\n"


def _one_line(line: str) -> str:
    return printable(line) if line.lstrip().startswith("#") else line


def _settings(inferred: Inferred) -> Iterator[str]:
    """Yield what the contract says of event time and identity, with the other candidates."""
    contract = inferred.contract
    unique = next((prop.name for prop in contract.properties if prop.unique), None)
    times, identities = inferred.event_times, inferred.identities
    entries = []
    if contract.event_time is not None:
        entries.append(f"{{property: eventTime, value: {yaml_scalar(contract.event_time)}}}")
    if unique is not None:
        entries.append(f"{{property: identity, value: {contract.identity}}}")
    yield f"    # Event time: {_choice(contract.event_time, times, 'none; events are placed by their arrival')}"
    otherwise = "none; records with the same bytes are the same event"
    yield f"    # Identity: {_choice(unique, identities, otherwise)}"
    if entries:
        yield "    customProperties:"
        yield from (f"      - {entry}" for entry in entries)


def _choice(chosen: str | None, candidates: tuple[str, ...], otherwise: str) -> str:
    others = [name for name in candidates if name != chosen]
    return f"{chosen or otherwise}{'; other candidates: ' if others else ''}{', '.join(others)}"


def _properties(
    properties: tuple[Property, ...], comments: Mapping[Path, str], parent: Path, indent: str
) -> Iterator[str]:
    for prop in properties:
        path = (*parent, prop.name)
        yield f"{indent}# {comments[path]}"
        yield f"{indent}- name: {yaml_scalar(prop.name)}"
        yield from _members(prop, comments, path, f"{indent}  ")


def _members(prop: Property, comments: Mapping[Path, str], path: Path, indent: str) -> Iterator[str]:
    """Yield the keys of a property, or of the items of an array, behind its name."""
    yield f"{indent}logicalType: {_LOGICAL_TYPES[prop.type]}"
    if prop.type == "decimal":
        yield f"{indent}physicalType: DECIMAL({DECIMAL_PRECISION},{DECIMAL_SCALE})"
    is_item = path[-1] == ITEM
    if prop.required and not is_item:
        yield f"{indent}required: true"
    if prop.unique:
        yield f"{indent}unique: true"
    if prop.description:
        yield f"{indent}description: {yaml_scalar(prop.description)}"
    if options := _options(prop):
        yield f"{indent}logicalTypeOptions: {{{', '.join(f'{key}: {value}' for key, value in options.items())}}}"
    if prop.enum:
        yield f"{indent}enum: [{', '.join(f'{{value: {yaml_scalar(value)}}}' for value in prop.enum)}]"
    if prop.aliases:
        names = ", ".join(map(yaml_scalar, prop.aliases))
        yield f"{indent}customProperties: [{{property: aliases, value: [{names}]}}]"
    if prop.properties:
        yield f"{indent}properties:"
        yield from _properties(prop.properties, comments, path, f"{indent}  ")
    if prop.items is not None:
        yield f"{indent}# {comments[*path, ITEM]}"
        yield f"{indent}items:"
        yield from _members(prop.items, comments, (*path, ITEM), f"{indent}  ")


def _options(prop: Property) -> dict[str, str]:
    options: dict[str, str] = {}
    if prop.type == "uuid":
        options["format"] = "uuid"
    if prop.day_first:
        options["format"] = yaml_scalar(DAY_FIRST[prop.type][0])
    for key, bound in (("minimum", prop.minimum), ("maximum", prop.maximum)):
        if bound is not None:
            options[key] = yaml_scalar(bound)
    return options


def _left_out(left_out: Mapping[Path, str]) -> Iterator[str]:
    if left_out:
        yield "    # Left out of the contract, so these members are kept as they are, in _extra:"
        yield from (f"    #   {path_text(path)}: {reason}" for path, reason in left_out.items())


def yaml_scalar(value: str | float) -> str:
    """Return a value as YAML, a text in quotes unless it is read as the same text without them."""
    if not isinstance(value, str):
        return yaml.safe_dump(value).removesuffix("...\n").strip()
    is_plain = (
        value.isascii()
        and value.replace("_", "").replace("-", "").replace(".", "").replace(" ", "").isalnum()
    )
    try:
        if (
            is_plain
            and value[0].isalnum()
            and value == value.strip()
            and yaml.safe_load(f"[{value}]") == [value]
        ):
            return value
    except yaml.YAMLError:
        pass
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=1_000_000).strip()
