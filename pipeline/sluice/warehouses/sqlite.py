"""SQLite: segments are inserted with their counts and their mark in one transaction of one file.

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
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from sluice.arrow.schema import ADDED, arrow_schema
from sluice.config.connectors import Connector
from sluice.config.options import option
from sluice.contracts import Contract, Property, ValueType
from sluice.elements import DEAD_LETTER
from sluice.errors import ConfigError, ContractError, WarehouseError
from sluice.warehouses.json_text import decimal_text, instant_text, json_text
from sluice.warehouses.row_errors import RowError, RowsRejected
from sluice.warehouses.schema_diff import Column, Difference, TableSchema, compare, missing_columns
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.transactional import (
    COUNT_PARTS,
    COUNTS,
    REFUSALS,
    SEGMENTS,
    load_segment,
    read_row_errors,
)

BUSY_SECONDS = 60.0
"""How long a worker waits for another one's transaction."""

SCALARS: dict[ValueType, str] = {
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

SYSTEM = (
    f"""CREATE TABLE IF NOT EXISTS {SEGMENTS} (
    segment_id TEXT NOT NULL PRIMARY KEY,
    event_type TEXT NOT NULL,
    path TEXT NOT NULL,
    minute TEXT NOT NULL,
    events INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    ingested_at TEXT NOT NULL
) STRICT""",
    f"""CREATE TABLE IF NOT EXISTS {REFUSALS} (
    segment_id TEXT NOT NULL,
    line INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (segment_id, line)
) STRICT""",
    f"""CREATE TABLE IF NOT EXISTS {COUNT_PARTS} (
    segment_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    window_start TEXT NOT NULL,
    window_end TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (segment_id, window_start, event_type)
) STRICT""",
    f"""CREATE VIEW IF NOT EXISTS {COUNTS} AS
SELECT event_type, window_start, window_end, sum(events) AS events
FROM {COUNT_PARTS}
WHERE event_type <> '{DEAD_LETTER}'
GROUP BY event_type, window_start, window_end""",
)
"""Tables and view that Sluice keeps beside those of the contracts."""


@dataclass(frozen=True, slots=True)
class SQLiteWarehouse:
    """Tables in one file; `file` is its absolute path.

    Guarantee: each segment is loaded once, whoever loads it how often: its row in `_segments` is in the same
    transaction. A kill at any point leaves nothing of a segment, or all of it.
    """

    file: str

    def prepare(self, contracts: Sequence[Contract]) -> None:
        """Create file, tables and view where they are missing; two runs that start together take turns.

        Raises:
            ConfigError: a contract asks for what SQLite cannot hold.
            WarehouseError: the file is no SQLite database, or cannot be written.

        """
        tables = [create_table_sql(contract) for contract in contracts]
        with _clear_errors(self.file):
            Path(self.file).parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            for statement in (*SYSTEM, *tables):
                connection.execute(statement)
            connection.execute("COMMIT")

    def row_errors(self, segment_id: str, minute: int) -> list[RowError] | None:
        """Return the lines refused when the segment was loaded; None if it is not loaded."""
        del minute
        with self._connection() as connection:
            return read_row_errors(connection, segment_id)

    def load(self, load: SegmentLoad) -> list[RowError]:
        """Load one segment in one transaction; return all refused lines, those that SQLite refused included.

        Raises:
            WarehouseError: the file is busy for longer than a minute, or cannot be written; nothing is loaded.

        """
        with self._connection() as connection:
            # Immediate: a transaction that reads first and then wants to write is refused while another writes.
            connection.execute("BEGIN IMMEDIATE")
            done = load_segment(connection, load)
            connection.execute("COMMIT")
            return done

    def differences(self, contract: Contract) -> list[Difference] | None:
        """Return how the contract's table differs from what `prepare` would make; None if there is no table."""
        with self._connection() as connection:
            return _differences(connection, contract)

    def add_columns(self, contract: Contract, paths: Collection[str]) -> None:
        """Add the columns at `paths`, which may be null."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            missing = missing_columns(_differences(connection, contract) or [])  # by now
            for each in contract.columns:
                if each.name in paths and each.name in missing:
                    connection.execute(
                        f"ALTER TABLE {_name(contract.table)} ADD COLUMN {_name(each.name)} {SCALARS[each.type]}"
                    )
            connection.execute("COMMIT")

    def create_table_sql(self, contract: Contract) -> str:
        """Return the DDL of the contract's table; see the function of this name."""
        return create_table_sql(contract)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Open the file for one operation: closing it in the midst of a transaction rolls back."""
        with _clear_errors(self.file):
            # Without isolation level the driver begins no transactions of its own.
            opened = sqlite3.connect(self.file, timeout=BUSY_SECONDS, isolation_level=None)
            with closing(opened):
                yield Connection(opened)


def _file(text: str, where: str) -> str:
    if text == ":memory:":
        message = f"{where}: expected the path of a file, got {text!r}"
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

    def __init__(self, opened: sqlite3.Connection) -> None:
        """Use a connection that is in autocommit mode."""
        self._opened = opened

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with `?` for each value; return its rows."""
        texts = [_instant(value) if isinstance(value, datetime) else value for value in values]
        return self._opened.execute(sql, texts).fetchall()

    def insert(self, contract: Contract, rows: pa.Table) -> None:
        """Insert rows into the contract's table; raises RefusedRows for what they hold."""
        columns = {
            prop.name: _STORED.get(prop.type, _same)(array, prop)
            for prop, array in zip((*contract.columns, *ADDED), rows.combine_chunks().columns, strict=True)
        }
        try:
            self._insert(contract.table, columns)
        except (sqlite3.IntegrityError, sqlite3.DataError) as error:
            raise RowsRejected(str(error)) from error

    def append(self, table: str, rows: pa.Table) -> None:
        """Insert rows into one of Sluice's own tables."""
        named = zip(rows.column_names, rows.columns, strict=True)
        self._insert(
            table,
            {name: instant_text(each) if pa.types.is_timestamp(each.type) else each for name, each in named},
        )

    def _insert(self, table: str, columns: Mapping[str, pa.ChunkedArray]) -> None:
        names = ", ".join(map(_name, columns))
        places = ", ".join("?" * len(columns))
        rows = zip(*(column.to_pylist() for column in columns.values()), strict=True)
        self._opened.executemany(f"INSERT INTO {_name(table)} ({names}) VALUES ({places})", rows)


def _same(column: pa.ChunkedArray, _: Property) -> pa.ChunkedArray:
    return column


def _json(column: pa.ChunkedArray, prop: Property) -> pa.Array:
    return json_text(column.chunk(0), prop) if column.num_chunks else pa.nulls(0, pa.string())


_STORED: Mapping[ValueType, Callable[[pa.ChunkedArray, Property], pa.ChunkedArray | pa.Array]] = {
    "decimal": lambda column, _: decimal_text(column.combine_chunks()),
    "timestamp": lambda column, _: instant_text(column),
    "date": lambda column, _: column.cast(pa.string()),
    "object": _json,
    "array": _json,
}
"""How values are stored that SQLite has no type for; the others as they are, true as 1 and false as 0."""


def _differences(connection: Connection, contract: Contract) -> list[Difference] | None:
    columns = (*contract.columns, *ADDED)
    wanted = TableSchema(
        [Column(each.name, SCALARS[each.type], each.required) for each in columns], PRIMARY_KEY
    )
    names = {each.name.lower() for each in columns}
    rows = connection.execute(_COLUMNS, [contract.table])
    if not rows:
        return None
    found = [
        Column(name, kind, bool(required) and (name.lower() in names or default is None))
        for name, kind, required, default, _ in rows
    ]
    keys = ", ".join(name for name, *_, place in rows if place)
    return compare(contract.table, wanted, TableSchema(found, {"primary key": keys or "none"}))


PRIMARY_KEY = {"primary key": "_event_id"}
_COLUMNS = 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?) ORDER BY cid'


