"""The embedded warehouse: Parquet segments in a folder, and a DuckDB file with views over them.

`duckdb:///out/w.duckdb` (relative) or `duckdb:////data/w.duckdb` (absolute), as in SQLAlchemy. Beside the
file lies the folder `w` with `w/<table>/event_date=YYYY-MM-DD/<segment id>.parquet`, by the UTC day of the
segment's minute, and, written last, the mark `w/_segments/event_date=YYYY-MM-DD/<segment id>.parquet` with
the segment's counts: a segment is loaded if its mark exists. Any number of workers can write, since a file's
name is its content's hash, and they never touch the DuckDB file, which one process at a time may open.

The views hold absolute paths, so the file can be opened from any working directory; after file and folder
were moved, the next run (`prepare`) rewrites them.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.arrow.schema import TIMESTAMP, VALUE_TYPE, arrow_schema
from sluice.contracts import Contract
from sluice.errors import WarehouseError
from sluice.warehouses.duckdb.views import (
    COUNTS,
    SEGMENTS,
    check_contracts,
    create_table_sql,
    differences,
    found_columns,
    view_statements,
)
from sluice.warehouses.row_errors import RowError
from sluice.warehouses.schema_diff import Difference, missing_columns, without_columns
from sluice.warehouses.segment_load import SegmentLoad

LOCK_DELAYS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.2, 1.5, 1.75, 2.0, 2.0)
"""Seconds between attempts to open a DuckDB file that another process holds; ten in all."""

EMPTY = "_empty.parquet"
"""A file without rows in each table's folder: a view over no files at all would be an error."""

PARTS = pa.schema(
    {
        "segment_id": pa.string(),
        "event_type": pa.string(),
        "path": pa.string(),
        "minute": TIMESTAMP,
        "ingested_at": TIMESTAMP,
        "window_start": TIMESTAMP,
        "window_end": TIMESTAMP,
        "events": pa.int64(),
        "counted_as": pa.string(),
        "refused": pa.list_(pa.struct({"line": pa.int64(), "reason": pa.string()})),
    }
)
"""A mark: one row for each window of the segment, or one without a window. `refused` stands in the first."""

_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>\S+) \(PID (?P<pid>\d+)\)")


@dataclass(frozen=True, slots=True)
class DuckDBWarehouse:
    """Parquet segments and views over them; `file` is the absolute path of the DuckDB file.

    Guarantee: each segment is loaded once, whoever loads it how often, at once or after a kill at any point.
    """

    file: str
    lock_delays: tuple[float, ...] = field(default=LOCK_DELAYS, repr=False)

    @property
    def folder(self) -> Path:
        """Where the Parquet files lie."""
        return Path(self.file).with_suffix("")

    def prepare(self, contracts: Sequence[Contract]) -> None:
        """Create folders and views for `contracts`; views keep the columns that they have, see `add_columns`.

        A DuckDB file that another process holds is waited for; two runs that start together take turns.

        Raises:
            ConfigError: the path, or a contract, asks for what DuckDB cannot hold.
            WarehouseError: the file is locked or no DuckDB database, or folder or file cannot be written.

        """
        check_contracts(self.file, contracts)
        with _clear_errors(self.folder):
            _write_empty(self.folder / SEGMENTS, PARTS, anew=False)
        with connect(self.file, self.lock_delays) as connection:
            with _clear_errors(self.file):
                known = [(each, differences(connection, each)) for each in contracts]
            usable = [
                (each, what) for each, what in known if all(one.effect != "refused" for one in what or ())
            ]
            self._view(
                connection,
                [without_columns(each, missing_columns(what or ())) for each, what in usable],
                new={each.table for each, what in usable if what is None},
            )

    def _view(
        self,
        connection: duckdb.DuckDBPyConnection,
        contracts: Sequence[Contract],
        new: Collection[str] = (),
        changed: Collection[str] = (),
    ) -> None:
        """Make the views of `contracts`, unless they are there.

        A view that is not `new` keeps its columns as they are, but for the `changed` ones: a run of an older
        contract does not take back what was added.
        """
        with _clear_errors(self.folder):
            for contract in contracts:
                _write_empty(
                    self.folder / contract.table,
                    arrow_schema(contract),
                    anew=bool(changed or contract.table in new),
                )
        with _clear_errors(self.file):
            kept = {each.table: found_columns(connection, each.table) for each in contracts}
        for columns in kept.values():
            for name in changed:
                columns.pop(name, None)
        statements = view_statements(self.folder, contracts, kept)
        views = {SEGMENTS, COUNTS, *(contract.table for contract in contracts)}
        made_for = self.folder / "_views.sql"
        text = ";\n".join(statements) + ";\n"
        as_made = made_for.exists() and made_for.read_text("utf-8") == text
        with _clear_errors(self.file):
            if as_made and views <= _views(connection):
                return
            connection.execute(f"BEGIN; {text} COMMIT;")
        with _clear_errors(self.folder):
            write_atomically(made_for, text.encode())

    def has(self, segment_id: str, minute: int) -> bool:
        """Tell whether the segment is loaded; `minute` is its own, in epoch seconds."""
        return self._mark(segment_id, minute).exists()

    def row_errors(self, segment_id: str, minute: int) -> list[RowError] | None:
        """Return the lines refused when the segment was loaded; None if it is not loaded."""
        mark = self._mark(segment_id, minute)
        with _clear_errors(mark):
            if not mark.exists():
                return None
            rows = pq.ParquetFile(mark).read(columns=["refused"]).column("refused").to_pylist()
        return [(each["line"], each["reason"]) for row in rows for each in row or ()]

    def load(self, load: SegmentLoad) -> list[RowError]:
        """Write the segment's rows, then its mark; return the refused lines: Parquet itself refuses none.

        A kill between the two leaves rows that the next load replaces by themselves.

        Raises:
            WarehouseError: a file cannot be written; what is there stays valid.

        """
        segment = load.segment
        known = self.row_errors(segment.id, segment.minute)
        if known is not None:
            return known
        data = self.folder / load.contract.table / _partition(segment.minute) / f"{segment.id}.parquet"
        with _clear_errors(data):
            if load.rows.num_rows:
                write_atomically(data, _parquet(load.rows))
            write_atomically(self._mark(segment.id, segment.minute), _parquet(_parts(load)))
        return list(load.row_errors)

    def differences(self, contract: Contract) -> list[Difference] | None:
        """Return how the contract's view differs from what `prepare` would make; None if there is no view."""
        if not Path(self.file).exists():
            return None
        with connect(self.file, self.lock_delays) as connection, _clear_errors(self.file):
            return differences(connection, contract)

    def add_columns(self, contract: Contract, paths: Collection[str]) -> None:
        """Add to the contract's view the columns, or members of columns, at `paths`."""
        with connect(self.file, self.lock_delays) as connection:
            with _clear_errors(self.file):
                missing = missing_columns(differences(connection, contract) or [])
            left = without_columns(contract, [each for each in missing if each not in paths])
            self._view(connection, [left], changed={re.split(r"[.\[]", each)[0] for each in paths})

    def create_table_sql(self, contract: Contract) -> str:
        """Return the DDL of the contract's table; see the function of this name."""
        return create_table_sql(contract)

    def _mark(self, segment_id: str, minute: int) -> Path:
        return self.folder / SEGMENTS / _partition(minute) / f"{segment_id}.parquet"


