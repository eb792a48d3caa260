"""The embedded warehouse: Parquet segments in a folder, and a DuckDB file with views over them.

`duckdb:///out/w.duckdb` (relative) or `duckdb:////data/w.duckdb` (absolute), as in SQLAlchemy. Beside the
file lies the folder `w` with `w/<table>/event_date=YYYY-MM-DD/<segment id>.parquet`, by the UTC day of the
segment's minute, and, written last, the marker `w/_segments/event_date=YYYY-MM-DD/<segment id>.parquet` with
the segment's counts: a segment is loaded if its marker exists. Any number of workers can write, since a file's
name is its content's hash, and they never touch the DuckDB file, which one process at a time may open.

The views hold absolute paths, so the file can be opened from any working directory; after file and folder
were moved, the next run (`prepare`) rewrites them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.arrow.schema import arrow_schema
from sluice.contracts import EVENT_ID_COLUMN, SEGMENT_ID_COLUMN, Contract
from sluice.contracts import Path as PropertyPath
from sluice.contracts.reserved import COUNTS_VIEW, STATUS_VIEW
from sluice.errors import WarehouseError
from sluice.retry import RetryPolicy
from sluice.warehouses.client_errors import client_errors, file_errors, first_line
from sluice.warehouses.column_fill import rows_of_keys, rows_with_value, with_rows_replaced
from sluice.warehouses.dialect import Dialect
from sluice.warehouses.duckdb.markers import MARKER, RECORDED, marker_rows, segment_record
from sluice.warehouses.duckdb.parquet_files import parquet, write_atomically
from sluice.warehouses.duckdb.views import (
    DIALECT,
    check_contracts,
    view_columns,
    view_differences,
    view_statements,
)
from sluice.warehouses.row_errors import RowError
from sluice.warehouses.schema_diff import Difference, missing_columns, without_columns
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.segment_records import RowCounts, SegmentRecord, SegmentRecords
from sluice.warehouses.status_view import has_status
from sluice.warehouses.system_tables import SEGMENTS

if TYPE_CHECKING:
    import duckdb

LOCK_SECONDS = 10.0
"""How long a DuckDB file that another process has open is waited for."""

EMPTY = "_empty.parquet"
"""A file without rows in each table's folder: a view over no files at all would be an error."""

_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>\S+) \(PID (?P<pid>\d+)\)")


class WarehouseLockedError(WarehouseError):
    """Another process has the DuckDB file open."""


LOCK_RETRY = RetryPolicy(
    LOCK_SECONDS, errors=(WarehouseLockedError,), first_pause=0.05, longest_pause=2, log_level=logging.DEBUG
)


