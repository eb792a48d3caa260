"""Fill a column that was added to a table, in rows that are older: each is replaced by the row that it is now.

For warehouses with transactions, and what all warehouses share.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from sluice.contracts import EVENT_ID_COLUMN, SEGMENT_ID_COLUMN
from sluice.errors import WarehouseError
from sluice.warehouses.dialect import Dialect
from sluice.warehouses.row_errors import RowsRejected
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.transactional import Claim, Connection

_KEYS_A_STATEMENT = 500


def rows_with_value(load: SegmentLoad, column: str) -> pa.Table:
    """Return the rows of a load that have a value in `column`; an empty array is none, as BigQuery has it."""
    values = load.rows[column]
    has_value = pc.is_valid(values)
    if pa.types.is_list(values.type):
        has_value = pc.greater(pc.list_value_length(values), 0)  # of a null it is null, which selects no row
    return load.rows.filter(has_value)


def rows_of_keys(rows: pa.Table, keys: Collection[str]) -> pa.Table:
    """Return the rows with these deduplication keys."""
    indexes = [index for index, key in enumerate(rows[EVENT_ID_COLUMN].to_pylist()) if key in keys]
    return rows.take(pa.array(indexes, pa.int64()))


def with_rows_replaced(stored: pa.Table, rows: pa.Table) -> pa.Table:
    """Return stored rows, in their order, with `rows` in place of those with the same keys, and the columns of both."""
    keys = rows[EVENT_ID_COLUMN].to_pylist()
    places = {key: index + stored.num_rows for index, key in enumerate(keys)}
    order = [places.get(key, index) for index, key in enumerate(stored[EVENT_ID_COLUMN].to_pylist())]
    both = pa.concat_tables([stored, rows], promote_options="default")
    return both.take(pa.array(order, pa.int64()))


def fill_column(
    connection: Connection, dialect: Dialect, load: SegmentLoad, column: str, claim: Claim
) -> int:
    """Replace the rows of a segment whose `column` is null and has a value now, in one transaction; return how many.

    Raises:
        WarehouseError: the table rejects one of them as it is now, or another reason; all rows stay as they were.

    """
    with_value = rows_with_value(load, column)
    if not with_value.num_rows:
        return 0
    table, key, segment, filled = map(
        dialect.quote_name, (load.contract.table, EVENT_ID_COLUMN, SEGMENT_ID_COLUMN, column)
    )
    try:
        with connection.transaction():
            claim.lock(connection, load.segment.id)
            lacking = connection.execute(
                f"SELECT {key} FROM {table} WHERE {segment} = ? AND {filled} IS NULL", [load.segment.id]
            )
            rows = rows_of_keys(with_value, {known for (known,) in lacking})
            keys = rows[EVENT_ID_COLUMN].to_pylist()
            for at in range(0, len(keys), _KEYS_A_STATEMENT):
                part = keys[at : at + _KEYS_A_STATEMENT]
                places = ", ".join("?" * len(part))
                connection.execute(f"DELETE FROM {table} WHERE {key} IN ({places})", part)
            if keys:
                connection.insert(load.contract, rows)
    except RowsRejected as error:
        message = (
            f"{load.contract.table}: expected it to take the rows of segment {load.segment.id} with {column}: {error}; "
            "they stay as they were"
        )
        raise WarehouseError(message) from error
    return len(keys)
