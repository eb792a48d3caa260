"""usage: snowflake_emulator.py PORT: `fakesnow`, patched where it differs from Snowflake or from its connector."""

import sys
from importlib import import_module
from typing import Any

import duckdb
import uvicorn
from fakesnow import info_schema, transforms
from fakesnow.cursor import FakeSnowflakeCursor
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

server: Any = import_module("fakesnow.server")
"""As a module: the package binds the name `server` to something else."""

_json_response = server.JSONResponse
_execute = FakeSnowflakeCursor.execute
_try_parse_json = transforms.try_parse_json
_insert_table_comment_sql = info_schema.insert_table_comment_sql

_NOT_NULL = (100072, "22000")
_CONFLICT = (625, "57014")
"""Error number and SQL state of Snowflake."""


def json_response(content: Any, **named: Any) -> Any:
    """Add the fields that the connector expects since its version 5."""
    data = content.get("data")
    if isinstance(data, dict) and "token" in data:
        data |= {
            "sessionId": 1,
            "masterToken": "m",
            "validityInSeconds": 3600,
            "masterValidityInSeconds": 14400,
        }
    if isinstance(data, dict) and "stageInfo" in data:
        data["stageInfo"] |= {"region": "none", "isClientSideEncrypted": False}
        data |= {"encryptionMaterial": [], "overwrite": True}
    return _json_response(content, **named)


def execute(cursor: Any, *arguments: Any, **named: Any) -> Any:
    """Raise Snowflake's error where two transactions write one row; Snowflake would let the second one wait."""
    try:
        return _execute(cursor, *arguments, **named)
    except (duckdb.ConstraintException, duckdb.TransactionException) as error:
        number, state = _NOT_NULL if "NOT NULL" in str(error) else _CONFLICT
        raise ProgrammingError(msg=str(error), errno=number, sqlstate=state) from error


def try_parse_json(expression: Any) -> Any:
    """Cast to JSON; DuckDB's json() rounds numbers of more than 17 digits."""
    if isinstance(expression, exp.ParseJSON):
        return exp.Cast(this=expression.this, to=exp.DataType.build("JSON"))
    return _try_parse_json(expression)


def insert_table_comment_sql(catalog: str, schema: str, table: str, comment: str | None) -> Any:
    """Quote the comment of a table."""
    return _insert_table_comment_sql(catalog, schema, table, comment and comment.replace("'", "''"))


def main() -> None:
    """Patch the emulator, and serve."""
    server.JSONResponse = json_response
    FakeSnowflakeCursor.execute = execute
    transforms.try_parse_json = try_parse_json
    info_schema.insert_table_comment_sql = insert_table_comment_sql
    uvicorn.run(server.app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")


if __name__ == "__main__":
    main()
