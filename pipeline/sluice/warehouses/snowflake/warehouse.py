"""Snowflake: a segment's rows, its counts and its row of `_segments` are one transaction.

`snowflake://user@account/database/schema?warehouse=…&role=…`, as in SQLAlchemy, but for the secrets: a private key
(`SNOWFLAKE_PRIVATE_KEY`, PEM, with `SNOWFLAKE_PRIVATE_KEY_PASSPHRASE` if it has one) or else a password
(`SNOWFLAKE_PASSWORD`) comes from the environment.

Rows are staged as Parquet (PUT) and appended (COPY INTO). Snowflake enforces no primary key, and of two transactions
that insert the same neither waits. So the last two statements of each are an UPDATE of the one row of `_load_lock`,
which waits for whoever updated it and has not yet committed, and an INSERT into `_segments` unless the segment is
there, which sees what has been committed since. Who inserts nothing rolls back. The lock is held for these two
statements and the commit; copying is not locked. Tables are made in `prepare` alone, as DDL would end a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
import tenacity

from sluice.arrow.schema import ADDED, arrow_schema
from sluice.arrow.window_counts import WindowCount
from sluice.contracts import Contract, Property
from sluice.elements import DEAD_LETTER, Segment
from sluice.errors import ContractError
from sluice.warehouses.connection_cache import Held
from sluice.warehouses.row_errors import RowError, RowsRejected, insert_with_bisection
from sluice.warehouses.schema_diff import Column, Difference, TableSchema, compare
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.snowflake.connection import (
    STAGE,
    TYPES,
    Conflict,
    Connection,
    family,
    listed_type,
    quoted_name,
    quoted_text,
)
from sluice.warehouses.timestamps import from_micros

SEGMENTS = "_segments"
REFUSALS = "_refusals"
COUNT_PARTS = "_event_counts"
COUNTS = "event_counts"
LOCK = "_load_lock"

SYSTEM = {
    SEGMENTS: f"""CREATE TABLE IF NOT EXISTS {quoted_name(SEGMENTS)} (
    "SEGMENT_ID" VARCHAR NOT NULL PRIMARY KEY,
    "EVENT_TYPE" VARCHAR NOT NULL,
    "PATH" VARCHAR NOT NULL,
    "MINUTE" TIMESTAMP_TZ NOT NULL,
    "EVENTS" NUMBER(19,0) NOT NULL,
    "REFUSED" NUMBER(19,0) NOT NULL,
    "INGESTED_AT" TIMESTAMP_TZ NOT NULL
)
COMMENT = 'Segments of the log that are loaded, each once.'""",
    REFUSALS: f"""CREATE TABLE IF NOT EXISTS {quoted_name(REFUSALS)} (
    "SEGMENT_ID" VARCHAR NOT NULL,
    "LINE" NUMBER(19,0) NOT NULL,
    "REASON" VARCHAR NOT NULL
)
COMMENT = 'Lines of loaded segments that could not become rows.'""",
    COUNT_PARTS: f"""CREATE TABLE IF NOT EXISTS {quoted_name(COUNT_PARTS)} (
    "SEGMENT_ID" VARCHAR NOT NULL,
    "EVENT_TYPE" VARCHAR NOT NULL,
    "WINDOW_START" TIMESTAMP_TZ NOT NULL,
    "WINDOW_END" TIMESTAMP_TZ NOT NULL,
    "EVENTS" NUMBER(19,0) NOT NULL
)
COMMENT = 'What each segment adds to the counts; {COUNTS} sums them.'""",
    LOCK: f"""CREATE TABLE IF NOT EXISTS {quoted_name(LOCK)} ("LOADS" NUMBER(19,0) NOT NULL)
COMMENT = 'Its row is updated by who is about to commit a segment, so that the next waits.'""",
    COUNTS: f"""CREATE VIEW IF NOT EXISTS {quoted_name(COUNTS)}
COMMENT = 'Events by type and window, exact however often events come late or again.'
AS
SELECT "EVENT_TYPE", "WINDOW_START", "WINDOW_END", SUM("EVENTS") AS "EVENTS"
FROM {quoted_name(COUNT_PARTS)}
GROUP BY "EVENT_TYPE", "WINDOW_START", "WINDOW_END\"""",
}
"""Tables and view that Sluice keeps beside those of the contracts."""

AT_ONCE = 1000
"""Rows in one INSERT with VALUES; Snowflake takes 16,384."""

