"""A connection to PostgreSQL through ADBC, which copies Arrow tables in as they are."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sluice.arrow.schema import table_columns
from sluice.contracts import Contract, Property, ValueType, by_type
from sluice.errors import WarehouseError
from sluice.warehouses.client_errors import client_errors
from sluice.warehouses.dialect import split_at_placeholders
from sluice.warehouses.json_text import json_text
from sluice.warehouses.postgres.tables import DIALECT
from sluice.warehouses.row_errors import Blame, RowsRejected
from sluice.warehouses.system_tables import SystemTable
from sluice.warehouses.transactional import copy_row_sql, transaction

SETTINGS = (
    "SET standard_conforming_strings = on",
    "SET lock_timeout = '60s'",
    "SET idle_in_transaction_session_timeout = '60s'",
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
    "SET client_min_messages = warning",
)
"""With these the server ends the connection of a worker that has vanished, and rolls back its transaction."""

_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_NO_UUID = "00000000-0000-0000-0000-000000000000"
_JSONB = b"\x01"
"""The version that jsonb's binary form begins with."""
_SERVER = ("08", "0A", "25", "28", "3D", "3F", "40", "53", "55", "57", "58", "F0", "XX001", "XX002", "42501")
"""SQLSTATEs, or their classes, of connection, permission, transactions, memory, disk, locks and shutdowns.
https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_STATEMENT = "42"
"""Class of SQLSTATE for a statement that does not fit the tables; a trigger's own statement may depend on the row."""
_CONTENT = ("22", "23", "54", "P0")
"""Classes for data exceptions, broken constraints, limits of a row, and what a trigger raises."""
_OF_ROW = ("22021", "22P05", "23505")
"""A character that cannot be stored, and a key that is there: no table causes these without the row."""
_ROW_AS_DETAIL = ("23502", "23514")
"""A missing value and a broken check: the detail is the whole row, which the dead letter holds anyway."""


class PostgresConnection:
    """One connection, whose transactions are begun and ended by SQL."""

    def __init__(self, url: str, schema: str, options: Mapping[str, str]) -> None:
        """Connect; raises WarehouseError, which names `url` and never the password of `options`."""
        from adbc_driver_postgresql import dbapi

        self._url, self._schema = url, schema
        self._secrets = [options[key] for key in ("password",) if key in options]
        with self._errors():
            self._adbc = dbapi.connect(_conninfo(options), autocommit=True)
        try:
            for statement in SETTINGS:
                self.execute(statement)
            self.execute(f"SET search_path TO {DIALECT.quote_name(schema)}")
        except WarehouseError:
            self.close()
            raise

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with `?` for each value; return its rows."""
        if values:
            parts = split_at_placeholders(sql)
            literals = [*map(_literal, values), ""]
            sql = "".join(text for pair in zip(parts, literals, strict=True) for text in pair)
        with self._errors(), self._adbc.cursor() as cursor:
            # Not bound: the driver would end a transaction that was begun by SQL, and it cannot go on after an
            # error in one that it began itself.
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns of a query's result, and its rows; times are in UTC."""
        self.execute("SET TimeZone = 'UTC'")
        with self._errors(), self._adbc.cursor() as cursor:
            cursor.execute(sql)
            return [column[0] for column in cursor.description or ()], cursor.fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block does, or nothing of it."""
        with transaction(self, "BEGIN"):
            # A deferred constraint would reject rows at the commit, where they can no longer be bisected.
            self.execute("SET CONSTRAINTS ALL IMMEDIATE")
            yield

    def insert(self, contract: Contract, rows: pa.Table) -> None:
        """Copy rows into the contract's table; raises RowsRejected for what they hold."""
        binary = _binary(contract, rows)
        with self._errors(), _rejections():
            self._copy(contract.table, binary)

    def copy_row(self, contract: Contract) -> bool:
        """Insert a copy of any row of the contract's table; False if it has none, RowsRejected if it takes none."""
        with self._errors(), _rejections(), self._adbc.cursor() as cursor:
            cursor.execute(f"{copy_row_sql(DIALECT, contract)} RETURNING 1")
            return bool(cursor.fetchall())

    def append(self, table: SystemTable, rows: pa.Table) -> None:
        """Copy rows into one of Sluice's own tables, whose columns take their binary form."""
        with self._errors():
            self._copy(table.name, rows)

    def close(self) -> None:
        """End the connection, and with it a transaction that is open."""
        with self._errors():
            self._adbc.close()

    def _copy(self, table: str, rows: pa.Table) -> None:
        with self._adbc.cursor() as cursor:
            cursor.adbc_ingest(table, rows, mode="append", db_schema_name=self._schema)

    def _errors(self) -> AbstractContextManager[None]:
        from adbc_driver_manager import Error

        expected = "a PostgreSQL server that works"
        return client_errors(self._url, expected, (Error,), _server_message, secrets=self._secrets)


