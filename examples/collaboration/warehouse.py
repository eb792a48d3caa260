"""The three warehouses that `scripts/collaboration` builds: how each is asked, and how dbt is led to it."""

from __future__ import annotations

import getpass
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import tenacity
from sluice.errors import ConfigError
from sluice.warehouses import parse_warehouse
from sluice.warehouses.duckdb.connector import DuckDBConnector
from sluice.warehouses.postgres.connector import PostgresConnector
from sluice.warehouses.sqlite import SQLiteConnector

START_SECONDS = 20.0
"""How long a PostgreSQL server may take to start."""

_STARTING = ("Connection refused", "the database system is starting up", "could not translate host name")
"""What libpq says of a server that is not there yet."""


class CollaborationWarehouse(Protocol):
    """A warehouse that has the tables of collaboration."""

    url: str
    """As the user wrote it."""
    logs: Path
    """Where the event logs of such warehouses are."""

    def query(self, sql: str) -> pa.Table:
        """Return the answer to a query."""
        ...

    def execute(self, *statements: str) -> None:
        """Execute statements in one transaction."""
        ...

    def has_table(self, name: str) -> bool:
        """Tell whether there is a table of this name where Sluice's tables are."""
        ...


@dataclass(frozen=True)
class DuckDB:
    """The embedded warehouse."""

    url: str
    path: Path

    @property
    def logs(self) -> Path:
        """The folder of the event log."""
        return self.path.with_name(f"{self.path.name}-log")

    @property
    def dbt_environment(self) -> Mapping[str, str]:
        """What leads dbt to it."""
        return {"SLUICE_DBT_TARGET": "duckdb", "SLUICE_DUCKDB": str(self.path)}

    def query(self, sql: str) -> pa.Table:
        """Return the answer to a query."""
        with self._connect() as connection:
            return connection.sql(sql).to_arrow_table()

    def execute(self, *statements: str) -> None:
        """Execute statements in one transaction."""
        with self._connect() as connection:
            for statement in ("begin", *statements, "commit"):
                connection.execute(statement)

    def has_table(self, name: str) -> bool:
        """Tell whether there is a table or view of this name."""
        found = (
            f"select 1 from information_schema.tables where table_name = '{name}' and table_schema = 'main'"
        )
        return self.path.exists() and self.query(found).num_rows > 0

    def _connect(self) -> duckdb.DuckDBPyConnection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect(str(self.path))
        connection.execute("set timezone = 'UTC'")
        return connection


@dataclass(frozen=True)
class Postgres:
    """A schema of a PostgreSQL database."""

    url: str
    connector: PostgresConnector
    logs: Path

    @property
    def dbt_environment(self) -> Mapping[str, str]:
        """What leads dbt to it; what the URL leaves out is libpq's, as for Sluice."""
        connector = self.connector
        given = {
            "PGHOST": connector.host,
            "PGPORT": connector.port,
            "PGUSER": connector.user or os.environ.get("PGUSER", "") or getpass.getuser(),
            "PGPASSWORD": connector.password,
            "PGDATABASE": connector.dbname,
            "PGSSLMODE": connector.sslmode,
            "PGSSLROOTCERT": connector.sslrootcert,
            "PGPASSFILE": connector.passfile,
        }
        named = {name: value for name, value in given.items() if value}
        return {**named, "SLUICE_DBT_TARGET": "postgres", "SLUICE_SCHEMA": connector.schema}

    def query(self, sql: str) -> pa.Table:
        """Return the answer to a query."""
        with self._cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    def execute(self, *statements: str) -> None:
        """Execute statements in one transaction."""
        with self._cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def has_table(self, name: str) -> bool:
        """Tell whether there is a table of this name in the schema."""
        answer = self.query(f"select 1 where to_regclass('{name}') is not null")
        return bool(answer.num_rows)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with self._connect() as connection, connection.cursor() as cursor:
            quoted = self.connector.schema.replace('"', '""')
            cursor.execute(f"select to_regnamespace('\"{_literal(quoted)}\"') is null")
            # Without the right to create schemas, `if not exists` fails also where the schema exists.
            if cursor.fetchone()[0]:
                cursor.execute(f'create schema "{quoted}"')
            cursor.execute(f'set search_path to "{quoted}"')
            cursor.execute("set timezone to 'UTC'")
            yield cursor
            connection.commit()

    def _connect(self) -> Any:
        """Connect; a server that was started together with this process gets time to start."""
        from adbc_driver_postgresql import dbapi

        names = ("user", "password", "host", "port", "dbname", "sslmode", "sslrootcert", "passfile")
        options = {
            name: str(getattr(self.connector, name)) for name in names if getattr(self.connector, name)
        }
        text = " ".join(f"{name}='{_libpq(value)}'" for name, value in options.items())
        try:
            return _when_started(dbapi.connect, text)
        except dbapi.Error as error:
            message = f"--warehouse: PostgreSQL cannot be reached: {str(error).strip().splitlines()[-1]}"
            raise ConfigError(message) from None


@dataclass(frozen=True)
class SQLite:
    """One SQLite file."""

    url: str
    path: Path

    @property
    def logs(self) -> Path:
        """The folder of the event log."""
        return self.path.with_name(f"{self.path.name}-log")

    def query(self, sql: str) -> pa.Table:
        """Return the answer to a query."""
        connection = self.connect()
        try:
            cursor = connection.execute(sql)
            names = [column[0] for column in cursor.description]
            columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(names)
            return pa.table([pa.array(column) for column in columns], names=names)
        finally:
            connection.close()

    def execute(self, *statements: str) -> None:
        """Execute statements in one transaction, with foreign keys enforced."""
        connection = self.connect()
        try:
            for statement in ("begin immediate", *statements, "commit"):
                connection.execute(statement)
        finally:
            connection.close()

    def has_table(self, name: str) -> bool:
        """Tell whether there is a table of this name."""
        found = f"select 1 as one from sqlite_master where type = 'table' and name = '{name}'"
        return self.path.exists() and self.query(found).num_rows > 0

    def connect(self) -> sqlite3.Connection:
        """Connect; `lower` knows all alphabets, as that of the other warehouses does."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=60)
        connection.create_function("lower", 1, _lower, deterministic=True)
        connection.execute("pragma foreign_keys = on")
        return connection


def open_warehouse(url: str, logs: Path) -> DuckDB | Postgres | SQLite:
    """Return the warehouse at a URL; `logs` is the folder for event logs of servers.

    Raises:
        ConfigError: it is none of the three.

    """
    connector = parse_warehouse(url)
    if isinstance(connector, DuckDBConnector):
        return DuckDB(url, Path(connector.path).absolute())
    if isinstance(connector, SQLiteConnector):
        return SQLite(url, Path(connector.path).absolute())
    if isinstance(connector, PostgresConnector):
        connector.check_client()
        return Postgres(url, connector, logs)
    message = (
        "--warehouse: expected duckdb:///PATH, sqlite:///PATH or postgresql://USER@HOST/DATABASE, got another"
    )
    raise ConfigError(message)


def _is_starting(error: BaseException) -> bool:
    return any(text in str(error) for text in _STARTING)


_when_started = tenacity.Retrying(
    retry=tenacity.retry_if_exception(_is_starting),
    stop=tenacity.stop_after_delay(START_SECONDS),
    wait=tenacity.wait_fixed(0.5),
    reraise=True,
)


def _libpq(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _literal(text: str) -> str:
    return text.replace("'", "''")


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()
