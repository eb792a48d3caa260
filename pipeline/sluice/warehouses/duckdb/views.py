"""The views of the embedded warehouse: as the contracts have them, and as DuckDB's catalog has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.arrow.schema import table_columns
from sluice.contracts import (
    DECIMAL_PRECISION,
    DECIMAL_SCALE,
    ITEM,
    LEAF_TYPES,
    Contract,
    Property,
    by_type,
)
from sluice.contracts import Path as PropertyPath
from sluice.contracts.reserved import COUNTS_VIEW, STATUS_VIEW
from sluice.elements import DEAD_LETTER
from sluice.errors import ConfigError
from sluice.warehouses.dialect import Dialect, double_quoted, matching, single_quoted
from sluice.warehouses.schema_diff import Column, Difference, TableSchema, columns_and_members, compare
from sluice.warehouses.status_view import has_status, status_query
from sluice.warehouses.system_tables import SEGMENTS

if TYPE_CHECKING:
    import duckdb

EVENT_DATE = Property("event_date", "date", required=True, description="UTC day of the event, the partition.")

DIALECT = Dialect(
    name="DuckDB",
    types=by_type(
        {
            "string": "VARCHAR",
            "uuid": "UUID",
            "integer": "BIGINT",
            "float": "DOUBLE",
            "decimal": f"DECIMAL({DECIMAL_PRECISION},{DECIMAL_SCALE})",
            "boolean": "BOOLEAN",
            "timestamp": "TIMESTAMP WITH TIME ZONE",
            "date": "DATE",
            "json": "JSON",
        },
        LEAF_TYPES,
    ),
    quote_name=double_quoted,
    quote_text=single_quoted,
    # A table's name is its folder's too.
    table_names=matching(r"[A-Za-z][A-Za-z0-9_]*", "letters, digits and _, beginning with a letter"),
    own_columns=(EVENT_DATE.name,),
)

_COLUMNS = """SELECT table_name, column_name, data_type FROM duckdb_columns()
WHERE list_contains(?, table_name) AND schema_name = 'main' AND database_name = current_database()
ORDER BY column_index"""


def view_differences(
    connection: duckdb.DuckDBPyConnection, contracts: Sequence[Contract]
) -> list[list[Difference] | None]:
    """Return for each contract how its view differs from the contract; None if there is no view."""
    columns = view_columns(connection, [contract.table for contract in contracts])
    schemas = [actual_schema(connection, columns[contract.table]) for contract in contracts]
    return [
        None if actual is None else compare(contract.table, expected_schema(contract), actual)
        for contract, actual in zip(contracts, schemas, strict=True)
    ]


STATUS_VIEW_SQL = f"CREATE OR REPLACE VIEW {STATUS_VIEW} AS\n{status_query()};\n"


def create_table_sql(contract: Contract) -> str:
    """Return `CREATE TABLE` and comments for DuckDB; the contract's view has the same columns and types.

    Raises:
        ContractError: DuckDB cannot hold a table or a column of that name.

    """
    DIALECT.check_contract(contract, table_columns(contract))
    columns = _columns(contract)
    lines = [
        f"    {DIALECT.quote_name(c.name)} {column_type(c)}{' NOT NULL' if c.required else ''}"
        for c in columns
    ]
    statements = [f"CREATE TABLE {DIALECT.quote_name(contract.table)} (\n" + ",\n".join(lines) + "\n)"]
    return ";\n".join([*statements, *_comments(contract, "TABLE")]) + ";\n"


def column_type(prop: Property) -> str:
    """Return the DuckDB type of a property."""
    if prop.type == "object":
        inner = ", ".join(
            f"{DIALECT.quote_name(member.name)} {column_type(member)}" for member in prop.properties
        )
        return f"STRUCT({inner})"
    if prop.items is not None:
        return f"{column_type(prop.items)}[]"
    return DIALECT.type_of(prop)


def view_statements(
    folder: Path, contracts: Sequence[Contract], existing: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Return what makes the views over the Parquet files in `folder`, with comments.

    `existing` are the columns of views that are there, by table: name -> type. They stay as they are.
    """
    statements: list[str] = []
    for contract in contracts:
        statements.append(_view_statement(folder, contract, existing.get(contract.table, {})))
        statements += _comments(contract, "VIEW")
    markers = f"read_parquet({DIALECT.quote_text(f'{folder}/{SEGMENTS.name}/*/*.parquet')}, hive_partitioning = false)"
    if has_status(contracts):
        statements.append(STATUS_VIEW_SQL.removesuffix(";\n"))
    return [
        *statements,
        f"""CREATE OR REPLACE VIEW {COUNTS_VIEW} AS
SELECT counted_as AS event_type, window_start, window_end, CAST(sum(events) AS BIGINT) AS events
FROM {markers}
WHERE window_start IS NOT NULL AND event_type <> {DIALECT.quote_text(DEAD_LETTER)}
GROUP BY counted_as, window_start, window_end""",
        f"""CREATE OR REPLACE VIEW {SEGMENTS.name} AS
SELECT
    segment_id, event_type, path, minute, CAST(sum(events) AS BIGINT) AS events,
    CAST(sum(coalesce(len(refused), 0)) AS BIGINT) AS refused, ingested_at
FROM {markers}
GROUP BY segment_id, event_type, path, minute, ingested_at""",
    ]


