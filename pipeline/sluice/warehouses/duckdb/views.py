"""The views of the embedded warehouse: as a contract wants them, and as DuckDB's catalog has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from sluice.arrow.schema import ADDED, arrow_schema
from sluice.contracts import Contract, Property, ValueType
from sluice.elements import DEAD_LETTER
from sluice.errors import ConfigError, ContractError
from sluice.warehouses.schema_diff import Column, Difference, TableSchema, compare, members

SEGMENTS = "_segments"
COUNTS = "event_counts"
EVENT_DATE = Property("event_date", "date", required=True, description="UTC day of the event, the partition.")

SCALARS: dict[ValueType, str] = {
    "string": "VARCHAR",
    "uuid": "UUID",
    "integer": "BIGINT",
    "float": "DOUBLE",
    "decimal": "DECIMAL(38,9)",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
    "json": "JSON",
}

_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_COLUMNS = """SELECT column_name, data_type FROM duckdb_columns()
WHERE table_name = ? AND schema_name = 'main' AND database_name = current_database() ORDER BY column_index"""


def differences(connection: duckdb.DuckDBPyConnection, contract: Contract) -> list[Difference] | None:
    """Return how the view of a contract differs from what it wants; None if there is no view."""
    found = found_shape(connection, contract.table)
    return (
        None if found is None else compare(contract.table, wanted_shape(_columns(contract), sql_type), found)
    )


def create_table_sql(contract: Contract) -> str:
    """Return `CREATE TABLE` and comments for DuckDB; the contract's view has the same columns and types.

    Raises:
        ContractError: DuckDB cannot hold a table or a column of that name.

    """
    _check_contract(contract)
    columns = _columns(contract)
    lines = [f"    {_name(c.name)} {sql_type(c)}{' NOT NULL' if c.required else ''}" for c in columns]
    statements = [f"CREATE TABLE {_name(contract.table)} (\n" + ",\n".join(lines) + "\n)"]
    return ";\n".join([*statements, *_comments(contract, "TABLE")]) + ";\n"


def sql_type(prop: Property) -> str:
    """Return the DuckDB type of a property."""
    if prop.type == "object":
        inner = ", ".join(f"{_name(each.name)} {sql_type(each)}" for each in prop.properties)
        return f"STRUCT({inner})"
    if prop.items is not None:
        return f"{sql_type(prop.items)}[]"
    return SCALARS[prop.type]


def view_statements(
    folder: Path, contracts: Sequence[Contract], kept: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Return what makes the views over the Parquet files in `folder`, with comments.

    `kept` are the columns of views that are there, by table: name -> type, which stay as they are.
    """
    statements = []
    for contract in contracts:
        types = {each.name: sql_type(each) for each in _columns(contract)}
        types |= kept.get(contract.table, {})
        selected = [f"CAST({_name(name)} AS {kind}) AS {_name(name)}" for name, kind in types.items()]
        # By name, since files that are older than a property of the contract lack its column.
        options = "union_by_name = true, hive_partitioning = true, hive_types = {'event_date': DATE}"
        files = _text(f"{folder}/{contract.table}/*/*.parquet")
        statements.append(
            f"CREATE OR REPLACE VIEW {_name(contract.table)} AS\nSELECT\n    "
            + ",\n    ".join(selected)
            + f"\nFROM read_parquet({files}, {options})"
        )
        statements += _comments(contract, "VIEW")
    marks = f"read_parquet({_text(f'{folder}/{SEGMENTS}/*/*.parquet')}, hive_partitioning = false)"
    return [
        *statements,
        f"""CREATE OR REPLACE VIEW {COUNTS} AS
SELECT counted_as AS event_type, window_start, window_end, CAST(sum(events) AS BIGINT) AS events
FROM {marks}
WHERE window_start IS NOT NULL AND event_type <> {_text(DEAD_LETTER)}
GROUP BY counted_as, window_start, window_end""",
        f"""CREATE OR REPLACE VIEW {SEGMENTS} AS
SELECT
    segment_id, event_type, path, minute, CAST(sum(events) AS BIGINT) AS events,
    CAST(sum(coalesce(len(refused), 0)) AS BIGINT) AS refused, ingested_at
FROM {marks}
GROUP BY segment_id, event_type, path, minute, ingested_at""",
    ]