@dataclass(frozen=True, slots=True)
class DuckDBWarehouse:
    """Parquet segments and views over them; `file` is the absolute path of the DuckDB file.

    Guarantee: each segment is loaded at most once, however often it is offered, at once or after a kill at any point.
    """

    file: str
    lock_retry: RetryPolicy = field(default=LOCK_RETRY, repr=False)

    @property
    def folder(self) -> Path:
        """Where the Parquet files lie."""
        return Path(self.file).with_suffix("")

    def check_contracts(self, contracts: Sequence[Contract]) -> None:
        """Check that DuckDB can hold the tables of `contracts` beside the file; connects to nothing."""
        check_contracts(self.file, contracts)

    def prepare(self, contracts: Sequence[Contract]) -> None:
        """Create folders and views for `contracts`; views keep the columns that they have, see `add_columns`.

        A DuckDB file that another process holds is waited for; two runs that start together take turns.

        Raises:
            ConfigError: the path, or a contract, asks for what DuckDB cannot hold.
            WarehouseError: the file is locked or no DuckDB database, or folder or file cannot be written.

        """
        self.check_contracts(contracts)
        with _duckdb_errors(self.folder):
            _write_empty(self.folder / SEGMENTS.name, MARKER, overwrite=False)
        with connect(self.file, self.lock_retry) as connection:
            with _duckdb_errors(self.file):
                tables = [contract.table for contract in contracts]
                differences = dict(zip(tables, view_differences(connection, contracts), strict=True))
            self._create_views(
                connection,
                [
                    without_columns(contract, missing_columns(differences[contract.table] or ()))
                    for contract in contracts
                    if _is_usable(differences[contract.table] or ())
                ],
                new={table for table, difference in differences.items() if difference is None},
            )

    def _create_views(
        self,
        connection: duckdb.DuckDBPyConnection,
        contracts: Sequence[Contract],
        *,
        new: Collection[str] = (),
        changed: Collection[str] = (),
    ) -> None:
        """Create the views of `contracts`, unless they are there.

        A view that is not `new` keeps its columns as they are, but for the `changed` ones: a run of an older
        contract does not take back what was added.
        """
        with _duckdb_errors(self.folder):
            for contract in contracts:
                is_new = bool(changed or contract.table in new)
                _write_empty(self.folder / contract.table, arrow_schema(contract), overwrite=is_new)
        with _duckdb_errors(self.file):
            existing = view_columns(connection, [contract.table for contract in contracts])
        folded = {DIALECT.fold_name(name) for name in changed}
        unchanged = {
            table: {
                name: sql_type for name, sql_type in columns.items() if DIALECT.fold_name(name) not in folded
            }
            for table, columns in existing.items()
        }
        statements = ";\n".join(view_statements(self.folder, contracts, unchanged)) + ";\n"
        views = {SEGMENTS.name, COUNTS_VIEW, *(contract.table for contract in contracts)}
        if has_status(contracts):
            views.add(STATUS_VIEW)
        self._execute_if_changed(connection, statements, views)

    def _execute_if_changed(
        self, connection: duckdb.DuckDBPyConnection, statements: str, views: Collection[str]
    ) -> None:
        """Run the statements that create `views`, unless they are the last that were run and the views are there."""
        last = self.folder / "_views.sql"
        is_last = last.exists() and last.read_text("utf-8") == statements
        with _duckdb_errors(self.file):
            if is_last and set(views) <= _views(connection):
                return
            connection.execute(f"BEGIN; {statements} COMMIT;")
        with _duckdb_errors(self.folder):
            write_atomically(last, statements.encode())

    def local_files(self, tables: Collection[str]) -> Collection[Path]:
        """Return the DuckDB file, and the folders of Parquet files; folders of days come and go."""
        return [Path(self.file), *(self.folder / name for name in (SEGMENTS.name, *tables))]

    def row_errors(self, segment_id: str, minute: int) -> list[RowError] | None:
        """Return the lines that were rejected when the segment was loaded; None if it is not loaded."""
        marker = self._marker(segment_id, minute)
        with _parquet_errors(marker):
            if not marker.exists():
                return None
            rows = pq.ParquetFile(marker).read(columns=["refused"]).column("refused").to_pylist()
        return [(line["line"], line["reason"]) for row in rows for line in row or ()]

    def load(self, load: SegmentLoad) -> list[RowError]:
        """Write the segment's rows, then its marker; return the rejected lines: Parquet itself rejects none.

        A kill between the two leaves rows that the next load replaces by themselves.

        Raises:
            WarehouseError: a file cannot be written; what is there stays valid.

        """
        segment = load.segment
        known = self.row_errors(segment.id, segment.minute)
        if known is not None:
            return known
        return self._write(load)

    def load_rejected(self, load: SegmentLoad) -> list[RowError]:
        """Write the rows of a segment again, with those that could not be made before; return the lines still rejected.

        Nothing is written if lines that are rows cannot be made again: the contract has changed otherwise.
        """
        known = self.row_errors(load.segment.id, load.segment.minute) or []
        before, now = ({line for line, _ in errors} for errors in (known, load.row_errors))
        return self._write(load) if now < before else known

    def fill_column(self, loads: Sequence[SegmentLoad], column: str) -> int:
        """Write the files of segments again that have rows which lack a value of `column` and have one now."""
        return sum(self._fill_column(load, column) for load in loads)

    def _fill_column(self, load: SegmentLoad, column: str) -> int:
        data = self._data(load)
        with _parquet_errors(data):
            stored = pq.ParquetFile(data).read() if data.exists() else load.rows.slice(0, 0)
            lacking = stored.filter(stored[column].is_null()) if column in stored.column_names else stored
            rows = rows_of_keys(rows_with_value(load, column), set(lacking[EVENT_ID_COLUMN].to_pylist()))
            if rows.num_rows:
                write_atomically(data, parquet(with_rows_replaced(stored, rows)))
        return len(rows)

    def _data(self, load: SegmentLoad) -> Path:
        segment = load.segment
        return self.folder / load.contract.table / _partition(segment.minute) / f"{segment.id}.parquet"

    def _write(self, load: SegmentLoad) -> list[RowError]:
        segment = load.segment
        data = self._data(load)
        with _parquet_errors(data):
            if load.rows.num_rows:
                write_atomically(data, parquet(load.rows))
            write_atomically(self._marker(segment.id, segment.minute), parquet(marker_rows(load)))
        return list(load.row_errors)

    def segment_records(self, day: date | None = None) -> SegmentRecords:
        """Yield the loaded segments, or those of a UTC day, in pages of a day."""
        for files in self._days(SEGMENTS.name, "event_date=*" if day is None else _date_folder(day)):
            yield list(filter(None, map(_record_of, files)))

    def row_counts(self, contract: Contract) -> RowCounts:
        """Yield the ids of segments and how many rows of each the contract's table has, in pages of a day."""
        import duckdb

        sql = f"""SELECT {SEGMENT_ID_COLUMN}, count(*)
FROM read_parquet(?, hive_partitioning = false) GROUP BY {SEGMENT_ID_COLUMN}"""
        with _duckdb_errors(self.folder / contract.table), duckdb.connect() as connection:
            for files in self._days(contract.table, "event_date=*"):
                rows = connection.execute(sql, [list(map(str, files))]).fetchall()
                yield [(segment_id, number) for segment_id, number in rows]

    def _days(self, table: str, pattern: str) -> Iterator[list[Path]]:
        """Yield the files of each day of a table."""
        folder = self.folder / table
        with file_errors(folder):
            if not folder.exists():
                message = f"{folder}: expected a folder of Parquet files, got none; run sluice load"
                raise WarehouseError(message)
            days = (list(day.glob("*.parquet")) for day in sorted(folder.glob(pattern)))
            yield from filter(None, days)

    def differences(self, contracts: Sequence[Contract]) -> list[list[Difference] | None]:
        """Return for each contract how its view differs from what `prepare` would make; None if there is no view."""
        if not Path(self.file).exists():
            return [None] * len(contracts)
        with connect(self.file, self.lock_retry) as connection, _duckdb_errors(self.file):
            return view_differences(connection, contracts)

    def add_columns(self, contract: Contract, paths: Collection[PropertyPath]) -> None:
        """Add to the contract's view the columns, or members of columns, at `paths`."""
        with connect(self.file, self.lock_retry) as connection:
            with _duckdb_errors(self.file):
                missing = missing_columns(view_differences(connection, [contract])[0] or [])
            widened = without_columns(contract, [path for path in missing if path not in paths])
            changed = {path[0] for path in paths}
            self._create_views(connection, [widened], changed=changed)

    @property
    def dialect(self) -> Dialect:
        """What its SQL looks like."""
        return DIALECT

    def ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns of a query's result, and its rows; the file is opened for reading."""
        if not Path(self.file).exists():
            message = f"{self.file}: expected a DuckDB database, got none; run the job first"
            raise WarehouseError(message)
        with self.lock_retry(lambda: _connect(self.file, read_only=True)) as connection:
            with _duckdb_errors(self.file):
                result = connection.execute("SET TimeZone = 'UTC'").execute(sql)
                return [column[0] for column in result.description or ()], result.fetchall()

    def execute(self, create: str, changes: Sequence[str]) -> None:
        """Run statements in one transaction."""
        with connect(self.file, self.lock_retry) as connection, _duckdb_errors(self.file):
            connection.begin()
            for statement in (create, *changes):
                connection.execute(statement)
            connection.commit()

    def _marker(self, segment_id: str, minute: int) -> Path:
        return self.folder / SEGMENTS.name / _partition(minute) / f"{segment_id}.parquet"


