"""What a table looks like: as its contract wants it, as a warehouse has it, and where the two differ.

Nothing here talks to a warehouse. Each describes its tables in its own types, so that two descriptions of the same
thing are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from sluice.contracts import Contract, Property

Effect = Literal["added", "tolerated", "refused"]
"""`added`: a run works, its values are in `_extra`, and `sluice tables --apply` adds it. `tolerated`: a run works.
`refused`: a run cannot load into such a table."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or a member of one; `path` is dotted, as in `items[].price`, `type` the warehouse's own."""

    path: str
    type: str
    required: bool = False

    def __str__(self) -> str:
        """`total NUMERIC`, or `id UUID NOT NULL`."""
        return f"{self.path} {self.type}{' NOT NULL' if self.required else ''}"


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table: its columns and their members, and what else can be read of it, such as its partition."""

    columns: Sequence[Column]
    layout: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a table is not as its contract wants it; `path` is '' for the table itself."""

    table: str
    path: str
    what: str
    effect: Effect

    def __str__(self) -> str:
        """`orders.total: expected total NUMERIC, got no such column`."""
        return f"{self.table}{'.' if self.path else ''}{self.path}: {self.what}"


Fold = Callable[[str], str]
"""Makes names equal that the warehouse cannot tell apart."""


def compare(table: str, wanted: TableSchema, found: TableSchema, fold: Fold = str.lower) -> list[Difference]:
    """Return how `found` differs from `wanted`: the contract's columns in order, then others, then the layout."""
    there = {fold(each.path): each for each in found.columns}
    differences: list[Difference] = []
    gone: list[str] = []
    for each in wanted.columns:
        column = there.pop(fold(each.path), None)
        if column is None:
            if not _within(each.path, gone):
                gone.append(each.path)
                differences.append(_missing(table, each))
        elif column.type != each.type or (column.required and not each.required):
            differences.append(Difference(table, each.path, f"expected {each}, got {column}", "refused"))
        elif column.required != each.required:
            differences.append(Difference(table, each.path, f"expected {each}, got {column}", "tolerated"))
    more: list[str] = []
    for each in there.values():
        if not _within(each.path, more):
            more.append(each.path)
            effect: Effect = "refused" if each.required else "tolerated"
            differences.append(Difference(table, each.path, f"expected no such column, got {each}", effect))
    for name, value in wanted.layout.items():
        got = found.layout.get(name, "none")
        if got != value:
            differences.append(Difference(table, "", f"{name}: expected {value}, got {got}", "tolerated"))
    return differences


def _missing(table: str, column: Column) -> Difference:
    effect: Effect = "refused" if column.required else "added"
    return Difference(table, column.path, f"expected {column}, got no such column", effect)


def _within(path: str, parents: Collection[str]) -> bool:
    return any(path.startswith((f"{parent}.", f"{parent}[]")) for parent in parents)


def missing_columns(differences: Sequence[Difference]) -> list[str]:
    """Return the paths that `sluice tables --apply` would add."""
    return [each.path for each in differences if each.effect == "added"]


def without_columns(contract: Contract, paths: Collection[str]) -> Contract:
    """Return the contract without the columns, or members of columns, at `paths`; their values go to `_extra`."""
    if not paths:
        return contract
    clusters = tuple(name for name in contract.cluster_by if name not in paths)
    return replace(contract, properties=_without(contract.properties, "", paths), cluster_by=clusters)


def _without(properties: Sequence[Property], prefix: str, paths: Collection[str]) -> tuple[Property, ...]:
    left = []
    for prop in properties:
        path = f"{prefix}{prop.name}"
        if path in paths and not prop.flatten:
            continue
        below = prefix if prop.flatten else f"{path}."
        kept = _narrow(prop, path, below, paths)
        if kept is not None:
            left.append(kept)
    return tuple(left)


def _narrow(prop: Property, path: str, below: str, paths: Collection[str]) -> Property | None:
    """Return a property without the members at `paths`; None if nothing is left of an object."""
    if prop.items is not None:
        items = _narrow(prop.items, f"{path}[]", f"{path}[].", paths)
        return None if items is None else replace(prop, items=items)
    if prop.type != "object":
        return prop
    inner = _without(prop.properties, below, paths)
    return replace(prop, properties=inner) if inner else None


def members(
    columns: Sequence[Property], type_of: Callable[[Property], str], prefix: str = ""
) -> Iterator[Column]:
    """Yield columns and, behind each, its members, for a warehouse that has types for objects and arrays."""
    for prop in columns:
        path = f"{prefix}{prop.name}"
        yield Column(path, type_of(prop), prop.required)
        inner = prop
        while inner.items is not None:
            inner, path = inner.items, f"{path}[]"
        yield from members(inner.properties, type_of, f"{path}.")