_COLUMNS = """SELECT column_name, data_type, numeric_precision, numeric_scale, is_nullable, column_default
FROM information_schema.columns WHERE UPPER(table_schema) = %s AND UPPER(table_name) = %s ORDER BY ordinal_position"""
_ADD_LOCK = f"INSERT INTO {LOCK} (loads) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM {LOCK})"
_TAKE_LOCK = f"UPDATE {LOCK} SET loads = loads + 1"
_CLAIM = f"""INSERT INTO {SEGMENTS} (segment_id, event_type, path, minute, events, refused, ingested_at)
SELECT %s, %s, %s, %s::TIMESTAMP_TZ, %s, %s, %s::TIMESTAMP_TZ
WHERE NOT EXISTS (SELECT 1 FROM {SEGMENTS} WHERE segment_id = %s)"""
_COUNT = f"INSERT INTO {COUNT_PARTS} (segment_id, event_type, window_start, window_end, events) VALUES "
_REFUSE = f"INSERT INTO {REFUSALS} (segment_id, line, reason) VALUES "


Result = TypeVar("Result")


class _LoadedMeanwhile(Exception):  # noqa: N818  not an error: it ends a transaction that came second
    """Another worker has committed the segment."""


@dataclass(frozen=True, slots=True)
class SnowflakeWarehouse:
    """Tables of one schema; `url` holds no password, `options` are the connector's.

    Guarantee: each segment is loaded once, whoever loads it how often: its row of `_segments` is in the same
    transaction. A connection that dies leaves nothing of a segment, or all of it.
    """

    url: str
    options: Mapping[str, Any] = field(repr=False)
    _held: Held[Connection] = field(default_factory=Held, init=False, repr=False, compare=False)

    def prepare(self, contracts: Sequence[Contract]) -> None:
        """Create schema, stage, tables and view that are missing.

        Raises:
            ConfigError: a contract asks for what Snowflake cannot hold, or the environment has no credentials.
            WarehouseError: Snowflake cannot be reached, or refuses.

        """
        tables = {contract.table: create_table_sql(contract).removesuffix(";\n") for contract in contracts}
        schema = str(self.options["schema"])

        def work(connection: Connection) -> None:
            in_schema = "WHERE UPPER(table_schema) = %s"
            found = connection.execute(
                "SELECT 1 FROM information_schema.schemata WHERE UPPER(schema_name) = %s", [schema.upper()]
            )
            if not found:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted_name(schema)}")
            connection.execute(f"CREATE STAGE IF NOT EXISTS {STAGE}")
            listed = f"SELECT DISTINCT table_name FROM information_schema.columns {in_schema}"
            there = {table for (table,) in connection.execute(listed, [schema.upper()])}
            for name, sql in (SYSTEM | tables).items():
                if name.upper() not in there:
                    connection.execute(sql)
            connection.execute(_ADD_LOCK)

        self._use(work)

    def row_errors(self, segment_id: str, minute: int) -> list[RowError] | None:
        """Return the lines refused when the segment was loaded; None if it is not loaded."""
        del minute
        return self._use(lambda connection: _read_row_errors(connection, segment_id))

    def load(self, load: SegmentLoad) -> list[RowError]:
        """Load one segment in one transaction; return all refused lines, those that Snowflake refused included.

        Raises:
            WarehouseError: Snowflake cannot be reached or fails; nothing of the segment is loaded, or all of it.

        """

        def work(connection: Connection) -> list[RowError]:
            known = _read_row_errors(connection, load.segment.id)
            if known is not None:
                return known
            try:
                return _commit(connection, load)
            except RowsRejected:
                rejected = insert_with_bisection(
                    load.rows, lambda rows: _try_rows(connection, load.contract, rows)
                )
            return _commit(connection, load.without_rows(rejected))

        def settled(connection: Connection) -> list[RowError]:
            try:
                return work(connection)
            except _LoadedMeanwhile:
                return _read_row_errors(connection, load.segment.id) or []

        return self._use(settled)

    def differences(self, contract: Contract) -> list[Difference] | None:
        """Return how the contract's table differs from what `prepare` would make; None if there is no table.

        How it is clustered is left out.
        """
        schema = str(self.options["schema"]).upper()
        rows = self._use(lambda connection: connection.execute(_COLUMNS, [schema, contract.table.upper()]))
        if not rows:
            return None
        columns = (*contract.columns, *ADDED)
        names = {each.name.upper() for each in columns}
        wanted = [Column(each.name, listed_type(each), each.required) for each in columns]
        found = [
            Column(name, kind, nullable == "NO" and (name in names or default is None))
            for name, *parts, nullable, default in rows
            for kind in [family(*parts)]
        ]
        return compare(contract.table, TableSchema(wanted), TableSchema(found))

    def add_columns(self, contract: Contract, paths: Collection[str]) -> None:
        """Add the columns at `paths`, which may be null."""
        table = quoted_name(contract.table)

        def work(connection: Connection) -> None:
            for each in contract.columns:
                if each.name in paths:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {_column(each)}")

        self._use(work)

    def create_table_sql(self, contract: Contract) -> str:
        """Return the DDL of the contract's table; see the function of this name."""
        return create_table_sql(contract)

    def _use(self, work: Callable[[Connection], Result]) -> Result:
        """Do `work` with the connection of this process; again after a pause if another worker was in the way."""
        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Conflict),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=3),
            stop=tenacity.stop_after_delay(60),
            reraise=True,
        )
        return self._held.use(
            lambda: Connection(self.url, self.options), lambda connection: again(work, connection)
        )