def connect(file: str, lock_retry: RetryPolicy = LOCK_RETRY) -> duckdb.DuckDBPyConnection:
    """Open the DuckDB file for writing, creating it if missing; wait while another process has it open.

    Raises:
        WarehouseError: another process still has it open, it is no DuckDB database, or cannot be written.

    """
    return lock_retry(lambda: _connect(file))


def _connect(file: str, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    import duckdb

    try:
        return duckdb.connect(file, read_only=read_only)
    except duckdb.Error as error:
        if "Could not set lock" in str(error):
            raise WarehouseLockedError(_locked(file, str(error))) from error
        message = f"{file}: expected a DuckDB database that can be written: {first_line(error)}"
        raise WarehouseError(message) from error


def _locked(file: str, text: str) -> str:
    holder = _HOLDER.search(text)
    by = f"process {holder['pid']} ({holder['program']})" if holder else "another process"
    return f"{file}: expected to open the warehouse, but it is locked by {by}; close it there and run again"


def _duckdb_errors(path: str | Path) -> AbstractContextManager[None]:
    """Raise what disks, DuckDB and Parquet raise as WarehouseError that names the file."""
    import duckdb

    return _parquet_errors(path, duckdb.Error)


@contextmanager
def _parquet_errors(path: str | Path, *types: type[Exception]) -> Iterator[None]:
    """Raise what disks and Parquet raise, and these types, as WarehouseError; workers of a run need no DuckDB."""
    with file_errors(path), client_errors(str(path), "a sound warehouse", (pa.ArrowException, *types)):
        yield


def _record_of(marker: Path) -> SegmentRecord | None:
    """Return what a marker says; None of the one without rows. Markers are small, so DuckDB takes longer for them."""
    with _parquet_errors(marker):
        return segment_record(pq.ParquetFile(marker).read(columns=list(RECORDED), use_threads=False))


def _views(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    return {name for (name,) in rows}


def _is_usable(differences: Sequence[Difference]) -> bool:
    """Return whether a run can load into a table that differs so from its contract."""
    return all(difference.effect != "incompatible" for difference in differences)


def _partition(minute: int) -> str:
    return _date_folder(date(1970, 1, 1) + timedelta(days=minute // 86400))


def _date_folder(day: date) -> str:
    return f"event_date={day}"


def _write_empty(folder: Path, schema: pa.Schema, *, overwrite: bool) -> None:
    """Write a file with the columns of `schema` and no rows; leave one that is there, unless `overwrite`."""
    path = folder / _partition(0) / EMPTY
    if overwrite or not path.exists():
        write_atomically(path, parquet(schema.empty_table()))