def _view_statement(folder: Path, contract: Contract, existing: Mapping[str, str]) -> str:
    columns = {
        DIALECT.fold_name(name): (DIALECT.quote_name(name), sql_type)
        for name, sql_type in (
            *((column.name, column_type(column)) for column in _columns(contract)),
            *existing.items(),
        )
    }
    selected = [f"CAST({name} AS {sql_type}) AS {name}" for name, sql_type in columns.values()]
    # By name, since files that are older than a property of the contract lack its column.
    options = "union_by_name = true, hive_partitioning = true, hive_types = {'event_date': DATE}"
    files = DIALECT.quote_text(f"{folder}/{contract.table}/*/*.parquet")
    return (
        f"CREATE OR REPLACE VIEW {DIALECT.quote_name(contract.table)} AS\nSELECT\n    "
        + ",\n    ".join(selected)
        + f"\nFROM read_parquet({files}, {options})"
    )


def _comments(contract: Contract, what: str) -> list[str]:
    table = DIALECT.quote_name(contract.table)
    comments = (
        [f"COMMENT ON {what} {table} IS {DIALECT.quote_text(contract.description)}"]
        if contract.description
        else []
    )
    return comments + [
        f"COMMENT ON COLUMN {table}.{DIALECT.quote_name(column.name)} IS {DIALECT.quote_text(column.description)}"
        for column in _columns(contract)
        if column.description
    ]


def _columns(contract: Contract) -> tuple[Property, ...]:
    return (*table_columns(contract), EVENT_DATE)


def check_contracts(file: str, contracts: Sequence[Contract]) -> None:
    """Check that DuckDB can hold the tables of the contracts beside `file`.

    Raises:
        ContractError: it cannot hold a table or a column of that name.
        ConfigError: a folder above has a name that DuckDB takes for a column.

    """
    for contract in contracts:
        DIALECT.check_contract(contract, table_columns(contract))
        # A folder `status=x` above would be taken for a partition and overrule the column `status`.
        columns = {column.name.lower() for column in _columns(contract)}
        for part in Path(file).parts:
            key, separator, _ = part.partition("=")
            if separator and key.lower() in columns:
                message = f"warehouse: {file}: expected no folder named like a column, got {part!r}"
                raise ConfigError(message)


def expected_schema(contract: Contract) -> TableSchema:
    """Return the view of a contract; a view requires nothing."""

    def type_of(prop: Property) -> str:
        if prop.items is not None:
            return f"{type_of(prop.items)}[]"
        return "STRUCT" if prop.type == "object" else column_type(prop)

    columns = columns_and_members(_columns(contract), type_of)
    return TableSchema([Column(column.path, column.type) for column in columns])


def view_columns(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the columns of views, by view: name -> type as SQL; none of a view that is not there."""
    found: dict[str, dict[str, str]] = {table: {} for table in tables}
    # DuckDB binds all views anew for each query, so all are asked for at once.
    for table, name, sql_type in connection.execute(_COLUMNS, [list(tables)]).fetchall():
        found[table][name] = sql_type
    return found


def actual_schema(connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str]) -> TableSchema | None:
    """Return a view with these columns as a schema; None of a view that is not there."""
    if not columns:
        return None
    # DuckDB itself reads the types that it has written.
    types = connection.sql(f"SELECT {', '.join(f'CAST(NULL AS {text})' for text in columns.values())}").types
    return TableSchema(
        [
            column
            for name, duckdb_type in zip(columns, types, strict=True)
            for column in _column_and_members((name,), duckdb_type)
        ]
    )


def _column_and_members(path: PropertyPath, duckdb_type: Any) -> Iterator[Column]:
    yield Column(path, _type_name(duckdb_type))
    while duckdb_type.id == "list":
        duckdb_type, path = duckdb_type.children[0][1], (*path, ITEM)
    if duckdb_type.id == "struct":
        for name, member_type in duckdb_type.children:
            yield from _column_and_members((*path, name), member_type)


def _type_name(duckdb_type: Any) -> str:
    if duckdb_type.id == "list":
        return f"{_type_name(duckdb_type.children[0][1])}[]"
    return "STRUCT" if duckdb_type.id == "struct" else str(duckdb_type)
