"""SQLite: a segment's rows, its counts and its row of `_segments` are one transaction of one file.

`sqlite:///out/w.db` (relative) or `sqlite:////data/w.db` (absolute), as in SQLAlchemy. Any number of workers on one
machine take turns: the file is in WAL mode, so readers are never in their way, and a writer waits for the one before.
Tables are STRICT. Decimals, instants, dates and UUIDs are TEXT, since SQLite has no exact types for them: all their
digits, and `YYYY-MM-DDTHH:MM:SS.ffffffZ`, which sorts by time and which SQLite's own functions read. Objects, arrays
and JSON are JSON text.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from sluice.arrow.schema import table_columns
from sluice.config.connectors import Connector
from sluice.config.options import option
from sluice.contracts import EVENT_ID_COLUMN, Contract, Property, ValueType, by_type
from sluice.contracts import Path as PropertyPath
from sluice.errors import ConfigError, quote
from sluice.warehouses.client_errors import client_errors, file_errors
from sluice.warehouses.column_fill import fill_column
from sluice.warehouses.dialect import Dialect
from sluice.warehouses.json_text import decimal_text, instant_text, json_text
from sluice.warehouses.row_errors import Blame, RowError, RowsRejected
from sluice.warehouses.schema_diff import Column, Difference, TableSchema, compare, missing_columns
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.segment_records import (
    RowCounts,
    SegmentRecords,
    read_row_counts,
    read_segment_records,
)
from sluice.warehouses.sqlite_tables import DIALECT, STATUS_VIEW_SQL, SYSTEM, create_table_sql
from sluice.warehouses.status_view import has_status
from sluice.warehouses.system_tables import SystemTable
from sluice.warehouses.transactional import Connection as Transactional
from sluice.warehouses.transactional import (
    InsertConflictClaim,
    copy_row_sql,
    load_segment,
    read_row_errors,
    transaction,
)
from sluice.warehouses.transactional_days import LogsByDay, Result
from sluice.warehouses.transactional_rejected import load_rejected

BUSY_SECONDS = 60.0
"""How long a worker waits for another one's transaction."""