def _comments(contract: Contract, what: str) -> list[str]:
    table = _name(contract.table)
    comments = [f"COMMENT ON {what} {table} IS {_text(contract.description)}"] if contract.description else []
    return comments + [
        f"COMMENT ON COLUMN {table}.{_name(column.name)} IS {_text(column.description)}"
        for column in _columns(contract)
        if column.description
    ]


def _columns(contract: Contract) -> tuple[Property, ...]:
    return (*contract.columns, *ADDED, EVENT_DATE)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def check_contracts(file: str, contracts: Sequence[Contract]) -> None:
    """Refuse contracts that DuckDB cannot hold, or not together, in `file`."""
    for contract in contracts:
        _check_contract(contract)
        # A folder `status=x` above would be taken for a partition and overrule the column `status`.
        columns = {column.name.lower() for column in _columns(contract)}
        for part in Path(file).parts:
            key, separator, _ = part.partition("=")
            if separator and key.lower() in columns:
                message = f"warehouse: {file}: expected no folder named like a column, got {part!r}"
                raise ConfigError(message)


def _check_contract(contract: Contract) -> None:
    where = contract.path or contract.label
    if not _TABLE.fullmatch(contract.table) or contract.table.lower() == COUNTS:
        message = f"{where}: table: expected letters, digits, _, but not {COUNTS}; got {contract.table!r}"
        raise ContractError(message)
    arrow_schema(contract)  # refuses reserved names
    _check_names(_columns(contract), f"{where}: property ")


def _check_names(properties: Sequence[Property], where: str) -> None:
    seen: dict[str, str] = {}
    for prop in properties:
        if other := seen.get(prop.name.lower()):
            message = f"{where}{prop.name}: DuckDB cannot tell it from {other}; rename one"
            raise ContractError(message)
        seen[prop.name.lower()] = prop.name
        inner = prop
        while inner.items is not None:
            inner = inner.items
        _check_names(inner.properties, f"{where}{prop.name}.")


def wanted_shape(columns: Sequence[Property], sql_type: Callable[[Property], str]) -> TableSchema:
    """Return the view of a contract with these columns; a view requires nothing."""

    def type_of(prop: Property) -> str:
        if prop.items is not None:
            return f"{type_of(prop.items)}[]"
        return "STRUCT" if prop.type == "object" else sql_type(prop)

    return TableSchema([Column(each.path, each.type) for each in members(columns, type_of)])


def found_columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Return the columns of a view, name -> type as SQL; none if there is no such view."""
    return dict(connection.execute(_COLUMNS, [table]).fetchall())


def found_shape(connection: duckdb.DuckDBPyConnection, table: str) -> TableSchema | None:
    """Return the view as it is; None if there is none."""
    columns: list[Column] = []
    for name, text in found_columns(connection, table).items():
        # DuckDB itself reads the type that it has written.
        (kind,) = connection.sql(f"SELECT CAST(NULL AS {text})").types
        columns += _parts(name, kind)
    return TableSchema(columns) if columns else None


def _parts(path: str, kind: Any) -> Iterator[Column]:
    yield Column(path, _named(kind))
    while kind.id == "list":
        kind, path = kind.children[0][1], f"{path}[]"
    if kind.id == "struct":
        for name, inner in kind.children:
            yield from _parts(f"{path}.{name}", inner)


def _named(kind: Any) -> str:
    if kind.id == "list":
        return f"{_named(kind.children[0][1])}[]"
    return "STRUCT" if kind.id == "struct" else str(kind)
