"""BigQuery: a segment is one load job of its Parquet, and its row of `_segments` says that it is loaded.

A load job is atomic and free, and BigQuery lets a job id be used once in a project. So the id of a job is made
from the segment's: a load that is repeated, at once or after a kill, meets the job that is there (HTTP 409) and
waits for its end. What a worker that died leaves, and what the next one does:

| died | what the next finds | what it does |
| --- | --- | --- |
| before the job, or in its upload | no job: an upload that is not completed makes none | it loads |
| while the job runs | 409, a running job | it waits for its end |
| after the job, before the counts | 409, a job that is done, its rows in the table | it counts and records |
| between counts and `_segments` | counts of the segment | it keeps them and records |
| after `_segments` | the row of `_segments` | nothing |

A job that failed loaded nothing, and its id cannot be used again: the next attempt takes the next id, the same for
all workers, so that only one of them runs it. A job that is done but whose rows are gone (somebody dropped the
table, or deleted them to load them again) counts as failed. BigQuery forgets job ids after about six months; for
events older than `REMEMBERED` the rows are looked for before a job is made.

With `method=storage_write` rows are appended instead, at least once; see `sluice.warehouses.bigquery.append`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from sluice.clock import MICROSECONDS
from sluice.contracts import EVENT_ID_COLUMN, INGESTED_AT_COLUMN, SEGMENT_ID_COLUMN, Contract, Path
from sluice.contracts.reserved import COUNTS_VIEW, ONCE_SUFFIX, STATUS_VIEW
from sluice.errors import ConfigError, TableError
from sluice.warehouses.bigquery import tables
from sluice.warehouses.bigquery.append import append
from sluice.warehouses.bigquery.column_fill import fill_column
from sluice.warehouses.bigquery.day_loads import DayLoads
from sluice.warehouses.bigquery.jobs import Jobs
from sluice.warehouses.bigquery.load_rate import check_age, check_rate
from sluice.warehouses.bigquery.row_loads import RowLoads
from sluice.warehouses.bigquery.segment_recorder import SegmentRecorder
from sluice.warehouses.bigquery.tables import SYSTEM
from sluice.warehouses.dialect import Dialect
from sluice.warehouses.row_errors import RowError
from sluice.warehouses.schema_diff import Difference, compare
from sluice.warehouses.segment_load import LoadCost, SegmentLoad
from sluice.warehouses.segment_records import RowCounts, SegmentRecord, SegmentRecords, day_limits
from sluice.warehouses.status_view import STATUS_DESCRIPTION, has_status
from sluice.warehouses.system_tables import COUNTS_VIEW_DESCRIPTION, SEGMENTS
from sluice.warehouses.timestamps import from_micros

MAX_LOADED_ROW = 90_000_000
"""BigQuery loads rows of 100 MB. https://cloud.google.com/bigquery/quotas#load_jobs"""

MAX_APPENDED_ROW = 9_000_000
"""A request of 10 MB is one row at least; see `append.REQUEST_BYTES`."""


