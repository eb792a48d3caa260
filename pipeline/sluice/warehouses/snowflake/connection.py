"""A connection to Snowflake through its own connector, and the credentials that the environment holds."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sluice.arrow.schema import table_columns
from sluice.contracts import Contract, Property, ValueType, by_type
from sluice.errors import ConfigError, WarehouseError
from sluice.warehouses.client_errors import client_errors
from sluice.warehouses.dialect import split_at_placeholders
from sluice.warehouses.json_text import json_text
from sluice.warehouses.row_errors import Blame, RowsRejected
from sluice.warehouses.snowflake.tables import DIALECT, STAGE
from sluice.warehouses.system_tables import SystemTable
from sluice.warehouses.timestamps import from_micros
from sluice.warehouses.transactional import copy_row_sql, transaction

SESSION = {
    "TIMEZONE": "UTC",
    "LOCK_TIMEOUT": 600,
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    "DATE_INPUT_FORMAT": "AUTO",
    "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
    "QUERY_TAG": "sluice",
}
"""Snowflake rolls a vanished worker's transaction back five minutes after it gets in another's way."""

TIMEOUTS = {"login_timeout": 30, "request_timeout": 120}
"""Seconds that the connector tries to log in, and waits for the answer to a request."""

CONTENT = range(100_000, 101_000)
"""Numbers of the errors that data causes."""

SERVER_STATES = ("08", "25", "28", "40", "42", "53", "55", "57", "58")
"""Classes of SQLSTATE for connection, login, permission, statements, locks and shutdowns."""

SERVER_NUMBERS = (range(600, 700), range(90_000, 91_000), range(250_000, 500_000))
"""Numbers of the errors of statements that were cancelled, of virtual warehouses and quotas, and of the connector."""

CONFLICTS = (625, 2002)
"""Numbers of the errors that another worker causes: the wait for a lock ended, an object exists by now."""

ROWS_PER_INSERT = 1000
"""Rows in one INSERT with VALUES; Snowflake takes 16,384."""

_INSTANT = "%Y-%m-%dT%H:%M:%S+00:00"


class Conflict(WarehouseError):
    """Another worker changed the same at the same time; after a pause the action may succeed."""


class SnowflakeConnection:
    """One session; statements outside of `transaction` commit by themselves."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        """Connect; raises WarehouseError, which names `url` and never what `credentials` returns."""
        from snowflake.connector import connect

        self._url = url
        secrets = credentials()
        self._secrets = [value for value in secrets.values() if isinstance(value, str)]
        with self._errors():
            self._connection = connect(
                **options,
                **secrets,
                **TIMEOUTS,
                application="Sluice",
                autocommit=True,
                session_parameters=SESSION,
                enable_server_session_keep_alive_auto_detection=False,
            )

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with `?` for each value; return its rows. Times must be with time zone."""
        if values:
            parts = [part.replace("%", "%%") for part in split_at_placeholders(sql)]
            casts = ["%s::TIMESTAMP_TZ" if isinstance(value, datetime) else "%s" for value in values]
            sql = "".join(text for pair in zip(parts, [*casts, ""], strict=True) for text in pair)
        return self._execute(sql, values)

    def transaction(self) -> AbstractContextManager[None]:
        """Commit what the block does, or nothing of it. The block must not make or change tables."""
        return transaction(self, "BEGIN TRANSACTION")

    def insert(self, contract: Contract, rows: pa.Table) -> None:
        """Stage and copy rows to the contract's table; raises RowsRejected for what they hold."""
        columns = table_columns(contract)
        name = f"{uuid.uuid4().hex}.parquet"
        with tempfile.TemporaryDirectory(prefix="sluice-snowflake-") as folder:
            file = os.path.join(folder, name)
            pq.write_table(_staged(columns, rows), file, compression="zstd", compression_level=1)
            uri = DIALECT.quote_text(f"file://{file}")
            self.execute(f"PUT {uri} @{STAGE} AUTO_COMPRESS = FALSE OVERWRITE = TRUE")
        into = ", ".join(DIALECT.quote_name(column.name) for column in columns)
        values = ", ".join(_staged_value(column, f"$1:c{at}") for at, column in enumerate(columns))
        sql = (
            f"COPY INTO {DIALECT.quote_name(contract.table)} ({into})"
            f" FROM (SELECT {values} FROM @{STAGE}/{name}) FILE_FORMAT = (TYPE = PARQUET) PURGE = TRUE"
        )
        with self._errors(), _rejections(), self._connection.cursor() as cursor:
            cursor.execute(sql)

    def copy_row(self, contract: Contract) -> bool:
        """Insert a copy of any row of the contract's table; False if it has none, RowsRejected if it takes none."""
        with self._errors(), _rejections(), self._connection.cursor() as cursor:
            cursor.execute(copy_row_sql(DIALECT, contract))
            ((inserted,),) = cursor.fetchall()
            return bool(inserted)

    def append(self, table: SystemTable, rows: pa.Table) -> None:
        """Insert rows into one of Sluice's own tables."""
        values = list(zip(*map(_values, rows.columns), strict=True))
        placeholders = f"({', '.join(['%s'] * len(table.columns))})"
        for at in range(0, len(values), ROWS_PER_INSERT):
            part = values[at : at + ROWS_PER_INSERT]
            sql = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES "
            self._execute(
                sql + ", ".join([placeholders] * len(part)), [value for row in part for value in row]
            )

    def _execute(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run one statement with `%s` for each value; return its rows."""
        texts = [_text(value) if isinstance(value, datetime) else value for value in values]
        with self._errors(), self._connection.cursor() as cursor:
            cursor.execute(sql, texts or None)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns of a query's result, and its rows; times are in UTC, as in `SESSION`."""
        with self._errors(), self._connection.cursor() as cursor:
            cursor.execute(sql)
            return [column[0] for column in cursor.description or ()], cursor.fetchall()

    def close(self) -> None:
        """End the session, and with it a transaction that is open."""
        with self._errors():
            self._connection.close()

    def _errors(self) -> AbstractContextManager[None]:
        from snowflake.connector.errors import Error

        return client_errors(
            self._url,
            "Snowflake to answer",
            (Error,),
            _server_message,
            secrets=self._secrets,
            error_type=lambda error: Conflict if error.errno in CONFLICTS else WarehouseError,
        )


@contextmanager
def _rejections() -> Iterator[None]:
    """Raise what Snowflake says of rows, and not of itself, as RowsRejected."""
    from snowflake.connector.errors import Error

    try:
        yield
    except Error as error:
        number, state = error.errno or -1, error.sqlstate or ""
        is_content = number in CONTENT
        of_server = number < 0 or any(number in numbers for numbers in SERVER_NUMBERS)
        if not is_content and (of_server or number in CONFLICTS or state.startswith(SERVER_STATES)):
            raise
        blame: Blame = "content" if is_content else "unknown"
        raise RowsRejected(_server_message(error), kind=str(number), blame=blame) from error


def credentials() -> dict[str, Any]:
    """Return what the connector needs to log in: a key pair if the environment has one, else the password.

    Raises:
        ConfigError: the environment has neither, or the key cannot be read with its passphrase.

    """
    if key := os.environ.get("SNOWFLAKE_PRIVATE_KEY"):
        return {"authenticator": "SNOWFLAKE_JWT", "private_key": _private_key(key)}
    if password := os.environ.get("SNOWFLAKE_PASSWORD"):
        return {"password": password}
    message = (
        "SNOWFLAKE_PRIVATE_KEY or SNOWFLAKE_PASSWORD: expected one of them in the environment, got neither"
    )
    raise ConfigError(message)


def _private_key(pem: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    passphrase = os.environ.get("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE")
    try:
        key = load_pem_private_key(pem.encode(), passphrase.encode() if passphrase else None)
    except (ValueError, TypeError):
        message = "SNOWFLAKE_PRIVATE_KEY: expected a private key in PEM, which SNOWFLAKE_PRIVATE_KEY_PASSPHRASE opens"
        raise ConfigError(message) from None  # the chain could quote the key
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _staged(columns: Sequence[Property], rows: pa.Table) -> pa.Table:
    """Return rows with the names c0, c1, … and with text where Parquet's type could be read in two ways."""
    arrays = {}
    for at, (prop, column) in enumerate(zip(columns, rows.combine_chunks().columns, strict=True)):
        array = column.chunk(0) if column.num_chunks else pa.array([], column.type)
        convert = _STAGED[prop.type]
        arrays[f"c{at}"] = array if convert is None else convert(array, prop)
    return pa.table(arrays)


_STAGED: Mapping[ValueType, Callable[[pa.Array, Property], pa.Array] | None] = by_type(
    {
        "timestamp": lambda array, _: pc.strftime(array, _INSTANT),
        "date": lambda array, _: array.cast(pa.string()),
        "object": json_text,
        "array": json_text,
        "string": None,
        "uuid": None,
        "integer": None,
        "float": None,
        "decimal": None,
        "boolean": None,
        "json": None,
    }
)


def _staged_value(prop: Property, source: str) -> str:
    """Return the SQL that reads the value of a property from a staged file."""
    sql_type = DIALECT.type_of(prop)
    return f"PARSE_JSON({source}::VARCHAR)" if sql_type == "VARIANT" else f"{source}::{sql_type}"


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column; times are cut to those that Python has."""
    if pa.types.is_timestamp(column.type):
        return [from_micros(value) for value in column.cast(pa.int64()).to_pylist()]
    return column.to_pylist()  # type: ignore[no-any-return]


def _server_message(error: Any) -> str:
    return " ".join(str(error.raw_msg or error).split())


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()
