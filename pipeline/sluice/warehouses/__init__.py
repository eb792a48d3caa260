"""Warehouses: where segments become rows. One module or folder for each, chosen by the scheme of its URL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, Protocol, runtime_checkable

from sluice.config.connectors import Connector, choose
from sluice.config.urls import Url
from sluice.contracts import Contract, Path
from sluice.warehouses.bigquery import BigQueryConnector
from sluice.warehouses.dialect import Dialect
from sluice.warehouses.duckdb import DuckDBConnector
from sluice.warehouses.postgres import PostgresConnector
from sluice.warehouses.row_errors import RowError
from sluice.warehouses.schema_diff import Difference
from sluice.warehouses.segment_load import LoadCost, SegmentLoad
from sluice.warehouses.segment_records import RowCounts, SegmentRecords
from sluice.warehouses.snowflake import SnowflakeConnector
from sluice.warehouses.sqlite import SQLiteConnector

__all__ = [
    "WAREHOUSES",
    "Coalescing",
    "Doubling",
    "LimitedInTime",
    "QueryResult",
    "Queryable",
    "RowError",
    "RowLimited",
    "LoadCost",
    "SegmentLoad",
    "Warehouse",
    "open_warehouse",
    "parse_warehouse",
]


class Warehouse(Protocol):
    """A place for tables that loads each segment at most once, however often it is offered. Must pickle."""

    def check_contracts(self, contracts: Sequence[Contract]) -> None:
        """Check that the warehouse can hold the tables of `contracts`; connects to nothing and needs no client.

        Raises:
            ConfigError: it cannot; the message says what it has at most, what the contract has, and the fix.

        """
        ...

    def prepare(self, contracts: Sequence[Contract]) -> None:
        """Create what is missing for `contracts`; called in the launcher, before Beam starts.

        Raises:
            ConfigError: the URL or a contract asks for something that this warehouse cannot hold.
            WarehouseError: it cannot be reached, is locked, or has no room.

        """
        ...

    def row_errors(self, segment_id: str, minute: int) -> list[RowError] | None:
        """Return the lines that were rejected when the segment was loaded, as `load` did; None if it is not loaded.

        `minute` is the segment's, in epoch seconds.
        """
        ...

    def load(self, load: SegmentLoad) -> list[RowError]:
        """Load one segment; a segment that is there already stays as it is. Safe to repeat at any time.

        Returns:
            All rejected lines: those of `load` and those that the warehouse itself rejected.

        Raises:
            WarehouseError: it failed for another reason than the rows' content; what was loaded stays valid.

        """
        ...

    def load_rejected(self, load: SegmentLoad) -> list[RowError]:
        """Load the rows of a loaded segment that were rejected: each that the warehouse takes now, at most once.

        `load` is the segment as a whole, as it becomes rows now. What is recorded of the segment follows: its rejected
        lines, its counts, its number of events. Safe to repeat at any time.

        Returns:
            The lines that are still rejected; none, if none was.

        Raises:
            WarehouseError: it failed for another reason than the rows' content; what was loaded stays valid.

        """
        ...

    def fill_column(self, loads: Sequence[SegmentLoad], column: str) -> int:
        """Replace those rows of loaded segments that lack a value of `column` and have one now.

        `loads` are segments of one contract, each as a whole, as it becomes rows now. What is recorded of them stays.
        Safe to repeat and to interrupt.

        Returns:
            How many rows were replaced.

        Raises:
            WarehouseError: the rows as they are now are rejected, or for another reason; a row is as it was, or new.

        """
        ...

    def segment_records(self, day: date | None = None) -> SegmentRecords:
        """Yield the loaded segments, or those whose minute is in a UTC day, in pages.

        Raises:
            WarehouseError: it cannot be reached, or is not prepared.

        """
        ...

    def row_counts(self, contract: Contract) -> RowCounts:
        """Yield the ids of segments and how many rows of each the contract's table has, in pages.

        Raises:
            WarehouseError: it cannot be reached, or has no such table.

        """
        ...

    def differences(self, contracts: Sequence[Contract]) -> list[list[Difference] | None]:
        """Return for each contract how its table differs from what `prepare` would make; None if there is no table.

        Raises:
            WarehouseError: it cannot be reached.

        """
        ...

    def add_columns(self, contract: Contract, paths: Collection[Path]) -> None:
        """Add to the contract's table the columns, or members of columns, at `paths`, which may be null.

        Raises:
            WarehouseError: it cannot be reached, or rejects the change.

        """
        ...


@runtime_checkable
class LimitedInTime(Protocol):
    """A warehouse that takes so many loads a day and no more, and may drop events at some age."""

    def check_rate(self, types: int, shards: int, flush: float) -> None:
        """Check that a streaming job does not load more often.

        Args:
            types: event types of the job.
            shards: writers of one type and minute.
            flush: seconds of `windows.flush`.

        Raises:
            ConfigError: with the figures, and the shortest `flush` that would do.

        """
        ...

    def check_age(self, age: float) -> None:
        """Check that events of this age, in seconds, are not dropped as soon as they are loaded.

        Raises:
            ConfigError: they are, since the table keeps events for a shorter time.

        """
        ...


@runtime_checkable
class Coalescing(Protocol):
    """A warehouse that limits loads, or where one costs much: jobs that end load the segments of a day together."""

    @property
    def load_cost(self) -> LoadCost:
        """What one load uses, in words."""
        ...

    @property
    def coalesces(self) -> bool:
        """Whether it does, with the options that it has."""
        ...

    @property
    def coalesces_logs(self) -> bool:
        """Whether `sluice load` does, which reads a log that is there already."""
        ...

    def row_errors_of_day(self, segment_ids: Sequence[str], day: date) -> Mapping[str, list[RowError]]:
        """Return what `Warehouse.row_errors` returns of segments of a UTC day, for those that are loaded."""
        ...

    def load_day(self, loads: Sequence[SegmentLoad]) -> list[list[RowError]]:
        """Load segments of one contract and UTC day, as `Warehouse.load` does; return the rejected lines of each."""
        ...


@runtime_checkable
class Doubling(Protocol):
    """A warehouse where two loads of a segment at the same time could double its rows."""

    def doubles(self, *, bounded: bool) -> bool:
        """Tell whether `sluice load` and a run could, whose source is `bounded` or not."""
        ...


@runtime_checkable
class RowLimited(Protocol):
    """A warehouse whose rows may hold less than a record can have."""

    @property
    def max_row_bytes(self) -> int:
        """What a row of dead letters may hold; such a row is cut, see `dead_letters.table_rows`."""
        ...


QueryResult = tuple[list[str], list[tuple[Any, ...]]]
"""Names of columns, as the warehouse gives them, and rows."""


@runtime_checkable
class Queryable(Protocol):
    """A warehouse that answers SQL of users, and keeps what is derived from it."""

    @property
    def dialect(self) -> Dialect:
        """What its SQL looks like."""
        ...

    def ask(self, sql: str) -> QueryResult:
        """Return the result of a query; the schema or dataset of the warehouse is the default one, times are in UTC.

        Raises:
            WarehouseError: it cannot be reached, or rejects the query.

        """
        ...

    def execute(self, create: str, changes: Sequence[str]) -> None:
        """Run a statement that creates a table, then all others: together, where the warehouse has transactions.

        Raises:
            WarehouseError: it cannot be reached, or rejects a statement.

        """
        ...


WAREHOUSES: dict[str, type[Connector[Warehouse]]] = {
    "bigquery": BigQueryConnector,
    "duckdb": DuckDBConnector,
    "postgresql": PostgresConnector,
    "snowflake": SnowflakeConnector,
    "sqlite": SQLiteConnector,
}
"""URL scheme -> connector."""


def parse_warehouse(address: str | Url) -> Connector[Warehouse]:
    """Return the connector for an address such as `duckdb:///out/warehouse.duckdb`; it needs no client.

    Raises:
        ConfigError: the scheme is unknown, or the address is not as its connector declares.

    """
    url = Url(address, where="warehouse") if isinstance(address, str) else address
    return choose(WAREHOUSES, url).parse(url)


def open_warehouse(address: str | Url) -> Warehouse:
    """Return the warehouse at an address; nothing is connected to yet.

    Raises:
        ConfigError: as of `parse_warehouse`, or the client is not installed.

    """
    connector = parse_warehouse(address)
    connector.check_client()
    return connector.open()