@dataclass(frozen=True, slots=True)
class SQLiteWarehouse(LogsByDay):
    """Tables in one file; `file` is its absolute path.

    Guarantee: each segment is loaded at most once, however often it is offered: its row of `_segments` is in the same
    transaction. A kill at any point leaves nothing of a segment, or all of it.
    """

    file: str

    def check_contracts(self, contracts: Sequence[Contract]) -> None:
        """Check that SQLite can hold the tables of `contracts`; connects to nothing."""
        for contract in contracts:
            create_table_sql(contract)

    def prepare(self, contracts: Sequence[Contract]) -> None:
        """Create file, tables and view where they are missing; two runs that start together take turns.

        Raises:
            ConfigError: a contract asks for what SQLite cannot hold.
            WarehouseError: the file is no SQLite database, or cannot be written.

        """
        tables = [create_table_sql(contract) for contract in contracts]
        if has_status(contracts):
            tables.append(STATUS_VIEW_SQL)
        with file_errors(self.file):
            Path(self.file).parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            with connection.transaction():
                for statement in (*SYSTEM, *tables):
                    connection.execute(statement)

    def local_files(self, tables: Collection[str]) -> Collection[Path]:
        """Return the file, which has all tables."""
        return [Path(self.file)] if tables else []

    def row_errors(self, segment_id: str, minute: int) -> list[RowError] | None:
        """Return the lines that were rejected when the segment was loaded; None if it is not loaded."""
        del minute
        with self._connection() as connection:
            return read_row_errors(connection, segment_id)

    def load(self, load: SegmentLoad) -> list[RowError]:
        """Load one segment in one transaction; return all rejected lines, those that SQLite rejected included.

        Raises:
            WarehouseError: the file is busy for longer than a minute, or cannot be written; nothing is loaded.

        """
        with self._connection() as connection:
            return load_segment(connection, load, InsertConflictClaim())

    def load_rejected(self, load: SegmentLoad) -> list[RowError]:
        """Load the rows that were rejected of a segment, in one transaction; return the lines still rejected."""
        with self._connection() as connection:
            return load_rejected(connection, load, InsertConflictClaim())

    def fill_column(self, loads: Sequence[SegmentLoad], column: str) -> int:
        """Replace rows that lack a value of `column` and have one now, in a transaction for each segment."""
        with self._connection() as connection:
            return sum(
                fill_column(connection, DIALECT, load, column, InsertConflictClaim()) for load in loads
            )

    def at_work(self, work: Callable[[Transactional], Result]) -> Result:
        """Do `work` with the file opened for it."""
        with self._connection() as connection:
            return work(connection)

    def segment_records(self, day: date | None = None) -> SegmentRecords:
        """Yield the loaded segments, or those of a UTC day, in pages."""
        return read_segment_records(self._query, day)

    def row_counts(self, contract: Contract) -> RowCounts:
        """Yield the ids of segments and how many rows of each the contract's table has, in pages."""
        return read_row_counts(self._query, DIALECT.quote_name(contract.table))

    def differences(self, contracts: Sequence[Contract]) -> list[list[Difference] | None]:
        """Return for each contract how its table differs from what `prepare` would make; None if there is no table."""
        with self._connection() as connection:
            return [_differences(connection, contract) for contract in contracts]

    def add_columns(self, contract: Contract, paths: Collection[PropertyPath]) -> None:
        """Add the columns at `paths`, which may be null."""
        table = DIALECT.quote_name(contract.table)
        with self._connection() as connection, connection.transaction():
            missing = missing_columns(_differences(connection, contract) or [])  # others may have added some
            for column in contract.columns:
                if (column.name,) in paths and (column.name,) in missing:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {DIALECT.column(column)}")

    @property
    def dialect(self) -> Dialect:
        """What its SQL looks like."""
        return DIALECT

    def ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns of a query's result, and its rows."""
        with self._connection() as connection:
            return connection.ask(sql)

    def execute(self, create: str, changes: Sequence[str]) -> None:
        """Run statements in one transaction."""
        with self._connection() as connection, connection.transaction():
            for statement in (create, *changes):
                connection.execute(statement)

    def _query(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._connection() as connection:
            return connection.execute(sql, values)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Open the file for one operation: closing it in the midst of a transaction rolls back."""
        with file_errors(self.file), _sqlite_errors(self.file):
            # Without isolation level the driver begins no transactions of its own.
            opened = sqlite3.connect(self.file, timeout=BUSY_SECONDS, isolation_level=None)
            with closing(opened):
                yield Connection(self.file, opened)


def _file(text: str, where: str) -> str:
    if text == ":memory:":
        message = f"{where}: expected the path of a file, got {quote(text)}"
        raise ConfigError(message)
    return text


@dataclass(frozen=True, kw_only=True)
class SQLiteConnector(Connector[SQLiteWarehouse]):
    """Tables of one SQLite file."""

    schemes = ("sqlite",)
    shape = "sqlite:///PATH"
    place = re.compile(r"/(?P<path>.+)", re.DOTALL)
    options_after = ""
    has_authority = False

    path: str = option(
        "SQLite file; it is created if it is missing", example="out/warehouse.db", parse=_file, part=True
    )

    def open(self) -> SQLiteWarehouse:
        """Return the warehouse."""
        return SQLiteWarehouse(os.path.abspath(self.path))


class Connection:
    """An open file, whose transactions are begun and ended by SQL."""

    def __init__(self, file: str, opened: sqlite3.Connection) -> None:
        """Use a connection that is in autocommit mode; `file` is named by errors."""
        self._file = file
        self._opened = opened

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with `?` for each value; return its rows."""
        texts = [_instant(value) if isinstance(value, datetime) else value for value in values]
        with _sqlite_errors(self._file):
            return self._opened.execute(sql, texts).fetchall()

    def ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns of a query's result, and its rows."""
        with _sqlite_errors(self._file):
            cursor = self._opened.execute(sql)
            return [column[0] for column in cursor.description or ()], cursor.fetchall()

    def transaction(self) -> AbstractContextManager[None]:
        """Commit what the block does, or nothing of it."""
        # Immediate: a transaction that reads first and then wants to write fails while another one writes.
        return transaction(self, "BEGIN IMMEDIATE")

    def insert(self, contract: Contract, rows: pa.Table) -> None:
        """Insert rows into the contract's table; raises RowsRejected for what they hold."""
        columns = {
            prop.name: _STORED[prop.type](array, prop)
            for prop, array in zip(table_columns(contract), rows.combine_chunks().columns, strict=True)
        }
        with _rejections():
            self._insert(contract.table, columns)

    def copy_row(self, contract: Contract) -> bool:
        """Insert a copy of any row of the contract's table; False if it has none, RowsRejected if it takes none."""
        with _sqlite_errors(self._file), _rejections():
            return self._opened.execute(copy_row_sql(DIALECT, contract)).rowcount > 0

    def append(self, table: SystemTable, rows: pa.Table) -> None:
        """Insert rows into one of Sluice's own tables."""
        named = zip(rows.column_names, rows.columns, strict=True)
        self._insert(
            table.name,
            {
                name: instant_text(column) if pa.types.is_timestamp(column.type) else column
                for name, column in named
            },
        )

    def _insert(self, table: str, columns: Mapping[str, pa.ChunkedArray]) -> None:
        names = ", ".join(map(DIALECT.quote_name, columns))
        placeholders = ", ".join("?" * len(columns))
        rows = zip(*(column.to_pylist() for column in columns.values()), strict=True)
        sql = f"INSERT INTO {DIALECT.quote_name(table)} ({names}) VALUES ({placeholders})"
        self._opened.executemany(sql, rows)


def _same(column: pa.ChunkedArray, _: Property) -> pa.ChunkedArray:
    return column


def _json(column: pa.ChunkedArray, prop: Property) -> pa.Array:
    return json_text(column.chunk(0), prop) if column.num_chunks else pa.nulls(0, pa.string())


_STORED: Mapping[ValueType, Callable[[pa.ChunkedArray, Property], pa.ChunkedArray | pa.Array]] = by_type(
    {
        "decimal": lambda column, _: decimal_text(column.combine_chunks()),
        "timestamp": lambda column, _: instant_text(column),
        "date": lambda column, _: column.cast(pa.string()),
        "object": _json,
        "array": _json,
        "string": _same,
        "uuid": _same,
        "integer": _same,
        "float": _same,
        "boolean": _same,
        "json": _same,
    }
)
"""How values are stored that SQLite has no type for; the others as they are, true as 1 and false as 0."""


_SERVER_ERRORS = frozenset(
    getattr(sqlite3, f"SQLITE_{name}")
    for name in (
        *("PERM", "BUSY", "LOCKED", "NOMEM", "READONLY", "INTERRUPT", "IOERR", "CORRUPT", "FULL", "CANTOPEN"),
        *("PROTOCOL", "SCHEMA", "MISUSE", "NOLFS", "AUTH", "NOTADB"),
    )
)
"""Of the file, the disk or another process; https://www.sqlite.org/rescode.html"""

_ROW_ERRORS = frozenset(
    {sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
)
"""Which no table causes without the row."""


@contextmanager
def _rejections() -> Iterator[None]:
    """Raise what SQLite says of rows, and not of the file, as RowsRejected."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)  # none: the driver's own
        if code & 0xFF in _SERVER_ERRORS:
            raise
        blame: Blame = "content" if isinstance(error, sqlite3.IntegrityError) else "unknown"
        raise RowsRejected(
            str(error), kind=f"{code} {error}", blame="row" if code in _ROW_ERRORS else blame
        ) from error


def _sqlite_errors(file: str) -> AbstractContextManager[None]:
    return client_errors(file, "an SQLite database that can be written", (sqlite3.Error,))


def _differences(connection: Connection, contract: Contract) -> list[Difference] | None:
    columns = table_columns(contract)
    expected = [Column((column.name,), DIALECT.type_of(column), column.required) for column in columns]
    names = {column.name.lower() for column in columns}
    rows = connection.execute(_COLUMNS, [contract.table])
    if not rows:
        return None
    # A column that is not the contract's is only required of a load if it has no default.
    actual = [
        Column((name,), sql_type, bool(not_null) and (name.lower() in names or default is None))
        for name, sql_type, not_null, default, _ in rows
    ]
    key = ", ".join(name for name, *_, key_position in rows if key_position)
    return compare(
        contract.table,
        TableSchema(expected, PRIMARY_KEY),
        TableSchema(actual, {"primary key": key or "none"}),
        DIALECT.fold_name,
    )


PRIMARY_KEY = {"primary key": EVENT_ID_COLUMN}
_COLUMNS = 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?) ORDER BY cid'


def _instant(time: datetime) -> str:
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
