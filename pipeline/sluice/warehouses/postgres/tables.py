"""PostgreSQL: contract -> table, Sluice's own tables, and the tables that a schema has."""

from __future__ import annotations

from collections.abc import Sequence

from sluice.arrow.schema import table_columns
from sluice.contracts import DECIMAL_PRECISION, DECIMAL_SCALE, EVENT_ID_COLUMN, Contract, by_type
from sluice.contracts.reserved import COUNTS_VIEW, STATUS_VIEW
from sluice.errors import ConfigError
from sluice.warehouses.dialect import Dialect, NameRule, double_quoted, single_quoted
from sluice.warehouses.schema_diff import Column, Difference, TableSchema, compare
from sluice.warehouses.status_view import STATUS_DESCRIPTION, status_query
from sluice.warehouses.system_tables import COUNTS_VIEW_DESCRIPTION, TABLES, counts_query
from sluice.warehouses.transactional import Connection

MAX_NAME_BYTES = 63
"""PostgreSQL cuts longer names: https://www.postgresql.org/docs/current/limits.html"""

SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""https://www.postgresql.org/docs/current/ddl-system-columns.html"""


def _fits(name: str) -> bool:
    return len(name.encode()) <= MAX_NAME_BYTES


def _same(name: str) -> str:
    return name


DIALECT = Dialect(
    name="PostgreSQL",
    types=by_type(
        {
            "string": "text",
            "uuid": "uuid",
            "integer": "bigint",
            "float": "double precision",
            "decimal": f"numeric({DECIMAL_PRECISION},{DECIMAL_SCALE})",
            "boolean": "boolean",
            "timestamp": "timestamptz",
            "date": "date",
            "json": "jsonb",
            "object": "jsonb",
            "array": "jsonb",
        }
    ),
    quote_name=double_quoted,
    quote_text=single_quoted,  # with standard_conforming_strings on
    fold_name=_same,
    table_names=NameRule(
        lambda name: _fits(name) and not name.lower().startswith("pg_") and not name.endswith("_pkey"),
        f"at most {MAX_NAME_BYTES} bytes, not beginning with pg_, and not ending with _pkey as a key's index does",
    ),
    column_names=NameRule(
        lambda name: _fits(name) and name not in SYSTEM_COLUMNS,
        f"at most {MAX_NAME_BYTES} bytes, and none of {', '.join(sorted(SYSTEM_COLUMNS))}",
    ),
    max_columns=1600,  # https://www.postgresql.org/docs/current/limits.html
)

SYSTEM = (
    *(DIALECT.create_system_table_sql(table, key="PRIMARY KEY") for table in TABLES),
    f"CREATE OR REPLACE VIEW {COUNTS_VIEW} AS\n{counts_query('CAST(sum(events) AS bigint)')}",
    *(
        f"COMMENT ON TABLE {table.name} IS {DIALECT.quote_text(table.contract.description)}"
        for table in TABLES
    ),
    f"COMMENT ON VIEW {COUNTS_VIEW} IS {DIALECT.quote_text(COUNTS_VIEW_DESCRIPTION)}",
)
"""What makes the tables and the view that Sluice keeps beside those of the contracts."""

STATUS_VIEW_SQL = (
    f"CREATE OR REPLACE VIEW {STATUS_VIEW} AS\n{status_query()};\n"
    f"COMMENT ON VIEW {STATUS_VIEW} IS {DIALECT.quote_text(STATUS_DESCRIPTION)};\n"
)

PRIMARY_KEY = {"primary key": EVENT_ID_COLUMN}

