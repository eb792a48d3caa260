"""BigQuery: fill a column that was added to a table, in rows that are older.

The rows as they are now are loaded into a table of their own, from which one UPDATE replaces those that lack a value.
It changes all of them or none, and repeated it finds nothing to do.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from sluice.arrow.schema import table_columns
from sluice.contracts import EVENT_ID_COLUMN, SEGMENT_ID_COLUMN, Contract
from sluice.errors import WarehouseError
from sluice.warehouses.bigquery import tables
from sluice.warehouses.bigquery.jobs import Jobs
from sluice.warehouses.bigquery.row_loads import partition_condition, submit_rows
from sluice.warehouses.column_fill import rows_with_value
from sluice.warehouses.segment_load import SegmentLoad

_KEPT_FOR = timedelta(hours=1)
"""After this the table of the rows as they are now is deleted, if whoever made it has died."""


def fill_column(jobs: Jobs, name: str, loads: Sequence[SegmentLoad], column: str) -> int:
    """Replace the rows of segments whose `column` has no value and has one now; return how many.

    Its exceptions are the client's, and WarehouseError: the rows as they are now are not taken.
    """
    contract = loads[0].contract
    rows = pa.concat_tables([rows_with_value(load, column) for load in loads])
    if not rows.num_rows:
        return 0
    token = uuid.uuid4().hex
    made = f"{name}._fill_{token}"
    _create(jobs, made, contract)
    try:
        started, failure = jobs.attempt(
            f"sluice-fill-{token}", lambda job_id: submit_rows(jobs.client, made, contract, rows, job_id)
        )
        if failure is not None or not started:
            said = (failure or {}).get("message", "its job was another one")
            message = f"{name}.{contract.table}: expected it to take rows with {column}: {said}; they stay as they were"
            raise WarehouseError(message)
        return _replace(jobs, f"{name}.{contract.table}", made, contract, column, rows)
    finally:
        jobs.client.delete_table(made, not_found_ok=True, **jobs.retry)


def _create(jobs: Jobs, made: str, contract: Contract) -> None:
    from google.cloud.bigquery import SchemaField, Table

    fields = tables.table_json(contract)["schema"]["fields"]
    table = Table(made, schema=[SchemaField.from_api_repr(field) for field in fields])
    table.expires = datetime.now(UTC) + _KEPT_FOR
    jobs.client.create_table(table, **jobs.retry)


def _replace(jobs: Jobs, table: str, made: str, contract: Contract, column: str, rows: pa.Table) -> int:
    condition, values = partition_condition(contract, [rows])
    is_array = pa.types.is_list(rows[column].type)
    lacks = f"ARRAY_LENGTH(known.`{column}`) = 0" if is_array else f"known.`{column}` IS NULL"
    same = f"known.{EVENT_ID_COLUMN} = made.{EVENT_ID_COLUMN} AND known.{SEGMENT_ID_COLUMN} = made.{SEGMENT_ID_COLUMN}"
    counted = (
        f"SELECT COUNT(*) AS filled FROM `{table}` AS known JOIN `{made}` AS made ON {same}"
        f" WHERE known.{condition} AND {lacks}"
    )
    (answer,) = jobs.query(counted, **values)
    same_names = (EVENT_ID_COLUMN, SEGMENT_ID_COLUMN, contract.event_time)
    names = [prop.name for prop in table_columns(contract) if prop.name not in same_names]
    changes = ", ".join(f"`{name}` = made.`{name}`" for name in names)
    jobs.query(
        f"UPDATE `{table}` AS known SET {changes} FROM `{made}` AS made"
        f" WHERE known.{condition} AND {same} AND {lacks}",
        **values,
    )
    return int(answer["filled"])
