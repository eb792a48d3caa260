"""BigQuery's load jobs of rows: one for each segment, in parts if BigQuery rejects some of the rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from sluice.contracts import EVENT_ID_COLUMN, INGESTED_AT_COLUMN, SEGMENT_ID_COLUMN, Contract
from sluice.elements import Segment
from sluice.warehouses.bigquery import tables
from sluice.warehouses.bigquery.jobs import REQUEST_TIMEOUT, Failure, Jobs
from sluice.warehouses.row_errors import Blame, RowError, RowsRejected, insert_with_bisection
from sluice.warehouses.segment_load import SegmentLoad

if TYPE_CHECKING:
    from google.cloud.bigquery import Client, LoadJobConfig

REMEMBERED = timedelta(days=150)
"""For how long job ids are relied on; BigQuery keeps them for about six months."""

MAX_LOAD_JOBS = 500
"""Load jobs that one load makes at most while it looks for rows that BigQuery rejects."""

IDS_A_QUERY = 50_000
"""Deduplication keys in one query's parameter: 2 MB, where a request may have 10."""


class RowLoads:
    """Loads rows into the tables of one dataset, `name`. Its exceptions are the client's, and WarehouseError."""

    def __init__(self, jobs: Jobs, name: str) -> None:
        """Connect to nothing yet."""
        self._jobs = jobs
        self._name = name
        self._dataset = name.rpartition(".")[2]

    def load(self, load: SegmentLoad) -> list[RowError]:
        """Load the rows in one job, or in parts if it fails for some of them; return the rejected ones by index."""
        contract, segment = load.contract, load.segment
        may_be_forgotten = load.ingested_at - load.minute > REMEMBERED

        def insert(rows: pa.Table) -> None:
            whole = rows.num_rows == load.rows.num_rows
            # Which parts are made depends on what was rejected before, so another worker may have made others.
            if not ((may_be_forgotten or not whole) and self._holds(contract, segment, rows)):
                self._load_rows(contract, segment, rows, whole=whole)

        return insert_with_bisection(load.rows, insert, contract.table, max_attempts=MAX_LOAD_JOBS)

    def _load_rows(self, contract: Contract, segment: Segment, rows: pa.Table, *, whole: bool) -> None:
        """Load rows of a segment in one job; `whole` if they are all of its rows.

        Raises:
            RowsRejected: BigQuery took none of them because of what they hold.

        """
        table = f"{self._name}.{contract.table}"
        part = "" if whole else f"-{rows.num_rows}-{_hash_of(rows[EVENT_ID_COLUMN].to_pylist())}"
        failure = self._jobs.run(
            f"sluice-{self._dataset}-{job_token(contract.table)}-{segment.id}{part}",
            lambda job_id: submit_rows(self._jobs.client, table, contract, rows, job_id),
            lambda: self._holds(contract, segment, rows),
            f"{table} to take segment {segment.id}",
            repeat=rows.num_rows == 1,
        )
        if failure is not None:
            raise rows_rejected(failure)

    def _holds(self, contract: Contract, segment: Segment, rows: pa.Table) -> bool:
        """Return whether the table holds all of `rows`."""
        condition, values = partition_condition(contract, [rows])
        sql = f"""SELECT COUNT(*) AS stored FROM `{self._name}.{contract.table}`
WHERE {condition} AND {SEGMENT_ID_COLUMN} = @id AND {EVENT_ID_COLUMN} IN UNNEST(@ids)"""
        ids = rows[EVENT_ID_COLUMN].to_pylist()
        answers = query_by_ids(self._jobs, sql, {**values, "id": segment.id}, ids)
        stored: int = sum(answer["stored"] for answer in answers)
        return stored == len(ids)


def partition_condition(contract: Contract, tables_of_rows: Sequence[pa.Table]) -> tuple[str, dict[str, Any]]:
    """Return the condition that selects the partitions of some rows, and its values: a table may require one."""
    if contract.event_time is None:
        return f"{INGESTED_AT_COLUMN} >= TIMESTAMP_SECONDS(0)", {}
    spans = [pc.min_max(rows[contract.event_time]).as_py() for rows in tables_of_rows]
    first, last = min(span["min"] for span in spans), max(span["max"] for span in spans)
    return f"`{contract.event_time}` BETWEEN @first AND @last", {"first": first, "last": last}


def query_by_ids(jobs: Jobs, sql: str, values: Mapping[str, Any], ids: Sequence[str]) -> list[Any]:
    """Return the rows of a query with any number of `@ids`, asked in parts."""
    parts = [list(ids[at : at + IDS_A_QUERY]) for at in range(0, len(ids), IDS_A_QUERY)]
    return [row for part in parts for row in jobs.query(sql, **values, ids=part)]


def job_token(table: str) -> str:
    """Return what stands for a table in the id of a job, which takes fewer characters than a table's name."""
    is_plain = re.fullmatch(r"[A-Za-z0-9_-]+", table) is not None
    return table if is_plain else xxhash.xxh3_64_hexdigest(table.encode())


def submit_rows(client: Client, table: str, contract: Contract, rows: pa.Table, job_id: str) -> Any:
    """Start the job that loads rows into `project.dataset.table`, the contract's; return it."""
    data = _parquet(rows)
    return client.load_table_from_file(
        pa.BufferReader(data),
        table,
        size=data.size,
        num_retries=2,
        job_id=job_id,
        job_config=_load_job_config(contract),
        timeout=REQUEST_TIMEOUT,
    )


def rows_rejected(failure: Failure) -> RowsRejected:
    """Return the error of a job that failed because of its rows."""
    blame: Blame = "content" if failure.get("reason") == "invalid" else "unknown"
    said = " ".join(failure.get("message", "").split())
    return RowsRejected(said, kind=failure.get("reason"), blame=blame)


def _hash_of(texts: Sequence[str]) -> str:
    return xxhash.xxh3_128_hexdigest("\n".join(texts).encode())


def _load_job_config(contract: Contract) -> LoadJobConfig:
    from google.cloud.bigquery import LoadJobConfig, ParquetOptions, SchemaField

    options = ParquetOptions()
    options.enable_list_inference = True
    fields = tables.table_json(contract)["schema"]["fields"]
    return LoadJobConfig(
        source_format="PARQUET",
        schema=[SchemaField.from_api_repr(field) for field in fields],
        create_disposition="CREATE_NEVER",
        write_disposition="WRITE_APPEND",
        parquet_options=options,
    )


def _parquet(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=1)
    return sink.getvalue()
