"""SQLite that fails where a test wants it, with or without primary keys: a real database for both claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sluice.errors import WarehouseError
from sluice.warehouses.sqlite import Connection
from sluice.warehouses.sqlite_tables import DIALECT
from sluice.warehouses.system_tables import LOAD_LOCK
from sluice.warehouses.transactional import CREATE_LOCK_ROW


class FailingConnection(Connection):
    """SQLite that can fail at a statement, and answers an INSERT as `RowLockClaim` expects: with its number of rows."""

    fails_at: str | None = None

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self.fails_at is not None and self.fails_at in sql:
            message = f"failed at {self.fails_at}"
            raise WarehouseError(message)
        rows = super().execute(sql, values)
        if sql.startswith("INSERT") and "NOT EXISTS" in sql:
            return super().execute("SELECT changes()")
        return rows


def add_lock(connection: FailingConnection) -> None:
    """Make the table that `RowLockClaim` locks; SQLite itself has none."""
    connection.execute(DIALECT.create_system_table_sql(LOAD_LOCK))
    connection.execute(CREATE_LOCK_ROW)


def drop_keys(connection: FailingConnection) -> None:
    """Make the tables again without primary keys, since `RowLockClaim` is for warehouses that enforce none."""
    connection.execute("DROP VIEW event_counts")
    for table in ("order_events", "_segments", "_refusals", "_event_counts"):
        connection.execute(f"CREATE TABLE without_key AS SELECT * FROM {table}")
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"ALTER TABLE without_key RENAME TO {table}")


def stored(connection: FailingConnection) -> tuple[int, int, list[tuple[int, int]]]:
    """Return the number of rows, the sum of the counts, and events and row errors of each segment."""
    ((rows,),) = connection.execute("SELECT count(*) FROM order_events")
    ((counted,),) = connection.execute("SELECT coalesce(sum(events), 0) FROM _event_counts")
    segments = connection.execute("SELECT events, refused FROM _segments")
    return rows, counted, segments
