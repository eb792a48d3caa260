"""What SQLite's SQL looks like, and what makes the tables and views of a file."""

from __future__ import annotations

from sluice.arrow.schema import table_columns
from sluice.contracts import EVENT_ID_COLUMN, Contract, by_type
from sluice.contracts.reserved import COUNTS_VIEW, STATUS_VIEW
from sluice.warehouses.dialect import Dialect, double_quoted, matching, single_quoted
from sluice.warehouses.status_view import status_query
from sluice.warehouses.system_tables import TABLES, counts_query

DIALECT = Dialect(
    name="SQLite",
    types=by_type(
        {
            "string": "TEXT",
            "uuid": "TEXT",
            "integer": "INTEGER",
            "float": "REAL",
            "decimal": "TEXT",
            "boolean": "INTEGER",
            "timestamp": "TEXT",
            "date": "TEXT",
            "json": "TEXT",
            "object": "TEXT",
            "array": "TEXT",
        }
    ),
    quote_name=double_quoted,
    quote_text=single_quoted,
    table_names=matching(r"(?i:(?!sqlite_).+)", "not beginning with sqlite_"),
    max_columns=2000,  # https://sqlite.org/limits.html
)

SYSTEM = (
    *(DIALECT.create_system_table_sql(table, options=" STRICT") for table in TABLES),
    f"CREATE VIEW IF NOT EXISTS {COUNTS_VIEW} AS\n{counts_query('sum(events)')}",
)
"""What makes the tables and the view that Sluice keeps beside those of the contracts."""

STATUS_VIEW_SQL = f"CREATE VIEW IF NOT EXISTS {STATUS_VIEW} AS\n{status_query()};\n"


def system_sql() -> str:
    """Return what makes the tables and the view that Sluice keeps beside those of the contracts."""
    return ";\n".join(SYSTEM) + ";\n"


def create_table_sql(contract: Contract) -> str:
    """Return `CREATE TABLE IF NOT EXISTS` for SQLite, which keeps the descriptions with it as comments.

    Raises:
        ContractError: SQLite cannot hold a table of that name.

    """
    columns = table_columns(contract)
    DIALECT.check_contract(contract, columns)
    lines = [f"    {DIALECT.column(column)},{_comment(column.description)}" for column in columns]
    head = (
        f"CREATE TABLE IF NOT EXISTS {DIALECT.quote_name(contract.table)} ({_comment(contract.description)}"
    )
    return (
        "\n".join([head, *lines, f"    PRIMARY KEY ({DIALECT.quote_name(EVENT_ID_COLUMN)})", ") STRICT;"])
        + "\n"
    )


def _comment(description: str) -> str:
    return f" -- {' '.join(description.split())}" if description else ""
