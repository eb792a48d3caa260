"""What a view of the embedded warehouse looks like, read from DuckDB's catalog: no file behind it is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb

from pipeline.contracts import Property
from pipeline.warehouses.shapes import Column, Shape, members

_COLUMNS = """SELECT column_name, data_type FROM duckdb_columns()
WHERE table_name = ? AND schema_name = 'main' AND database_name = current_database() ORDER BY column_index"""


def wanted_shape(columns: Sequence[Property], sql_type: Callable[[Property], str]) -> Shape:
    """Return the view of a contract with these columns; a view requires nothing."""

    def type_of(prop: Property) -> str:
        if prop.items is not None:
            return f"{type_of(prop.items)}[]"
        return "STRUCT" if prop.kind == "object" else sql_type(prop)

    return Shape([Column(each.path, each.type) for each in members(columns, type_of)])


def found_columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Return the columns of a view, name -> type as SQL; none if there is no such view."""
    return dict(connection.execute(_COLUMNS, [table]).fetchall())


def found_shape(connection: duckdb.DuckDBPyConnection, table: str) -> Shape | None:
    """Return the view as it is; None if there is none."""
    columns: list[Column] = []
    for name, text in found_columns(connection, table).items():
        # DuckDB itself reads the type that it has written.
        (kind,) = connection.sql(f"SELECT CAST(NULL AS {text})").types
        columns += _columns(name, kind)
    return Shape(columns) if columns else None


def _columns(path: str, kind: Any) -> Iterator[Column]:
    yield Column(path, _named(kind))
    while kind.id == "list":
        kind, path = kind.children[0][1], f"{path}[]"
    if kind.id == "struct":
        for name, inner in kind.children:
            yield from _columns(f"{path}.{name}", inner)


def _named(kind: Any) -> str:
    if kind.id == "list":
        return f"{_named(kind.children[0][1])}[]"
    return "STRUCT" if kind.id == "struct" else str(kind)
