"""BigQuery: rows appended through the Storage Write API, for tables that are to show them within seconds.

Rows that are appended to a table's default stream can be queried at once, and are there at least once: BigQuery
cannot tell a repeated request from a new one. A request is taken as a whole or not at all. BigQuery names the rows
that were the reason, or only says that some were; then the others, or each half, are sent again.
"""

from __future__ import annotations

import os
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sluice.errors import ConfigError, WarehouseError
from sluice.warehouses.bigquery.jobs import REQUEST_TIMEOUT
from sluice.warehouses.row_errors import RowError, RowsRejected, insert_with_bisection

if TYPE_CHECKING:
    from google.cloud.bigquery_storage_v1 import BigQueryWriteClient

REQUEST_BYTES = 9_500_000
"""Bytes of schema and rows in one request; all of it must stay below 10 MB."""


def append(name: str, rows: pa.Table) -> list[RowError]:
    """Append rows to the table `project.dataset.table`; return the rejected ones by their index, in order.

    The client's exceptions are raised as they are. Whatever is raised, some of the rows may be in the table.

    Raises:
        WarehouseError: a request was not taken for another reason than what its rows hold.

    """
    return insert_with_bisection(with_empty_lists(rows), partial(_send, name))


def _send(name: str, rows: pa.Table) -> None:
    """Append rows in one request; raises RowsRejected if it was not taken for what they hold, or how much."""
    from google.cloud.bigquery_storage_v1.types import AppendRowsRequest

    (batch,) = rows.combine_chunks().to_batches()
    schema, data = rows.schema.serialize(), batch.serialize()
    size = schema.size + data.size
    if size > REQUEST_BYTES:
        message = f"expected a row of at most {REQUEST_BYTES:,} bytes, as an append takes it, got {size:,}"
        raise RowsRejected(message)
    project, dataset, table = name.rsplit(".", 2)
    stream = f"projects/{project}/datasets/{dataset}/tables/{table}/streams/_default"
    request = AppendRowsRequest(
        write_stream=stream,
        arrow_rows={
            "writer_schema": {"serialized_schema": schema.to_pybytes()},
            "rows": {"serialized_record_batch": data.to_pybytes()},
        },
    )
    answers = client().append_rows(
        iter([request]),
        retry=None,  # the load of the segment is retried as a whole, so that it is logged
        timeout=REQUEST_TIMEOUT,
        metadata=[("x-goog-request-params", f"write_stream={stream}")],  # leads to the table's region
    )
    responses = list(answers)
    if not responses:
        message = f"{name}: expected BigQuery to answer an append, got the end of the stream"
        raise WarehouseError(message)
    _check_response(name, responses[0], rows.num_rows)


def _check_response(name: str, answer: Any, rows: int) -> None:
    """Check that a request was taken.

    An error of the table, the stream or the schema comes with a StorageError: no row is its reason.

    Raises:
        RowsRejected: some of the rows are the reason that it was not.
        WarehouseError: something else is.

    """
    from google.cloud.bigquery_storage_v1.types import StorageError
    from grpc import StatusCode

    bad = {row.index: _line(row.message) for row in answer.row_errors if 0 <= row.index < rows}
    said = _line(answer.error.message)
    if bad:
        raise RowsRejected(said, bad)
    if not answer.error.code:
        return
    types = {detail.type_url.rpartition("/")[2] for detail in answer.error.details}
    code = next(status for status in StatusCode if status.value[0] == answer.error.code)
    if code is StatusCode.INVALID_ARGUMENT and StorageError.meta.full_name not in types:
        raise RowsRejected(said)
    message = f"{name}: expected BigQuery to take an append: {code.name}: {said}"
    raise WarehouseError(message)


def _line(text: str) -> str:
    return " ".join(text.split()) or "no reason given"


def with_empty_lists(rows: pa.Table) -> pa.Table:
    """Return rows with empty lists for null ones at any depth, which is how BigQuery takes them."""
    columns = [_with_empty_lists(column.combine_chunks()) for column in rows.columns]
    return pa.Table.from_arrays(columns, schema=rows.schema)


def _with_empty_lists(array: pa.Array) -> pa.Array:
    arrow_type = array.type
    if pa.types.is_struct(arrow_type):
        inner = [_with_empty_lists(array.field(index)) for index in range(arrow_type.num_fields)]
        return pa.StructArray.from_arrays(inner, fields=list(arrow_type), mask=array.is_null())
    if pa.types.is_list(arrow_type):
        if array.null_count:
            array = pc.if_else(array.is_valid(), array, pa.scalar([], arrow_type))
        return pa.ListArray.from_arrays(array.offsets, _with_empty_lists(array.values), arrow_type)
    return array


def client() -> BigQueryWriteClient:
    """Return the client of this process."""
    emulator = os.environ.get("BIGQUERY_STORAGE_EMULATOR_HOST")
    if emulator is None and "BIGQUERY_EMULATOR_HOST" in os.environ:
        message = (
            "BIGQUERY_STORAGE_EMULATOR_HOST: expected HOST:PORT of the emulator that BIGQUERY_EMULATOR_HOST"
            " names, for method=storage_write, got nothing; set it"
        )
        raise ConfigError(message)
    return _client(emulator, os.getpid())


@lru_cache(maxsize=8)
def _client(emulator: str | None, _: int) -> BigQueryWriteClient:
    """Return a client, one for each process: connections do not survive a fork."""
    import grpc
    from google.cloud.bigquery_storage_v1 import BigQueryWriteClient
    from google.cloud.bigquery_storage_v1.services.big_query_write.transports import (
        BigQueryWriteGrpcTransport,
    )

    if emulator is None:
        return BigQueryWriteClient()
    return BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=grpc.insecure_channel(emulator)))
