"""PostgreSQL: a segment's rows, its counts and its row of `_segments` are one transaction.

`postgresql://user@host:5432/database?schema=events`. The password comes from libpq, as for psql: PGPASSWORD, a
password file, or the URL (`postgresql://user:${PASSWORD}@host/database`, percent-encoded). Rows go in by binary COPY
straight into their table, through ADBC. uuid, numeric(38,9), timestamptz and date are PostgreSQL's own types; objects,
arrays and JSON are jsonb.

Foreign keys are made only to the tables that `foreign_keys=customers,products` names: tables of others, filled before
the events come. A row whose reference is not there is rejected, so keys among the tables of one job would reject rows
because of the order in which workers happen to load them, and are not made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sluice.contracts import Contract, Path
from sluice.errors import ConfigError
from sluice.warehouses.column_fill import fill_column
from sluice.warehouses.connection_cache import ConnectionCache
from sluice.warehouses.dialect import Dialect
from sluice.warehouses.postgres.connection import PostgresConnection
from sluice.warehouses.postgres.tables import (
    DIALECT,
    STATUS_VIEW_SQL,
    SYSTEM,
    add_foreign_keys,
    references_to,
    table_differences,
    table_statements,
)
from sluice.warehouses.row_errors import RowError
from sluice.warehouses.schema_diff import Difference, missing_columns, without_columns
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.segment_records import (
    RowCounts,
    SegmentRecords,
    read_row_counts,
    read_segment_records,
)
from sluice.warehouses.status_view import has_status
from sluice.warehouses.transactional import (
    Connection,
    InsertConflictClaim,
    create_and_change,
    load_segment,
    read_row_errors,
)
from sluice.warehouses.transactional_days import LogsByDay, Result
from sluice.warehouses.transactional_rejected import load_rejected

_LOCK = 0x51_0C_E5
"""Key of the advisory lock under which tables are made."""


@dataclass(frozen=True, slots=True)
class PostgresWarehouse(LogsByDay):
    """Tables in one schema of a PostgreSQL database; `url` has no password, `options` are libpq's.

    Guarantee: each segment is loaded at most once, however often it is offered: its row of `_segments` is in the same
    transaction. A connection that dies leaves nothing of a segment, or all of it.
    """

    url: str
    schema: str
    foreign_keys: tuple[str, ...]
    """Tables in the schema that get foreign keys from the tables of the contracts."""
    options: Mapping[str, str] = field(repr=False)
    _connections: ConnectionCache[PostgresConnection] = field(
        default_factory=ConnectionCache, init=False, repr=False, compare=False
    )

    def check_contracts(self, contracts: Sequence[Contract]) -> None:
        """Check that PostgreSQL can hold the tables of `contracts`; connects to nothing."""
        for contract in contracts:
            table_statements(contract)

    def prepare(self, contracts: Sequence[Contract]) -> None:
        """Create schema, tables and view where they are missing; two runs that start together take turns.

        Raises:
            ConfigError: a contract asks for what PostgreSQL cannot hold.
            WarehouseError: the server cannot be reached, or rejects a statement.

        """
        self._check_foreign_keys(contracts)
        self.check_contracts(contracts)
        with closing(self._connect()) as connection, connection.transaction():
            connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            if not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = ?", [self.schema]):
                connection.execute(f"CREATE SCHEMA {DIALECT.quote_name(self.schema)}")
            for statement in SYSTEM:
                connection.execute(statement)
            for contract in contracts:
                # Only the comments are made again of a table that is there, so not those of columns that it lacks.
                missing = missing_columns(table_differences(connection, contract) or [])
                for statement in table_statements(without_columns(contract, missing)):
                    connection.execute(statement)
            if has_status(contracts):
                for statement in filter(None, STATUS_VIEW_SQL.split(";\n")):
                    connection.execute(statement)
            for table in self.foreign_keys:
                add_foreign_keys(connection, table, contracts)

    def row_errors(self, segment_id: str, minute: int) -> list[RowError] | None:
        """Return the lines that were rejected when the segment was loaded; None if it is not loaded."""
        del minute
        return self._connections.use(
            self._connect, lambda connection: read_row_errors(connection, segment_id)
        )

    def load(self, load: SegmentLoad) -> list[RowError]:
        """Load one segment in one transaction; return all rejected lines, those that PostgreSQL rejected included.

        Raises:
            WarehouseError: the server cannot be reached or fails; nothing of the segment is loaded, or all of it.

        """
        return self.at_work(lambda connection: load_segment(connection, load, InsertConflictClaim()))

    def load_rejected(self, load: SegmentLoad) -> list[RowError]:
        """Load the rows that were rejected of a segment, in one transaction; return the lines still rejected."""
        return self.at_work(lambda connection: load_rejected(connection, load, InsertConflictClaim()))

    def fill_column(self, loads: Sequence[SegmentLoad], column: str) -> int:
        """Replace rows that lack a value of `column` and have one now, in a transaction for each segment."""

        def work(connection: Connection) -> int:
            claim = InsertConflictClaim()
            return sum(fill_column(connection, DIALECT, load, column, claim) for load in loads)

        return self.at_work(work)

    def at_work(self, work: Callable[[Connection], Result]) -> Result:
        """Do `work` with the connection of this process."""
        return self._connections.use(self._connect, work)

    def segment_records(self, day: date | None = None) -> SegmentRecords:
        """Yield the loaded segments, or those of a UTC day, in pages."""
        return read_segment_records(self._query, day)

    def row_counts(self, contract: Contract) -> RowCounts:
        """Yield the ids of segments and how many rows of each the contract's table has, in pages."""
        return read_row_counts(self._query, DIALECT.quote_name(contract.table))

    def differences(self, contracts: Sequence[Contract]) -> list[list[Difference] | None]:
        """Return for each contract how its table differs from what `prepare` would make; None if there is no table."""
        return self._connections.use(
            self._connect,
            lambda connection: [table_differences(connection, contract) for contract in contracts],
        )

    def add_columns(self, contract: Contract, paths: Collection[Path]) -> None:
        """Add the columns at `paths`, which may be null."""
        table = DIALECT.quote_name(contract.table)
        with closing(self._connect()) as connection, connection.transaction():
            for column in contract.columns:
                if (column.name,) in paths:
                    connection.execute(
                        f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {DIALECT.column(column)}"
                    )
            for statement in table_statements(contract):
                connection.execute(statement)

    @property
    def dialect(self) -> Dialect:
        """What its SQL looks like."""
        return DIALECT

    def ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns of a query's result, and its rows."""
        return self._connections.use(self._connect, lambda connection: connection.ask(sql))

    def execute(self, create: str, changes: Sequence[str]) -> None:
        """Create a table, and run the other statements in one transaction."""
        self.at_work(lambda connection: create_and_change(connection, create, changes))

    def _query(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self.at_work(lambda connection: connection.execute(sql, values))

    def _check_foreign_keys(self, contracts: Sequence[Contract]) -> None:
        for table in self.foreign_keys:
            if table in (contract.table for contract in contracts):
                why = "a table that this job does not load: its rows come in no order"
            elif not references_to(table, contracts):
                why = "a table that a property of some contract, not nested, refers to"
            else:
                continue
            message = f"warehouse: {self.url}: foreign_keys: expected {why}; got {table!r}"
            raise ConfigError(message)

    def _connect(self) -> PostgresConnection:
        return PostgresConnection(self.url, self.schema, self.options)