def _commit(connection: Connection, load: SegmentLoad) -> list[RowError]:
    """Load the rows and record the segment in one transaction; return its row errors.

    Raises:
        RowsRejected: because of what the rows hold, nothing was loaded.
        _LoadedMeanwhile: another worker loaded the segment, so nothing was loaded again.

    """
    segment, row_errors = load.segment, list(load.row_errors)
    mark = (segment.id, segment.event_type, segment.path, load.minute, load.events, len(row_errors))
    with connection.transaction():
        if load.rows.num_rows:
            connection.copy(load.contract, load.rows)
        if segment.event_type != DEAD_LETTER:
            _insert(connection, _COUNT, [_counted(segment, each) for each in load.window_counts])
        _insert(connection, _REFUSE, [(segment.id, line, reason) for line, reason in row_errors])
        connection.execute(_TAKE_LOCK)
        ((inserted,),) = connection.execute(_CLAIM, [*mark, load.ingested_at, segment.id])
        if not inserted:
            raise _LoadedMeanwhile
    return row_errors


def _counted(segment: Segment, window: WindowCount) -> tuple[Any, ...]:
    event_type = window.event_type or segment.event_type
    span = from_micros(window.window_start), from_micros(window.window_end)
    return segment.id, event_type, *span, window.events


def _try_rows(connection: Connection, contract: Contract, rows: pa.Table) -> None:
    """Raise RefusedRows if Snowflake does not take these rows; leave nothing of them."""
    try:
        with connection.transaction():
            connection.copy(contract, rows)
            raise _LoadedMeanwhile
    except _LoadedMeanwhile:
        pass


def _insert(connection: Connection, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    for at in range(0, len(rows), AT_ONCE):
        part = rows[at : at + AT_ONCE]
        places = ", ".join("(" + ", ".join(["%s"] * len(row)) + ")" for row in part)
        connection.execute(sql + places, [value for row in part for value in row])


def _read_row_errors(connection: Connection, segment_id: str) -> list[RowError] | None:
    known = connection.execute(f"SELECT refused FROM {SEGMENTS} WHERE segment_id = %s", [segment_id])
    if not known:
        return None
    sql = f"SELECT line, reason FROM {REFUSALS} WHERE segment_id = %s ORDER BY line"
    rows = connection.execute(sql, [segment_id]) if known[0][0] else []
    return [(int(line), reason) for line, reason in rows]


def system_sql() -> str:
    """Return the DDL of what Sluice keeps beside the tables of the contracts."""
    stage = f"CREATE STAGE IF NOT EXISTS {STAGE}"
    return ";\n\n".join([stage, *SYSTEM.values(), _ADD_LOCK]) + ";\n"


def create_table_sql(contract: Contract) -> str:
    """Return `CREATE TABLE IF NOT EXISTS` for Snowflake.

    Raises:
        ContractError: Snowflake cannot hold such a table.

    """
    _check_contract(contract)
    lines = [f"    {_column(each)}" for each in (*contract.columns, *ADDED)]
    day = f"TO_DATE({quoted_name(contract.event_time or '_ingested_at')})"
    clusters = ", ".join([day, *(quoted_name(each) for each in contract.cluster_by)])
    sql = f"CREATE TABLE IF NOT EXISTS {quoted_name(contract.table)} (\n" + ",\n".join(lines) + "\n)"
    sql += f"\nCLUSTER BY ({clusters})"
    if contract.description:
        sql += f"\nCOMMENT = {quoted_text(contract.description)}"
    return f"{sql};\n"


def _column(prop: Property) -> str:
    parts = [quoted_name(prop.name), TYPES[prop.type]]
    if prop.required:
        parts.append("NOT NULL")
    if prop.description:
        parts.append(f"COMMENT {quoted_text(prop.description)}")
    return " ".join(parts)


def _check_contract(contract: Contract) -> None:
    where = contract.path or contract.label
    arrow_schema(contract)  # refuses reserved names and objects without properties
    own = [name for name in SYSTEM if name.upper() == contract.table.upper()]
    if own:
        message = f"{where}: table: expected another name than Sluice's own {own[0]}, got {contract.table!r}"
        raise ContractError(message)
    seen: dict[str, str] = {}
    for each in (*contract.columns, *ADDED):
        if other := seen.setdefault(each.name.upper(), each.name):
            if other != each.name:
                message = f"{where}: property {each.name}: Snowflake cannot tell it from {other}; rename one"
                raise ContractError(message)
