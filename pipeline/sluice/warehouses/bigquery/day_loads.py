"""BigQuery's load jobs of many segments: those of one table and UTC day, in one job or a few.

A load job is a change of a partition, and BigQuery counts both. So what is loaded at once is not a segment but what the
segments of a day have. The jobs of a day are numbered, and a number can be taken once: `sluice-DATASET-TABLE-DAY-N`.

1. Find the first number that no job has, and wait for the job before it.
2. Ask the table which rows of the segments it has.
3. Submit a job with the rows that it lacks, under that number. If another worker has taken it (HTTP 409), begin again.

So between the question and the job no other job of this kind can add rows, whichever segments the other worker has, and
wherever it died. It is how the event log numbers its segments. `_segments` follows when the rows are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import accumulate
from typing import Any

import pyarrow as pa

from sluice.contracts import EVENT_ID_COLUMN, SEGMENT_ID_COLUMN, Contract
from sluice.warehouses.bigquery.jobs import Jobs
from sluice.warehouses.bigquery.row_loads import (
    MAX_LOAD_JOBS,
    job_token,
    partition_condition,
    query_by_ids,
    rows_rejected,
    submit_rows,
)
from sluice.warehouses.row_errors import RowError, insert_with_bisection
from sluice.warehouses.segment_load import SegmentLoad


class _Overtaken(Exception):
    """Another worker has taken the number of the next job."""


class DayLoads:
    """Loads the rows of one table and day into the dataset `name`. Its exceptions are the client's."""

    def __init__(self, jobs: Jobs, name: str, contract: Contract, day: date) -> None:
        """Connect to nothing yet."""
        self._jobs = jobs
        self._table = f"{name}.{contract.table}"
        self._contract = contract
        self._of_table = f"sluice-{name.rpartition('.')[2]}-{job_token(contract.table)}-"
        self._prefix = f"{self._of_table}{day.isoformat()}"
        self._number = 0

    def load(self, loads: Sequence[SegmentLoad]) -> list[list[RowError]]:
        """Load the rows that the table lacks; return the rejected rows of each segment by their index.

        Raises:
            TableError: the table takes no rows at all.
            WarehouseError: a job failed for another reason than the rows' content; what was loaded stays.

        """
        if not any(load.rows.num_rows for load in loads):
            return [[] for _ in loads]
        self._jobs.wait_for_running(self._of_table)  # of single segments, which have no number
        while True:
            self._number = self._next_number()
            try:
                return self._load(loads)
            except _Overtaken:
                continue

    def _load(self, loads: Sequence[SegmentLoad]) -> list[list[RowError]]:
        rejected: list[list[RowError]] = [[] for _ in loads]
        missing = self.missing_rows(loads)
        tables = [
            load.rows.take(pa.array(indexes, pa.int64()))
            for load, indexes in zip(loads, missing, strict=True)
        ]
        ends = list(accumulate(map(len, missing)))
        if not ends or not ends[-1]:
            return rejected
        origins = [(at, index) for at, indexes in enumerate(missing) for index in indexes]
        rows = pa.concat_tables(tables).combine_chunks()
        for place, reason in insert_with_bisection(
            rows, self._insert, self._contract.table, max_attempts=MAX_LOAD_JOBS
        ):
            at, index = origins[place]
            rejected[at].append((index, reason))
        return rejected

    def _insert(self, rows: pa.Table) -> None:
        """Load rows in the job of the next number."""
        job_id = f"{self._prefix}-{self._number}"
        started_here, failure = self._jobs.attempt(
            job_id, lambda name: submit_rows(self._jobs.client, self._table, self._contract, rows, name)
        )
        if not started_here:
            raise _Overtaken
        self._number += 1
        if failure is not None:
            self._jobs.check_failure(failure, f"{self._table} to take {rows.num_rows} rows")
            raise rows_rejected(failure)

    def _next_number(self) -> int:
        """Return the first number without a job, once the job before it has ended."""
        step, low = 1, self._number
        if not self._exists(low):
            high = low
        else:
            while self._exists(low + step):
                low, step = low + step, step * 2
            high = low + step
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if self._exists(middle) else (low, middle)
        if high:
            self._jobs.wait(f"{self._prefix}-{high - 1}")
        return high

    def _exists(self, number: int) -> bool:
        return self._jobs.exists(f"{self._prefix}-{number}")

    def missing_rows(self, loads: Sequence[SegmentLoad]) -> list[list[int]]:
        """Return the indexes of the rows of each load that the table lacks."""
        with_rows = [load for load in loads if load.rows.num_rows]
        if not with_rows:
            return [[] for _ in loads]
        condition, values = partition_condition(self._contract, [load.rows for load in with_rows])
        stored = self._segments_with_rows(condition, values, [load.segment.id for load in with_rows])
        keys = self._keys(condition, values, stored) if stored else {}
        missing: list[list[int]] = []
        for load in loads:
            if load.segment.id not in stored:
                missing.append(list(range(load.rows.num_rows)))
            else:
                ids = load.rows[EVENT_ID_COLUMN].to_pylist()
                missing.append([at for at, key in enumerate(ids) if key not in keys])
        return missing

    def _segments_with_rows(self, condition: str, values: Mapping[str, Any], ids: Sequence[str]) -> list[str]:
        sql = f"""SELECT DISTINCT {SEGMENT_ID_COLUMN} AS id FROM `{self._table}`
WHERE {condition} AND {SEGMENT_ID_COLUMN} IN UNNEST(@ids)"""
        return [row["id"] for row in query_by_ids(self._jobs, sql, values, ids)]

    def _keys(self, condition: str, values: Mapping[str, Any], ids: Sequence[str]) -> set[str]:
        sql = f"""SELECT {EVENT_ID_COLUMN} AS id FROM `{self._table}`
WHERE {condition} AND {SEGMENT_ID_COLUMN} IN UNNEST(@ids)"""
        return {row["id"] for row in query_by_ids(self._jobs, sql, values, ids)}