@dataclass(frozen=True, slots=True)
class BigQueryWarehouse:
    """Native tables of one dataset.

    Guarantee: each segment is loaded at most once, however often it is offered, at once or after a kill at any point.
    Appended rows are there at least once, and once in the view beside their table; counts are exact all the same.
    """

    project: str
    dataset: str
    location: str | None = None
    method: str = "load"
    """How rows are written: `load` or `storage_write`."""
    partition_expiration: float | None = None
    """Seconds after which a day of events is dropped; None: as the table has it, never in a new one."""
    time_travel: int | None = None
    """Hours that deleted data can be read back; None: as the dataset has it, seven days in a new one."""
    labels: tuple[tuple[str, str], ...] = ()
    policy_tags: tuple[tuple[str, str], ...] = ()
    """Classification of a property -> policy tag of its column."""
    retry_seconds: float = field(default=30.0, repr=False)
    """For how long a request is repeated when BigQuery cannot be reached."""

    @property
    def name(self) -> str:
        """`project.dataset`, as SQL and messages name it."""
        return f"{self.project}.{self.dataset}"

    @property
    def jobs(self) -> Jobs:
        """What talks to BigQuery."""
        return Jobs(self.project, self.dataset, self.location, self.retry_seconds)

    @property
    def max_row_bytes(self) -> int:
        """What a row of dead letters may hold, with room for what Arrow and Parquet add."""
        return MAX_APPENDED_ROW if self.method == "storage_write" else MAX_LOADED_ROW

    def check_rate(self, types: int, shards: int, flush: float) -> None:
        """Check that a streaming job does not load more often than BigQuery allows; see `load_rate`."""
        if self.method == "load":
            check_rate(types, shards, flush)

    def check_age(self, age: float) -> None:
        """Check that events of this age, in seconds, are not dropped as soon as they are loaded."""
        check_age(age, self.partition_expiration)

    def check_contracts(self, contracts: Sequence[Contract]) -> None:
        """Check that BigQuery can hold the tables of `contracts`; connects to nothing."""
        for contract in contracts:
            tables.table_json(contract)

    def prepare(self, contracts: Sequence[Contract]) -> None:
        """Create the dataset, tables and view that are missing; what is there is checked, not changed.

        Two exceptions follow the URL, if it has them: time travel, and the partition expiry of events.

        Raises:
            ConfigError: the URL or a contract asks for what BigQuery cannot hold, or for another location than
                what is there has.
            WarehouseError: BigQuery cannot be reached, or rejects a statement.

        """
        resources = {name: tables.system_json(name) for name in SYSTEM}
        resources |= {contract.table: self._resource(contract) for contract in contracts}
        with self.jobs.errors():
            self._prepare_dataset()
            for name, resource in resources.items():
                self._prepare_table(name, resource)
            self._create_view(COUNTS_VIEW, COUNTS_VIEW_DESCRIPTION, tables.counts_query(self.name))
            if has_status(contracts):
                self._create_view(STATUS_VIEW, STATUS_DESCRIPTION, tables.status_query(self.name))
            for contract in contracts if self.method == "storage_write" else ():
                description = f"Events of {contract.table}, each once."
                query = tables.once_query(contract, self.name)
                self._create_view(contract.table + ONCE_SUFFIX, description, query)

    def row_errors(self, segment_id: str, minute: int) -> list[RowError] | None:
        """Return the lines that were rejected when the segment was loaded; None if it is not in `_segments`."""
        sql = f"""SELECT refusals FROM `{self.name}.{SEGMENTS.name}`
WHERE minute = @minute AND segment_id = @id LIMIT 1"""
        with self.jobs.errors():
            rows = self.jobs.query(sql, minute=from_micros(minute * MICROSECONDS), id=segment_id)
        return [(line["line"], line["reason"]) for line in rows[0]["refusals"]] if rows else None

    def load(self, load: SegmentLoad) -> list[RowError]:
        """Load the segment's rows, then its counts, then its row of `_segments`; return all rejected lines.

        Raises:
            WarehouseError: a job or an append failed for another reason than the rows' content; what was loaded
                stays.

        """
        segment = load.segment
        known = self.row_errors(segment.id, segment.minute)
        if known is not None:
            return known
        with self.jobs.errors():
            if self.method == "storage_write":
                rejected = append(f"{self.name}.{load.contract.table}", load.rows)
            else:
                rejected = RowLoads(self.jobs, self.name).load(load)
            loaded = load.without_rows(rejected)
            SegmentRecorder(self.jobs, self.name).record(loaded)
        return list(loaded.row_errors)

    def load_rejected(self, load: SegmentLoad) -> list[RowError]:
        """Load those rows of a segment that were rejected and that its table lacks; return the lines still rejected.

        Raises:
            WarehouseError: a job or an append failed for another reason than the rows' content; what was loaded
                stays.

        """
        known = self.row_errors(load.segment.id, load.segment.minute) or []
        tried = load.of_lines({line for line, _ in known})
        try:
            with self.jobs.errors():
                loaded = self._load_missing(tried)
        except TableError:  # they were judged before: rows that all fail again are no news of the table
            return known
        still = [line for line, _ in loaded.row_errors]
        if len(still) < len(known):
            rest = load.of_lines(set(range(len(load.segment.lines))).difference(still))
            with self.jobs.errors():
                SegmentRecorder(self.jobs, self.name).correct(replace(rest, row_errors=loaded.row_errors))
        return list(loaded.row_errors)

    def _load_missing(self, load: SegmentLoad) -> SegmentLoad:
        """Load the rows that the table lacks; return the load without those that BigQuery rejects."""
        loads = DayLoads(self.jobs, self.name, load.contract, load.minute.date())
        if self.method == "load":
            (rejected,) = loads.load([load])
            return load.without_rows(rejected)
        (missing,) = loads.missing_rows([load])
        rows = load.rows.take(pa.array(missing, pa.int64()))
        rejected = append(f"{self.name}.{load.contract.table}", rows) if missing else []
        return load.without_rows([(missing[index], reason) for index, reason in rejected])

    def fill_column(self, loads: Sequence[SegmentLoad], column: str) -> int:
        """Replace rows that lack a value of `column` and have one now, in one statement."""
        with self.jobs.errors():
            return fill_column(self.jobs, self.name, loads, column)

    def doubles(self, *, bounded: bool) -> bool:
        """Tell whether `sluice load` and a run could load a segment twice: rows are appended, or it streams.

        A run of a bounded source loads days, under the same numbers as `sluice load`; a streaming run does not.
        """
        return self.method == "storage_write" or not bounded

    @property
    def load_cost(self) -> LoadCost:
        """A day takes 100,000 load jobs of a project, and 30,000 changes of partitions of a table."""
        return LoadCost(
            "one load, and one change of a partition,", "loads, and as many changes of a partition,"
        )

    @property
    def coalesces(self) -> bool:
        """Whether segments of a day are loaded together: each load job is a change of a partition."""
        return self.method == "load"

    @property
    def coalesces_logs(self) -> bool:
        """Whether `sluice load` does so as well."""
        return self.coalesces

    def row_errors_of_day(self, segment_ids: Sequence[str], day: date) -> Mapping[str, list[RowError]]:
        """Return the rejected lines of those of the segments, all of a UTC day, that are loaded."""
        sql = f"""SELECT segment_id, refusals FROM `{self.name}.{SEGMENTS.name}`
WHERE minute BETWEEN @first AND @last AND segment_id IN UNNEST(@ids)"""
        first, last = day_limits(day)
        with self.jobs.errors():
            rows = self.jobs.query(sql, first=first, last=last, ids=list(segment_ids))
        return {
            row["segment_id"]: [(line["line"], line["reason"]) for line in row["refusals"]] for row in rows
        }

    def load_day(self, loads: Sequence[SegmentLoad]) -> list[list[RowError]]:
        """Load segments of one contract and UTC day, then their counts, then their rows of `_segments`.

        Raises:
            WarehouseError: a job failed for another reason than the rows' content; what was loaded stays.

        """
        contract, day = loads[0].contract, loads[0].minute.date()
        recorder = SegmentRecorder(self.jobs, self.name)
        with self.jobs.errors():
            rejected = DayLoads(self.jobs, self.name, contract, day).load(loads)
            loaded = [load.without_rows(rows) for load, rows in zip(loads, rejected, strict=True)]
            recorder.record_day([load for load in loaded if not load.row_errors])
            for load in loaded:
                if load.row_errors:
                    recorder.record(load)
        return [list(load.row_errors) for load in loaded]

    def segment_records(self, day: date | None = None) -> SegmentRecords:
        """Yield the loaded segments, or those of a UTC day, in pages."""
        sql = f"SELECT segment_id, event_type, path, events, refused FROM `{self.name}.{SEGMENTS.name}`"
        values = {}
        if day is not None:
            sql += " WHERE minute BETWEEN @first AND @last"
            values["first"], values["last"] = day_limits(day)
        with self.jobs.errors():
            for page in self.jobs.pages(sql, **values):
                yield [SegmentRecord(*row.values()) for row in page]

    def row_counts(self, contract: Contract) -> RowCounts:
        """Yield the ids of segments and how many rows of each the contract's table has, in pages.

        Rows that were appended are counted once for each event, as the view beside the table shows them.
        """
        rows = f"COUNT(DISTINCT {EVENT_ID_COLUMN})" if self.method == "storage_write" else "COUNT(*)"
        sql = f"""SELECT {SEGMENT_ID_COLUMN}, {rows} AS stored FROM `{self.name}.{contract.table}`
WHERE `{contract.event_time or INGESTED_AT_COLUMN}` >= @first GROUP BY {SEGMENT_ID_COLUMN}"""
        with self.jobs.errors():
            for page in self.jobs.pages(sql, first=datetime.min.replace(tzinfo=UTC)):
                yield [tuple(row.values()) for row in page]

    def differences(self, contracts: Sequence[Contract]) -> list[list[Difference] | None]:
        """Return for each contract how its table differs from what `prepare` would make; None if there is no table."""
        return [self._differences(contract) for contract in contracts]

    def _differences(self, contract: Contract) -> list[Difference] | None:
        from google.api_core.exceptions import NotFound

        with self.jobs.errors():
            try:
                table = self.jobs.client.get_table(f"{self.name}.{contract.table}", **self.jobs.retry)
            except NotFound:
                return None
        expected = tables.table_schema(self._resource(contract))
        actual = tables.table_schema(table.to_api_repr())
        return compare(contract.table, expected, actual, tables.DIALECT.fold_name)

    def add_columns(self, contract: Contract, paths: Collection[Path]) -> None:
        """Add to the contract's table the columns, or members of columns, at `paths`, which may be null."""
        from google.cloud.bigquery import SchemaField

        with self.jobs.errors():
            table = self.jobs.client.get_table(f"{self.name}.{contract.table}", **self.jobs.retry)
            existing = table.to_api_repr()["schema"]["fields"]
            fields = tables.with_fields(existing, self._resource(contract)["schema"]["fields"], paths)
            table.schema = [SchemaField.from_api_repr(field) for field in fields]
            self.jobs.client.update_table(table, ["schema"], **self.jobs.retry)

    # The methods below raise the client's exceptions: their callers use `jobs.errors`.

    @property
    def dialect(self) -> Dialect:
        """What its SQL looks like."""
        return tables.DIALECT

    def ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns of a query's result, and its rows."""
        with self.jobs.errors():
            return self.jobs.ask(sql)

    def execute(self, create: str, changes: Sequence[str]) -> None:
        """Create a table, and run the other statements one after the other."""
        with self.jobs.errors():
            for statement in (create, *changes):
                self.jobs.ask(statement)

    def _resource(self, contract: Contract) -> dict[str, Any]:
        """Return the table of a contract with what the URL says."""
        resource = tables.table_json(contract, dict(self.policy_tags))
        resource["labels"] = dict(self.labels) | resource["labels"]
        if self.partition_expiration is not None:
            expiry = str(int(self.partition_expiration * 1000))
            resource["timePartitioning"] = resource["timePartitioning"] | {"expirationMs": expiry}
        return resource

    def _prepare_dataset(self) -> None:
        from google.api_core.exceptions import NotFound
        from google.cloud.bigquery import Dataset

        client, retry = self.jobs.client, self.jobs.retry
        try:
            dataset = client.get_dataset(self.name, **retry)
        except NotFound:
            new = Dataset(self.name)
            new.description = tables.DATASET_DESCRIPTION
            new.location = self.location
            new.labels = dict(self.labels) | {"generated_by": "sluice"}
            new.max_time_travel_hours = self.time_travel or tables.TIME_TRAVEL_HOURS
            dataset = client.create_dataset(new, exists_ok=True, **retry)
        if self.location and dataset.location and dataset.location.upper() != self.location.upper():
            message = f"{self.name}: expected a dataset in {self.location}, got one in {dataset.location}"
            raise ConfigError(message)
        if self.time_travel and str(dataset.max_time_travel_hours) != str(self.time_travel):
            dataset.max_time_travel_hours = self.time_travel
            client.update_dataset(dataset, ["max_time_travel_hours"], **retry)

    def _prepare_table(self, name: str, resource: dict[str, Any]) -> None:
        from google.api_core.exceptions import NotFound

        try:
            table = self.jobs.client.get_table(f"{self.name}.{name}", **self.jobs.retry)
        except NotFound:
            table = self._create(name, resource)
        expiry = resource["timePartitioning"].get("expirationMs")
        if expiry is not None and table.time_partitioning.expiration_ms != int(expiry):
            table.time_partitioning.expiration_ms = int(expiry)
            self.jobs.client.update_table(table, ["time_partitioning"], **self.jobs.retry)

    def _create(self, name: str, resource: dict[str, Any]) -> Any:
        from google.cloud.bigquery import Table

        reference = {"projectId": self.project, "datasetId": self.dataset, "tableId": name}
        table = Table.from_api_repr(resource | {"tableReference": reference})
        return self.jobs.client.create_table(table, exists_ok=True, **self.jobs.retry)

    def _create_view(self, name: str, description: str, query: str) -> None:
        self._create(name, {"description": description, "view": {"query": query, "useLegacySql": False}})
