"""Walks over the properties of a contract, at any depth.

A walk collects facts about properties, or their paths. Code that builds a nested result (a JSON Schema, an Avro record,
a column type, a compiled check) or that compares two contracts recurses on its own: each needs other context on its
way down, such as the names already taken, and one shared fold would have more parameters than it saves lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sluice.contracts.model import Property

Path = tuple[str, ...]
"""Where a property is: the names from the event down to it, with `ITEM` for the items of an array."""

ITEM = "[]"
"""The part of a path that stands for every item of an array; no property can have this name."""

_NEEDS_QUOTES = re.compile(r"[.\[\]\s]")
"""What a name may hold that would make its path ambiguous in a message. Names of properties hold no double quotes."""


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


def path_text(path: Path) -> str:
    """Return a path as messages show it, such as `lines[].sku`, or `lines[]."unit.price"` for a name with a dot."""
    return "".join(part if part == ITEM else f".{_quoted(part)}" for part in path).removeprefix(".")


def _quoted(name: str) -> str:
    return f'"{name}"' if _NEEDS_QUOTES.search(name) else name


def innermost_items(prop: Property) -> tuple[Path, Property]:
    """Return the items of an array, or of an array of arrays, with their path below `prop`; else () and `prop`."""
    path: Path = ()
    while prop.items is not None:
        path, prop = (*path, ITEM), prop.items
    return path, prop