def connect(
    file: str, delays: Sequence[float], sleep: Callable[[float], None] = time.sleep
) -> duckdb.DuckDBPyConnection:
    """Open the DuckDB file for writing, creating it if missing; try again after each of `delays` seconds.

    Raises:
        WarehouseError: another process still has it open, it is no DuckDB database, or cannot be written.

    """
    for delay in (*delays, None):
        try:
            return duckdb.connect(file)
        except duckdb.Error as error:
            text = str(error)
            if "Could not set lock" not in text:
                message = f"{file}: expected a DuckDB database that can be written: {_first_line(text)}"
                raise WarehouseError(message) from error
            if delay is None:
                raise WarehouseError(_locked(file, text)) from error
            sleep(delay)
    raise AssertionError  # the last delay is None


def _locked(file: str, text: str) -> str:
    holder = _HOLDER.search(text)
    by = f"process {holder['pid']} ({holder['program']})" if holder else "another process"
    return f"{file}: expected to open the warehouse, but it is locked by {by}; close it there and run again"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0]


@contextmanager
def _clear_errors(where: str | Path) -> Iterator[None]:
    """Turn what disks and databases raise into one line that names the file."""
    try:
        yield
    except OSError as error:
        path = error.filename or where
        message = f"{path}: expected to read or write the warehouse: {error.strerror or error}"
        raise WarehouseError(message) from error
    except (duckdb.Error, pa.ArrowException) as error:
        message = f"{where}: expected a sound warehouse: {_first_line(str(error))}"
        raise WarehouseError(message) from error


def _views(connection: duckdb.DuckDBPyConnection) -> set[str]:
    found = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    return {name for (name,) in found}


def _partition(minute: int) -> str:
    return f"event_date={date(1970, 1, 1) + timedelta(days=minute // 86400)}"


def _parts(load: SegmentLoad) -> pa.Table:
    segment = load.segment
    common = {
        "segment_id": segment.id,
        "event_type": segment.event_type,
        "path": segment.path,
        "minute": load.minute,
        "ingested_at": load.ingested_at,
    }
    counts: list[dict[str, object]] = [
        {
            "window_start": count.window_start,
            "window_end": count.window_end,
            "events": count.events,
            "counted_as": count.event_type or segment.event_type,
        }
        for count in load.window_counts
    ] or [{"events": load.events}]
    counts[0]["refused"] = [{"line": line, "reason": reason} for line, reason in load.row_errors]
    return pa.Table.from_pylist([common | count for count in counts], PARTS)


def _parquet(table: pa.Table) -> pa.Buffer:
    """Write with a dictionary for texts only: numbers, times and identities differ in each row."""
    texts = [
        each.name
        for each in table.schema
        if each.type == pa.string() and VALUE_TYPE not in (each.metadata or {})
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in texts if name != "_event_id"],
    )
    return sink.getvalue()


def _write_empty(folder: Path, schema: pa.Schema, *, anew: bool) -> None:
    """Leave a file with the columns of `schema` and no rows; one that is there stays, unless it is made `anew`."""
    path = folder / _partition(0) / EMPTY
    if anew or not path.exists():
        write_atomically(path, _parquet(schema.empty_table()))


def write_atomically(path: Path, data: bytes | pa.Buffer) -> None:
    """Write and sync a file under a hidden name, then give it its own; half of it is never seen.

    The hidden name ends in `.tmp`: DuckDB's `*.parquet` matches names that begin with a dot.
    """
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _sync_folder(path.parent.parent)
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(hidden, "xb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        os.replace(hidden, path)
    except OSError:
        hidden.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
