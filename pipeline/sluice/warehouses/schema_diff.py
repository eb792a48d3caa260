"""The schema of a table: as its contract has it, as the warehouse has it, and the differences between the two.

Nothing here talks to a warehouse. Each warehouse describes both in its own types, so that two descriptions of the
same table are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from sluice.contracts import ITEM, Contract, Path, Property, path_text, walk

Effect = Literal["addable", "tolerated", "incompatible"]
"""What a difference means for a run. `addable`: the table lacks an optional column; its values are loaded into
`_extra` until `sluice tables --apply` adds it. `tolerated`: a run loads into the table. `incompatible`: a run cannot
load into the table."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or a member of one, such as `("items", "[]", "price")`; `type` is the warehouse's own."""

    path: Path
    type: str
    required: bool = False

    def __str__(self) -> str:
        """`total NUMERIC`, or `id UUID NOT NULL`."""
        return f"{path_text(self.path)} {self.type}{' NOT NULL' if self.required else ''}"


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table: its columns and their members, and what else can be read of it, such as its partition."""

    columns: Sequence[Column]
    layout: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference of a table from its contract; `path` is () for the table itself."""

    table: str
    path: Path
    message: str
    effect: Effect

    def __str__(self) -> str:
        """`orders.total: expected total NUMERIC, got no such column`."""
        return f"{self.table}{'.' if self.path else ''}{path_text(self.path)}: {self.message}"


FoldName = Callable[[str], str]
"""Returns the same text for names that the warehouse cannot tell apart."""


def compare(
    table: str, expected: TableSchema, actual: TableSchema, fold_name: FoldName = str.lower
) -> list[Difference]:
    """Return how `actual` differs from `expected`: the contract's columns in order, then others, then the layout."""
    actual_columns = {_folded(column.path, fold_name): column for column in actual.columns}
    differences: list[Difference] = []
    missing: set[Path] = set()
    for column in expected.columns:
        other = actual_columns.pop(_folded(column.path, fold_name), None)
        if other is not None:
            differences += _compare_columns(table, column, other)
        elif not _is_inside(column.path, missing):
            missing.add(column.path)
            differences.append(_missing(table, column))
    unexpected: set[Path] = set()
    for column in actual_columns.values():
        if not _is_inside(column.path, unexpected):
            unexpected.add(column.path)
            differences.append(_unexpected(table, column))
    for name, value in expected.layout.items():
        got = actual.layout.get(name, "none")
        if got != value:
            differences.append(Difference(table, (), f"{name}: expected {value}, got {got}", "tolerated"))
    return differences


def _compare_columns(table: str, expected: Column, actual: Column) -> Iterator[Difference]:
    message = f"expected {expected}, got {actual}"
    if actual.type != expected.type or (actual.required and not expected.required):
        yield Difference(table, expected.path, message, "incompatible")
    elif actual.required != expected.required:
        yield Difference(table, expected.path, message, "tolerated")


def _missing(table: str, column: Column) -> Difference:
    effect: Effect = "incompatible" if column.required else "addable"
    return Difference(table, column.path, f"expected {column}, got no such column", effect)


def _unexpected(table: str, column: Column) -> Difference:
    effect: Effect = "incompatible" if column.required else "tolerated"
    return Difference(table, column.path, f"expected no such column, got {column}", effect)


def _folded(path: Path, fold_name: FoldName) -> Path:
    return tuple(part if part == ITEM else fold_name(part) for part in path)


def _is_inside(path: Path, parents: Collection[Path]) -> bool:
    return any(path[:depth] in parents for depth in range(1, len(path)))


def missing_columns(differences: Sequence[Difference]) -> list[Path]:
    """Return the paths that `sluice tables --apply` would add."""
    return [difference.path for difference in differences if difference.effect == "addable"]


def without_columns(contract: Contract, paths: Collection[Path]) -> Contract:
    """Return the contract without the columns, or members of columns, at `paths`; their values go to `_extra`."""
    if not paths:
        return contract
    clusters = tuple(name for name in contract.cluster_by if (name,) not in paths)
    return replace(contract, properties=_without(contract.properties, (), paths), cluster_by=clusters)


def _without(properties: Sequence[Property], parent: Path, paths: Collection[Path]) -> tuple[Property, ...]:
    remaining = []
    for prop in properties:
        path = (*parent, prop.name)
        if path in paths and not prop.flatten:
            continue
        narrowed = _without_members(prop, parent if prop.flatten else path, paths)
        if narrowed is not None:
            remaining.append(narrowed)
    return tuple(remaining)


def _without_members(prop: Property, path: Path, paths: Collection[Path]) -> Property | None:
    """Return a property, whose members are below `path`, without those in `paths`; None if no member is left."""
    if prop.items is not None:
        items = _without_members(prop.items, (*path, ITEM), paths)
        return None if items is None else replace(prop, items=items)
    if prop.type != "object":
        return prop
    inner = _without(prop.properties, path, paths)
    return replace(prop, properties=inner) if inner else None


def columns_and_members(columns: Sequence[Property], type_of: Callable[[Property], str]) -> list[Column]:
    """Return columns, each followed by its members, for a warehouse that has types for objects and arrays."""
    return [Column(path, type_of(prop), prop.required) for path, prop in walk(columns) if path[-1] != ITEM]