def system_sql() -> str:
    """Return what makes the tables and the view that Sluice keeps beside those of the contracts."""
    return ";\n".join(SYSTEM) + ";\n"


def create_table_sql(contract: Contract) -> str:
    """Return `CREATE TABLE IF NOT EXISTS` for SQLite, which keeps the descriptions with it as comments.

    Raises:
        ContractError: SQLite cannot hold a table of that name.

    """
    where = contract.path or contract.label
    if contract.table.lower() == COUNTS or contract.table.lower().startswith("sqlite_"):
        message = (
            f"{where}: table: expected a name that is not {COUNTS} and does not begin with sqlite_;"
            f" got {contract.table!r}"
        )
        raise ContractError(message)
    arrow_schema(contract)  # refuses reserved names and objects without properties
    columns = (*contract.columns, *ADDED)
    kinds = [f"{SCALARS[each.type]}{' NOT NULL' if each.required else ''}" for each in columns]
    lines = [
        f"    {_name(each.name)} {kind},{_comment(each.description)}"
        for each, kind in zip(columns, kinds, strict=True)
    ]
    head = f"CREATE TABLE IF NOT EXISTS {_name(contract.table)} ({_comment(contract.description)}"
    return "\n".join([head, *lines, '    PRIMARY KEY ("_event_id")', ") STRICT;"]) + "\n"


def _comment(description: str) -> str:
    return f" -- {' '.join(description.split())}" if description else ""


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@contextmanager
def _clear_errors(file: str) -> Iterator[None]:
    """Turn what disks and SQLite raise into one line that names the file."""
    try:
        yield
    except OSError as error:
        message = (
            f"{error.filename or file}: expected to read or write the warehouse: {error.strerror or error}"
        )
        raise WarehouseError(message) from error
    except sqlite3.Error as error:
        message = f"{file}: expected an SQLite database that can be written: {error}"
        raise WarehouseError(message) from error


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
