"""Where the generic suite finds warehouses: one entry of `PLACES` for each kind, embedded or behind a server.

A kind is a context manager that starts what it needs, once in a test session, and yields a function that
makes an empty one for a test.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import duckdb
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from devservers import bigquery as bigquery_emulator
from devservers import postgres
from devservers import snowflake as snowflake_emulator


@dataclass(frozen=True)
class Backend:
    """An empty warehouse: its URL, and how to query it other than through the code under test.

    `environment` is what clients in this and in other processes need to reach it. Only where there is a server:
    `port` is its loopback port, `url_at` makes the URL through another port, that of a proxy, and `restart` kills
    the server and starts it again on its port.
    """

    url: str
    query: Callable[[str], list[tuple[Any, ...]]]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    url_at: Callable[[int], str] | None = None
    restart: Callable[[], None] | None = None
    stop: Callable[[], None] | None = None
    start: Callable[[], None] | None = None


MakeBackend = Callable[[Path], Backend]
"""Folder of a test -> an empty warehouse."""


@contextmanager
def _duckdb(_: Path) -> Iterator[MakeBackend]:
    def backend(folder: Path) -> Backend:
        file = folder / "w.duckdb"

        def query(sql: str) -> list[tuple[Any, ...]]:
            with duckdb.connect(str(file), read_only=True) as connection:
                connection.execute("SET timezone = 'UTC'")
                return connection.execute(sql).fetchall()

        return Backend(f"duckdb:///{file}", query)

    yield backend


@contextmanager
def _sqlite(_: Path) -> Iterator[MakeBackend]:
    def backend(folder: Path) -> Backend:
        file = folder / "w.db"

        def query(sql: str) -> list[tuple[Any, ...]]:
            with closing(sqlite3.connect(file)) as connection:
                return connection.execute(sql).fetchall()

        return Backend(f"sqlite:///{file}", query)

    yield backend


@contextmanager
def _postgres(_: Path) -> Iterator[MakeBackend]:
    from adbc_driver_postgresql import dbapi

    with postgres.start() as server:

        def backend(_: Path) -> Backend:
            schema = fresh_name()

            def url_at(port: int) -> str:
                return f"{server.url_at(port)}?schema={schema}"

            def query(sql: str) -> list[tuple[Any, ...]]:
                with (
                    dbapi.connect(server.url) as connection,
                    connection.cursor() as cursor,
                ):
                    cursor.execute(f"SET search_path TO {schema}")
                    cursor.execute(sql)
                    rows: list[tuple[Any, ...]] = cursor.fetchall()
                    return rows

            return Backend(
                url_at(server.port), query, {}, server.port, url_at, server.restart, server.stop, server.start
            )

        yield backend


@contextmanager
def _bigquery(folder: Path) -> Iterator[MakeBackend]:
    with bigquery_emulator.start(folder) as server:
        client = bigquery_client(server.address)

        def backend(_: Path) -> Backend:
            dataset = fresh_name()
            first = bigquery.ScalarQueryParameter("first", "TIMESTAMP", datetime.min.replace(tzinfo=UTC))
            default = bigquery.QueryJobConfig(
                default_dataset=f"{client.project}.{dataset}", query_parameters=[first]
            )

            def query(sql: str) -> list[tuple[Any, ...]]:
                # Tables of events refuse a query without a filter on the partition.
                sql = re.sub(
                    r"FROM (order_events|dead_letters)\b", r"FROM (SELECT * FROM \1 WHERE at >= @first)", sql
                )
                return [tuple(row.values()) for row in client.query_and_wait(sql, job_config=default)]

            return Backend(f"bigquery://{client.project}/{dataset}", query, server.environment)

        yield backend
        client.close()


def bigquery_client(endpoint: str) -> bigquery.Client:
    """Return a client of the emulator at `endpoint`."""
    return bigquery.Client(
        project="emulator",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]  # the client has no types
        client_options={"api_endpoint": endpoint},
    )


@contextmanager
def _snowflake(_: Path) -> Iterator[MakeBackend]:
    import snowflake.connector

    with snowflake_emulator.start() as server:

        def backend(_: Path) -> Backend:
            schema = fresh_name()

            def query(sql: str) -> list[tuple[Any, ...]]:
                with (
                    snowflake.connector.connect(
                        account="fakesnow",
                        user="tester",
                        password="secret",
                        database="DB",
                        schema=schema,
                        enable_server_session_keep_alive_auto_detection=False,
                        **server.settings,
                    ) as connection,
                    connection.cursor() as cursor,
                ):
                    # Names are kept in upper case.
                    cursor.execute(re.sub(r'"[^"]*"', lambda name: name[0].upper(), sql))
                    rows: list[tuple[Any, ...]] = cursor.fetchall()
                    return rows

            def url_at(port: int) -> str:
                query = urlencode(server.settings | {"port": port})
                return f"snowflake://tester@fakesnow/DB/{schema}?{query}"

            password = {"SNOWFLAKE_PASSWORD": "secret"}
            return Backend(url_at(server.port), query, password, server.port, url_at)

        yield backend


BACKENDS: Mapping[str, Callable[[Path], AbstractContextManager[MakeBackend]]] = {
    "duckdb": _duckdb,
    "postgres": _postgres,
    "sqlite": _sqlite,
    "bigquery": _bigquery,
    "snowflake": _snowflake,
}
"""Scheme -> what starts such a warehouse in a folder that outlives the session's tests."""

_numbers = itertools.count()


def fresh_name() -> str:
    """Return a name for a schema or data set that no other test of this session uses."""
    return f"test{next(_numbers)}"
