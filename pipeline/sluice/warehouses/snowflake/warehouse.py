"""Snowflake: a segment's rows, its counts and its row of `_segments` are one transaction.

`snowflake://user@account/database/schema?warehouse=…&role=…`, as in SQLAlchemy, but for the secrets: a private key
(`SNOWFLAKE_PRIVATE_KEY`, PEM, with `SNOWFLAKE_PRIVATE_KEY_PASSPHRASE` if it has one) or else a password
(`SNOWFLAKE_PASSWORD`) comes from the environment.

Rows are staged as Parquet (PUT) and appended (COPY INTO). Snowflake enforces no primary key, and of two transactions
that insert the same neither waits. So the last two statements of each are an UPDATE of the one row of `_load_lock`,
which waits for a transaction that has updated it and not yet committed, and an INSERT into `_segments` unless the
segment is there, which sees what has been committed since. A transaction that inserts nothing rolls back. The lock
is held for these two statements and the commit; copying is not locked. Tables are made in `prepare` alone, as DDL
would end a transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

from sluice.arrow.schema import table_columns
from sluice.contracts import Contract, Path
from sluice.contracts.reserved import STATUS_VIEW
from sluice.retry import RetryPolicy
from sluice.warehouses.column_fill import fill_column
from sluice.warehouses.connection_cache import ConnectionCache
from sluice.warehouses.dialect import Dialect
from sluice.warehouses.row_errors import RowError
from sluice.warehouses.schema_diff import Column, Difference, TableSchema, compare
from sluice.warehouses.segment_load import LoadCost, SegmentLoad
from sluice.warehouses.segment_records import (
    RowCounts,
    SegmentRecords,
    read_row_counts,
    read_segment_records,
)
from sluice.warehouses.snowflake.connection import Conflict, SnowflakeConnection
from sluice.warehouses.snowflake.tables import (
    DIALECT,
    STAGE,
    STATUS_VIEW_SQL,
    SYSTEM,
    column_sql,
    create_table_sql,
    listed_type,
    type_from_listing,
)
from sluice.warehouses.status_view import has_status
from sluice.warehouses.transactional import (
    CREATE_LOCK_ROW,
    RowLockClaim,
    create_and_change,
    load_segment,
    read_row_errors,
)
from sluice.warehouses.transactional_days import RowLockDays, load_segments, row_errors_of
from sluice.warehouses.transactional_rejected import load_rejected

CONFLICT_RETRY = RetryPolicy(
    60, errors=(Conflict,), first_pause=0.1, longest_pause=3, log_level=logging.DEBUG
)
"""Workers that commit at the same time are usual, so a conflict is nothing to warn of."""

MAX_VALUE = 16_000_000
"""A VARCHAR or VARIANT holds 16 MB: https://docs.snowflake.com/en/sql-reference/data-types-text"""

