"""What monitors ask: the tables of a warehouse, or CSV files as tables."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import pyarrow.csv as pc

from sluice.errors import ConfigError, WarehouseError, quote

Rows = list[dict[str, Any]]


class Tables(Protocol):
    """Something that answers queries."""

    def ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns of a query's result, and its rows.

        Raises:
            WarehouseError: it cannot be reached, or rejects the query.

        """
        ...


class CsvTables:
    """CSV files with a header, in UTF-8, as tables whose columns are all texts; an empty field is NULL."""

    def __init__(self, files: Mapping[str, str]) -> None:
        """`files` are the paths of tables; they are read when a query comes."""
        self._files = files

    def ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns of a query's result, and its rows."""
        with duckdb.connect() as connection, _errors():
            for table, path in self._files.items():
                if table in sql:
                    connection.register(table, _read_csv(path))
            result = connection.execute(sql)
            return [column[0] for column in result.description or ()], result.fetchall()


def _read_csv(path: str) -> pa.Table:
    try:
        with pc.open_csv(path) as reader:
            names = reader.schema.names
        options = pc.ConvertOptions(
            column_types={column: pa.string() for column in names}, strings_can_be_null=True, null_values=[""]
        )
        return pc.read_csv(path, convert_options=options)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it is no file"
        message = f"{path}: cannot read the file: {reason}"
        raise ConfigError(message) from error
    except pa.ArrowInvalid as error:
        message = f"{path}: expected CSV with a header, in UTF-8: {str(error).splitlines()[0]}"
        raise ConfigError(message) from error


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        message = f"expected a query that works: {' '.join(str(error).split())[:300]}"
        raise WarehouseError(message) from error


def ask_rows(tables: Tables, sql: str, where: str, needed: list[str]) -> Rows:
    """Return the rows of a query as column -> value; names of columns are in lower case.

    Raises:
        ConfigError: a column that is needed is missing.
        WarehouseError: the tables cannot be read, or the query is wrong.

    """
    names, rows = tables.ask(sql)
    columns = [column.lower() for column in names]
    for column in needed:
        if column.lower() not in columns:
            message = f"{where}: query: expected a column {column}, got {', '.join(columns) or 'none'}"
            raise ConfigError(message)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def as_day(value: Any, where: str) -> date:
    """Return the day in a value of a result: a date, a time, or the text of one.

    Raises:
        ConfigError: it is none.

    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return datetime.fromisoformat(str(value).strip()).date()
    except ValueError as error:
        message = f"{where}: day: expected a day, such as 2026-12-31, got {quote(value)}"
        raise ConfigError(message) from error


def as_number(value: Any, where: str) -> Decimal | None:
    """Return the exact number in a value of a result; None for NULL.

    Raises:
        ConfigError: it is no number.

    """
    if value is None:
        return None
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value).strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        message = f"{where}: expected a number, got {quote(value)}"
        raise ConfigError(message)
    return number