_COLUMNS = """SELECT attname, format_type(atttypid, atttypmod), attnotnull, NOT atthasdef AND attidentity = ''
FROM pg_attribute WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
_PRIMARY_KEY = """SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_index
JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey) WHERE indrelid = to_regclass(?) AND indisprimary
GROUP BY indexrelid"""
_UNIQUE = """SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = to_regclass(?) AND a.attname = ? AND i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL"""
_REFERS = """SELECT 1 FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
WHERE c.contype = 'f' AND c.conrelid = to_regclass(?) AND c.confrelid = to_regclass(?) AND a.attname = ?"""


def system_sql() -> str:
    """Return what makes the tables and the view that Sluice keeps beside those of the contracts."""
    return ";\n".join(SYSTEM) + ";\n"


def create_table_sql(contract: Contract) -> str:
    """Return `table_statements` as one text."""
    return ";\n".join(table_statements(contract)) + ";\n"


def table_statements(contract: Contract) -> list[str]:
    """Return `CREATE TABLE IF NOT EXISTS` and comments for PostgreSQL.

    Raises:
        ContractError: PostgreSQL cannot hold a table or a column of that name.

    """
    columns = table_columns(contract)
    DIALECT.check_contract(contract, columns)
    table = DIALECT.quote_name(contract.table)
    lines = [
        *(f"    {DIALECT.column(column)}" for column in columns),
        f"    PRIMARY KEY ({DIALECT.quote_name(EVENT_ID_COLUMN)})",
    ]
    statements = [f"CREATE TABLE IF NOT EXISTS {table} (\n" + ",\n".join(lines) + "\n)"]
    if contract.description:
        statements.append(f"COMMENT ON TABLE {table} IS {DIALECT.quote_text(contract.description)}")
    return statements + [
        f"COMMENT ON COLUMN {table}.{DIALECT.quote_name(column.name)} IS {DIALECT.quote_text(column.description)}"
        for column in columns
        if column.description
    ]


def table_differences(connection: Connection, contract: Contract) -> list[Difference] | None:
    """Return how the contract's table differs from what `table_statements` makes; None if there is no table."""
    columns = table_columns(contract)
    expected = [Column((column.name,), DIALECT.type_of(column), column.required) for column in columns]
    names = {column.name for column in columns}
    table = DIALECT.quote_name(contract.table)
    rows = connection.execute(_COLUMNS, [table])
    if not rows:
        return None
    # A column that is not the contract's is only required of a load if it has no default.
    actual = [
        Column(
            (name,),
            sql_type.replace("timestamp with time zone", "timestamptz"),
            not_null and (name in names or without_default),
        )
        for name, sql_type, not_null, without_default in rows
    ]
    keys = connection.execute(_PRIMARY_KEY, [table])
    return compare(
        contract.table,
        TableSchema(expected, PRIMARY_KEY),
        TableSchema(actual, {"primary key": keys[0][0] if keys else "none"}),
        DIALECT.fold_name,
    )


def references_to(table: str, contracts: Sequence[Contract]) -> list[tuple[Contract, str, str]]:
    """Return contract, column and referenced column of each property that refers to `table`."""
    return [
        (contract, prop.name, prop.references.partition(".")[2])
        for contract in contracts
        for prop in contract.columns
        if prop.references is not None and prop.references.partition(".")[0] == table
    ]


def add_foreign_keys(connection: Connection, table: str, contracts: Sequence[Contract]) -> None:
    """Make the foreign keys to `table` that are missing.

    Raises:
        ConfigError: the referenced column is not a key of `table`.

    """
    quote = DIALECT.quote_name
    for contract, column, target in references_to(table, contracts):
        where = f"{contract.path or contract.label}: property {column}: foreign key to {table}.{target}"
        if not connection.execute(_UNIQUE, [quote(table), target]):
            message = (
                f"{where}: expected a table with this column as its key, got none; create it, or its key"
            )
            raise ConfigError(message)
        if not connection.execute(_REFERS, [quote(contract.table), quote(table), column]):
            connection.execute(
                f"ALTER TABLE {quote(contract.table)} ADD FOREIGN KEY ({quote(column)})"
                f" REFERENCES {quote(table)} ({quote(target)})"
            )