_COLUMNS = """SELECT column_name, data_type, numeric_precision, numeric_scale, is_nullable, column_default
FROM information_schema.columns WHERE UPPER(table_schema) = ? AND UPPER(table_name) = ? ORDER BY ordinal_position"""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SnowflakeWarehouse:
    """Tables of one schema; `url` holds no password, `options` are the connector's.

    Guarantee: each segment is loaded at most once, however often it is offered: its row of `_segments` is in the same
    transaction. A connection that dies leaves nothing of a segment, or all of it.
    """

    url: str
    options: Mapping[str, Any] = field(repr=False)
    _connections: ConnectionCache[SnowflakeConnection] = field(
        default_factory=ConnectionCache, init=False, repr=False, compare=False
    )

    def check_contracts(self, contracts: Sequence[Contract]) -> None:
        """Check that Snowflake can hold the tables of `contracts`; connects to nothing."""
        for contract in contracts:
            create_table_sql(contract)

    @property
    def max_row_bytes(self) -> int:
        """What a row of dead letters may hold: as much as one value of it."""
        return MAX_VALUE

    def prepare(self, contracts: Sequence[Contract]) -> None:
        """Create schema, stage, tables and view that are missing.

        Raises:
            ConfigError: a contract asks for what Snowflake cannot hold, or the environment has no credentials.
            WarehouseError: Snowflake cannot be reached, or rejects a statement.

        """
        tables = {contract.table: create_table_sql(contract).removesuffix(";\n") for contract in contracts}
        if has_status(contracts):
            tables[STATUS_VIEW] = STATUS_VIEW_SQL.removesuffix(";\n")
        schema = str(self.options["schema"])

        def work(connection: SnowflakeConnection) -> None:
            schemata = "SELECT 1 FROM information_schema.schemata WHERE UPPER(schema_name) = ?"
            if not connection.execute(schemata, [schema.upper()]):
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {DIALECT.quote_name(schema)}")
            connection.execute(f"CREATE STAGE IF NOT EXISTS {STAGE}")
            listing = (
                "SELECT DISTINCT table_name FROM information_schema.columns WHERE UPPER(table_schema) = ?"
            )
            existing = {table for (table,) in connection.execute(listing, [schema.upper()])}
            for name, sql in (SYSTEM | tables).items():
                if name.upper() not in existing:
                    connection.execute(sql)
            connection.execute(CREATE_LOCK_ROW)

        self._use(work)

    def row_errors(self, segment_id: str, minute: int) -> list[RowError] | None:
        """Return the lines that were rejected when the segment was loaded; None if it is not loaded."""
        del minute
        return self._use(lambda connection: read_row_errors(connection, segment_id))

    def load(self, load: SegmentLoad) -> list[RowError]:
        """Load one segment in one transaction; return all rejected lines, those that Snowflake rejected included.

        Raises:
            WarehouseError: Snowflake cannot be reached or fails; nothing of the segment is loaded, or all of it.

        """

        def work(connection: SnowflakeConnection) -> list[RowError]:
            row_errors = read_row_errors(connection, load.segment.id)
            return load_segment(connection, load, RowLockClaim()) if row_errors is None else row_errors

        return self._use(work)

    def load_rejected(self, load: SegmentLoad) -> list[RowError]:
        """Load the rows that were rejected of a segment, in one transaction; return the lines still rejected."""
        return self._use(lambda connection: load_rejected(connection, load, RowLockClaim()))

    @property
    def load_cost(self) -> LoadCost:
        """One PUT, one COPY INTO and one commit, however many segments they load."""
        return LoadCost("one load, in one transaction,", "loads, each in one transaction,")

    @property
    def coalesces(self) -> bool:
        """Return True: a load takes a dozen round trips, and the warehouse runs, and costs, while they last."""
        return True

    @property
    def coalesces_logs(self) -> bool:
        """Return True: it does so in every job that ends."""
        return True

    def row_errors_of_day(self, segment_ids: Sequence[str], day: date) -> Mapping[str, list[RowError]]:
        """Return the rejected lines of those of the segments, all of a UTC day, that are loaded."""
        del day
        return self._use(lambda connection: row_errors_of(connection, segment_ids))

    def load_day(self, loads: Sequence[SegmentLoad]) -> list[list[RowError]]:
        """Load segments of one contract in one transaction, or in a few if some hold rows that are rejected.

        Raises:
            WarehouseError: Snowflake cannot be reached or fails; each segment is loaded as a whole, or not at all.

        """
        return self._use(lambda connection: load_segments(connection, loads, RowLockDays()))

    def fill_column(self, loads: Sequence[SegmentLoad], column: str) -> int:
        """Replace rows that lack a value of `column` and have one now, in a transaction for each segment."""

        def work(connection: SnowflakeConnection) -> int:
            return sum(fill_column(connection, DIALECT, load, column, RowLockClaim()) for load in loads)

        return self._use(work)

    def segment_records(self, day: date | None = None) -> SegmentRecords:
        """Yield the loaded segments, or those of a UTC day, in pages."""
        return read_segment_records(self._query, day)

    def row_counts(self, contract: Contract) -> RowCounts:
        """Yield the ids of segments and how many rows of each the contract's table has, in pages."""
        return read_row_counts(self._query, DIALECT.quote_name(contract.table))

    def differences(self, contracts: Sequence[Contract]) -> list[list[Difference] | None]:
        """Return for each contract how its table differs from what `prepare` would make; None if there is no table.

        How it is clustered is left out.
        """
        return [self._differences(contract) for contract in contracts]

    def _differences(self, contract: Contract) -> list[Difference] | None:
        schema = str(self.options["schema"]).upper()
        rows = self._use(lambda connection: connection.execute(_COLUMNS, [schema, contract.table.upper()]))
        if not rows:
            return None
        columns = table_columns(contract)
        names = {DIALECT.fold_name(column.name) for column in columns}
        expected = [Column((column.name,), listed_type(column), column.required) for column in columns]
        # A column that is not the contract's is only required of a load if it has no default.
        actual = [
            Column(
                (name,), type_from_listing(*listed), nullable == "NO" and (name in names or default is None)
            )
            for name, *listed, nullable, default in rows
        ]
        return compare(contract.table, TableSchema(expected), TableSchema(actual), DIALECT.fold_name)

    def add_columns(self, contract: Contract, paths: Collection[Path]) -> None:
        """Add the columns at `paths`, which may be null."""
        table = DIALECT.quote_name(contract.table)

        def work(connection: SnowflakeConnection) -> None:
            for column in contract.columns:
                if (column.name,) in paths:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column_sql(column)}")

        self._use(work)

    @property
    def dialect(self) -> Dialect:
        """What its SQL looks like."""
        return DIALECT

    def ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns of a query's result, and its rows."""
        return self._use(lambda connection: connection.ask(sql))

    def execute(self, create: str, changes: Sequence[str]) -> None:
        """Create a table, and run the other statements in one transaction."""
        self._use(lambda connection: create_and_change(connection, create, changes))

    def _query(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._use(lambda connection: connection.execute(sql, values))

    def _use(self, work: Callable[[SnowflakeConnection], Result]) -> Result:
        """Do `work` with the connection of this process; again after a pause if it met a conflict."""
        return self._connections.use(
            lambda: SnowflakeConnection(self.url, self.options),
            lambda connection: CONFLICT_RETRY(lambda: work(connection)),
        )
