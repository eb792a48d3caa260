"""Contracts -> an entity-relationship diagram in Mermaid, which most Git hosts draw, and the page that shows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sluice.arrow.schema import table_columns
from sluice.codegen.marked_blocks import END, MARK, replace_block
from sluice.contracts import EVENT_ID_COLUMN, Contract, Property, innermost_items, walk

BEGIN = f"<!-- {MARK} from schemas/: entity-relationship diagram; do not edit up to the end mark -->"

_SECTION = re.compile(r"^### ([^\n]+)\n\n```mermaid\n.*?^```\n", re.DOTALL | re.MULTILINE)

_KEYWORDS = frozenset({"pk", "fk", "uk"})
"""Words that Mermaid reads as keys anywhere in an entity."""


def diagram_page(path: Path, domains: Mapping[str, Iterable[Contract]], *, every_domain: bool) -> str:
    """Return the text of the page at `path` with a section for each of `domains` in its block, added if absent.

    Unless these are `every_domain` that the page should have, the sections of others stay.

    Raises:
        ConfigError: the end mark of the block is missing.

    """
    text = path.read_text("utf-8") if path.exists() else "# Data model\n"
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}{END}\n"
    block = "" if every_domain else text.partition(BEGIN)[2].partition(END)[0]
    old = {section[1]: section[0] for section in _SECTION.finditer(block)}
    new = {name: f"### {name}\n\n```mermaid\n{mermaid(domains[name])}```\n" for name in domains}
    sections = old | new
    if old and len(sections) > len(old):
        sections = dict(sorted(sections.items()))
    return replace_block(text, BEGIN, "\n\n" + "\n".join(sections.values()) + "\n", path)


def mermaid(contracts: Iterable[Contract]) -> str:
    """Return an `erDiagram` of the tables of `contracts`, ended by a line feed.

    An entity is a table, with its columns, or an object in one, named by its path. `PK` marks the
    deduplication key of a row, `UK` a unique property, `FK` a property that references another table. A table that is
    referenced but has no contract here is an entity with just its referenced columns.
    """
    ordered = sorted(contracts, key=lambda contract: contract.table)
    tables = {contract.table for contract in ordered}
    entities: dict[str, list[str]] = {}
    relations: list[str] = []
    for contract in ordered:
        columns = table_columns(contract)
        _add_entity(contract.table, columns, entities, relations)
    outside: dict[str, dict[str, str]] = {}
    for contract in ordered:
        for _, prop in walk(contract.columns):
            table, _, column = (prop.references or "").partition(".")
            if table and table not in tables:
                outside.setdefault(table, {})
                if column:
                    outside[table][column] = f"{_word(prop.type)} {_word(column)} PK"
    for table, columns_of in outside.items():
        entities[table] = [columns_of[column] for column in sorted(columns_of)]
    lines = ["erDiagram", *(f"    {relation}" for relation in relations)]
    for entity, attributes in entities.items():
        lines += [f"    {_name(entity)} {{", *(f"        {attribute}" for attribute in attributes), "    }"]
    return "\n".join(lines) + "\n"


def _add_entity(
    entity: str, columns: Sequence[Property], entities: dict[str, list[str]], relations: list[str]
) -> None:
    attributes = entities[entity] = []
    for column in columns:
        attributes.append(_attribute(column))
        _, inner = innermost_items(column)
        if reference := column.references or inner.references:
            one = "}o" if column.items else "||" if column.required else "|o"
            relations.append(f"{_name(reference.partition('.')[0])} {one}--o{{ {_relation(entity, column)}")
        if inner.type == "object":
            path = f"{entity}.{column.name}"
            several = "|{" if column.required and (column.min_length or 0) > 0 else "o{"
            single = "||" if column.required else "o|"
            relations.append(
                f"{_name(entity)} ||--{several if column.items else single} {_relation(path, column)}"
            )
            _add_entity(path, inner.properties, entities, relations)


def _relation(entity: str, column: Property) -> str:
    return f"{_name(entity)} : {_name(column.name)}"


def _attribute(column: Property) -> str:
    _, inner = innermost_items(column)
    brackets = "[]" if column.items else ""
    keys = [
        key
        for key, applies in (
            ("PK", column.name == EVENT_ID_COLUMN),
            ("FK", bool(column.references or inner.references)),
            ("UK", column.unique),
        )
        if applies
    ]
    parts = [f"{inner.type}{brackets}", _word(column.name), ", ".join(keys), _comment(column)]
    return " ".join(part for part in parts if part)


def _comment(column: Property) -> str:
    values = [str(value) for value in column.enum]
    notes = [
        column.description,
        f"one of {' | '.join(values)}" if len(values) > 1 else "".join(f"always {value}" for value in values),
        "" if column.required else "optional",
        column.classification or "",
    ]
    text = "; ".join(note.rstrip(".") for note in notes if note)
    return f'"{_unquoted(text)}"' if text else ""


def _name(text: str) -> str:
    """Quote a name: many words, such as those that begin with `to`, mean something to Mermaid."""
    word = _unquoted(text).translate({ord("%"): "_", ord("\\"): "_"})
    return f'"{word}"'


def _word(text: str) -> str:
    """Return `text` as the name of an attribute, which cannot be quoted."""
    word = "".join(
        character if character.isascii() and (character.isalnum() or character in "_-") else "_"
        for character in text
    )
    return f"_{word}" if not word or word[0] in "0123456789-" or word.lower() in _KEYWORDS else word


def _unquoted(text: str) -> str:
    return " ".join(text.replace('"', "'").split())
