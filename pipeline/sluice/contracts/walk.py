"""Walks over the properties of a contract, at any depth.

A walk collects facts about properties, or their paths. Code that builds a nested result (a JSON Schema, an Avro record,
a column type, a compiled check) or that compares two contracts recurses on its own: each needs other context on its
way down, such as the names already taken, and one shared fold would have more parameters than it saves lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from sluice.contracts.model import Property

Path = tuple[str, ...]
"""Where a property is: the names from the event down to it, with `ITEM` for the items of an array."""

ITEM = "[]"
"""The part of a path that stands for every item of an array; no property can have this name."""

ValuePath = tuple[str | int, ...]
"""Where a value of a record is: names of members from the record down to it, and indices of items, or `ITEM`."""

_PLAIN = re.compile(r"(?![0-9]+\Z)[^.\[\]\s\"\\]+")
"""A name that is written without quotes: no other path, and no index of an item, is written in the same way."""

_PART = re.compile(r"""(\[\])|(?:\A|\.)(?:([0-9]+)(?=[.\[]|\Z)|("(?:[^"\\]|\\.)*")|([^.\[\]\s"\\]+))""")
"""A part of a written path: the items of an array, an index, a name in quotes, or a plain name."""


def walk(properties: Iterable[Property], parent: Path = ()) -> Iterator[tuple[Path, Property]]:
    """Yield every property with its path, each before the ones inside it, in the order of the contract.

    The members of an object follow it, and so do the items of an array: `("lines",)`, `("lines", "[]")`,
    `("lines", "[]", "sku")`. A flattened object is walked as any other, since records are nested; the columns of
    its table are `Contract.columns`.
    """
    for prop in properties:
        yield from _walk_value((*parent, prop.name), prop)


def _walk_value(path: Path, prop: Property) -> Iterator[tuple[Path, Property]]:
    yield path, prop
    yield from walk(prop.properties, path)
    if prop.items is not None:
        yield from _walk_value((*path, ITEM), prop.items)


def path_text(path: ValuePath) -> str:
    """Return a path as text, such as `lines[].sku`, `lines.0.sku`, or `lines[]."unit.price"` for a name with a dot.

    Every path has a text of its own, from which `parse_path` reads it back. A name stands in quotes, as in JSON, if it
    is empty, a number, or has a dot, a bracket, a quote, a backslash or white space. The exception is a member that is
    called `[]`, which is taken for the items of an array; no property can be called so.
    """
    return "".join(part if part == ITEM else f".{_quoted(part)}" for part in path).removeprefix(".")


def _quoted(part: str | int) -> str:
    if isinstance(part, int) or _PLAIN.fullmatch(part):
        return str(part)
    return json.dumps(part, ensure_ascii=False)


def parse_path(text: str) -> ValuePath:
    """Return the path that `path_text` wrote as `text`; a text that it did not write is the name of one member."""
    parts: list[str | int] = []
    end = 0
    while end < len(text):
        match = _PART.match(text, end)
        if match is None:
            return (text,)
        items, index, quoted, name = match.groups()
        try:
            parts.append(int(index) if index else json.loads(quoted) if quoted else items or name)
        except ValueError:  # no JSON string, or more digits than Python converts
            return (text,)
        end = match.end()
    return tuple(parts)


def innermost_items(prop: Property) -> tuple[Path, Property]:
    """Return the items of an array, or of an array of arrays, with their path below `prop`; else () and `prop`."""
    path: Path = ()
    while prop.items is not None:
        path, prop = (*path, ITEM), prop.items
    return path, prop
