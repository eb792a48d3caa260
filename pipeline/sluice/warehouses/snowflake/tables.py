"""Snowflake: contract -> table, Sluice's own tables, and the types that INFORMATION_SCHEMA lists."""

from __future__ import annotations

from sluice.arrow.schema import table_columns
from sluice.contracts import DECIMAL_PRECISION, DECIMAL_SCALE, INGESTED_AT_COLUMN, Contract, Property, by_type
from sluice.contracts.reserved import COUNTS_VIEW, STATUS_VIEW
from sluice.warehouses.dialect import Dialect, NameRule
from sluice.warehouses.status_view import STATUS_DESCRIPTION, status_query
from sluice.warehouses.system_tables import (
    COUNTS_VIEW_DESCRIPTION,
    LOAD_LOCK,
    TABLES,
    SystemTable,
    counts_query,
)
from sluice.warehouses.transactional import CREATE_LOCK_ROW

STAGE = '"_SLUICE"'
"""Where files wait to be copied; each is removed when it is."""


def _quote_name(name: str) -> str:
    """Return a name in upper case, which SQL without quotes means by any case."""
    return '"' + name.upper().replace('"', '""') + '"'


def _quote_text(text: str) -> str:
    """Return a text as Snowflake's SQL takes it, in which a backslash escapes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


MAX_NAME = 255
"""https://docs.snowflake.com/en/sql-reference/identifiers-syntax"""

_SHORT = NameRule(lambda name: len(name.upper()) <= MAX_NAME, f"at most {MAX_NAME} characters")

DIALECT = Dialect(
    name="Snowflake",
    types=by_type(
        {
            "string": "VARCHAR",
            "uuid": "VARCHAR(36)",
            "integer": "NUMBER(19,0)",
            "float": "FLOAT",
            "decimal": f"NUMBER({DECIMAL_PRECISION},{DECIMAL_SCALE})",
            "boolean": "BOOLEAN",
            "timestamp": "TIMESTAMP_TZ",
            "date": "DATE",
            "json": "VARCHAR",  # of any shape: VARIANT would round numbers of more than 38 digits
            "object": "VARIANT",
            "array": "VARIANT",
        }
    ),
    quote_name=_quote_name,
    quote_text=_quote_text,
    fold_name=str.upper,
    table_names=_SHORT,
    column_names=_SHORT,
)


def _system_table_sql(table: SystemTable) -> str:
    return DIALECT.create_system_table_sql(
        table,
        quote=_quote_name,
        composite_keys=False,  # Snowflake enforces none
        options=f"\nCOMMENT = {_quote_text(table.contract.description)}",
    )


_COUNTS_VIEW_SQL = (
    f"CREATE VIEW IF NOT EXISTS {_quote_name(COUNTS_VIEW)}\n"
    f"COMMENT = {_quote_text(COUNTS_VIEW_DESCRIPTION)}\nAS\n"
    + counts_query('SUM("EVENTS")', quote=_quote_name, dead_letters=False)
)

STATUS_VIEW_SQL = (
    f"CREATE VIEW IF NOT EXISTS {_quote_name(STATUS_VIEW)}\n"
    f"COMMENT = {_quote_text(STATUS_DESCRIPTION)}\nAS\n"
    f"{status_query(quote=_quote_name, table=_quote_name)};\n"
)

SYSTEM = {table.name: _system_table_sql(table) for table in (*TABLES, LOAD_LOCK)} | {
    COUNTS_VIEW: _COUNTS_VIEW_SQL
}
"""Name -> what makes the table or view that Sluice keeps beside those of the contracts."""


def system_sql() -> str:
    """Return the DDL of what Sluice keeps beside the tables of the contracts."""
    return ";\n\n".join([f"CREATE STAGE IF NOT EXISTS {STAGE}", *SYSTEM.values(), CREATE_LOCK_ROW]) + ";\n"


def create_table_sql(contract: Contract) -> str:
    """Return `CREATE TABLE IF NOT EXISTS` for Snowflake.

    Raises:
        ContractError: Snowflake cannot hold such a table.

    """
    columns = table_columns(contract)
    DIALECT.check_contract(contract, columns)
    lines = [f"    {column_sql(column)}" for column in columns]
    day = f"TO_DATE({_quote_name(contract.event_time or INGESTED_AT_COLUMN)})"
    clusters = ", ".join([day, *map(_quote_name, contract.cluster_by)])
    sql = f"CREATE TABLE IF NOT EXISTS {_quote_name(contract.table)} (\n" + ",\n".join(lines) + "\n)"
    sql += f"\nCLUSTER BY ({clusters})"
    if contract.description:
        sql += f"\nCOMMENT = {_quote_text(contract.description)}"
    return f"{sql};\n"


def column_sql(prop: Property) -> str:
    """Return the column of a property with its comment, as CREATE TABLE and ADD COLUMN take it."""
    comment = f" COMMENT {_quote_text(prop.description)}" if prop.description else ""
    return f"{DIALECT.column(prop)}{comment}"


def listed_type(prop: Property) -> str:
    """Return the type of a property as `type_from_listing` names it."""
    return DIALECT.type_of(prop).replace("VARCHAR(36)", "VARCHAR")


def type_from_listing(data_type: str, precision: int | None, scale: int | None) -> str:
    """Return a type of INFORMATION_SCHEMA as DDL names it; texts without their length."""
    data_type = "VARCHAR" if data_type == "TEXT" else data_type
    return f"NUMBER({precision},{scale})" if data_type == "NUMBER" else data_type