@contextmanager
def _rejections() -> Iterator[None]:
    """Raise what PostgreSQL says of rows, and not of itself, as RowsRejected."""
    from adbc_driver_manager import Error

    try:
        yield
    except Error as error:
        state, details = error.sqlstate or "", _details(error)
        in_trigger = " function " in details.get(b"PG_DIAG_CONTEXT", "")
        if not state or state.startswith(_SERVER) or (state.startswith(_STATEMENT) and not in_trigger):
            raise
        blame: Blame = "row" if state in _OF_ROW else "content" if state.startswith(_CONTENT) else "unknown"
        kind = f"{state} {details.get(b'PG_DIAG_CONSTRAINT_NAME', '')}"
        raise RowsRejected(_server_message(error), kind=kind, blame=blame) from error


def _binary(contract: Contract, rows: pa.Table) -> pa.Table:
    """Return rows as COPY takes them: uuid as its 16 bytes, jsonb as its version and text."""
    columns = {}
    for prop, column in zip(table_columns(contract), rows.combine_chunks().columns, strict=True):
        array = column.chunk(0) if column.num_chunks else pa.array([], column.type)
        convert = _BINARY[prop.type]
        columns[prop.name] = array if convert is None else convert(array, prop)
    return pa.table(columns)


def _uuids(array: pa.Array, prop: Property) -> pa.Array:
    wrong = pc.invert(pc.match_substring_regex(array, _UUID))
    if pc.any(wrong).as_py():
        first = array.filter(wrong)[0].as_py()
        message = f"{prop.name}: expected a UUID, got {first[:60]!r}"
        raise RowsRejected(message, blame="row")
    hexadecimal = pc.replace_substring(pc.fill_null(array, _NO_UUID), "-", "")
    _, _, digits = hexadecimal.buffers()
    raw = pa.py_buffer(binascii.unhexlify(memoryview(digits)[: 32 * len(array)]))
    made = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(array), [None, raw])
    return pc.if_else(array.is_valid(), made, pa.scalar(None, pa.binary(16)))


def _jsonb(array: pa.Array, prop: Property) -> pa.Array:
    text = json_text(array, prop).cast(pa.binary())
    return pc.binary_join_element_wise(pa.scalar(_JSONB), text, pa.scalar(b""))


_BINARY: Mapping[ValueType, Callable[[pa.Array, Property], pa.Array] | None] = by_type(
    {
        "uuid": _uuids,
        "json": _jsonb,
        "object": _jsonb,
        "array": _jsonb,
        "string": None,
        "integer": None,
        "float": None,
        "decimal": None,
        "boolean": None,
        "timestamp": None,
        "date": None,
    }
)


def _conninfo(options: Mapping[str, str]) -> str:
    """Return libpq's `key='value'` form, in which any character can be quoted."""
    quoted = {key: value.replace("\\", "\\\\").replace("'", "\\'") for key, value in options.items()}
    return " ".join(f"{key}='{value}'" for key, value in quoted.items())


def _details(error: Any) -> dict[bytes, str]:
    """Return the fields of PostgreSQL's error by name, such as PG_DIAG_CONTEXT."""
    return {key: value.decode("utf-8", "replace") for key, value in error.details}


def _server_message(error: Any) -> str:
    """Return PostgreSQL's message, detail and column in one line, or what ADBC says."""
    details = _details(error)
    primary = details.get(b"PG_DIAG_MESSAGE_PRIMARY")
    if primary is None:
        _, _, said = str(error).rpartition("[libpq] ")
        return " ".join(said.split())
    parts = [primary]
    if error.sqlstate not in _ROW_AS_DETAIL:
        parts.append(details.get(b"PG_DIAG_MESSAGE_DETAIL", ""))
    if column := re.search(r"^COPY .*, (column \w+)", details.get(b"PG_DIAG_CONTEXT", ""), re.MULTILINE):
        parts.append(column[1])
    return "; ".join(part.rstrip(".") for part in parts if part)


def _literal(value: str | int | datetime) -> str:
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.isoformat()}'"
    return str(value) if isinstance(value, int) else DIALECT.quote_text(value)
