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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.compile.arrow import ADDED, KIND, TIMESTAMP, arrow_schema
from pipeline.contracts import Contract, Kind, Property
from pipeline.count import MICROSECONDS, WindowCount
from pipeline.elements import DEAD_LETTER, Segment
from pipeline.errors import ConfigError, ContractError, WarehouseError
from pipeline.warehouses.duckdb_shape import found_columns, found_shape, wanted_shape
from pipeline.warehouses.refusals import Refusal
from pipeline.warehouses.shapes import Difference, compare, lacking, narrowed

LOCK_DELAYS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.2, 1.5, 1.75, 2.0, 2.0)
"""Seconds between attempts to open a DuckDB file that another process holds; ten in all."""

SEGMENTS = "_segments"
COUNTS = "event_counts"
EVENT_DATE = Property("event_date", "date", required=True, description="UTC day of the event, the partition.")
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

SCALARS: dict[Kind, str] = {
    "string": "VARCHAR",
    "uuid": "UUID",
    "integer": "BIGINT",
    "float": "DOUBLE",
    "decimal": "DECIMAL(38,9)",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
    "json": "JSON",
}

_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>\S+) \(PID (?P<pid>\d+)\)")


@dataclass(frozen=True, slots=True)
class DuckDBWarehouse:
    """Parquet segments and views over them; `file` is the absolute path of the DuckDB file.

    Guarantee: each segment is loaded once, whoever loads it how often, at once or after a kill at any point.
    """

    file: str
    lock_delays: tuple[float, ...] = field(default=LOCK_DELAYS, repr=False)

    @classmethod
    def open(cls, url: str) -> DuckDBWarehouse:
        """Return the warehouse at `url`; nothing is touched yet.

        Raises:
            ConfigError: the URL has no path, no file suffix, or characters that DuckDB takes for wildcards.

        """
        path = url.removeprefix("duckdb:///")
        if path == url or not Path(path).suffix:
            message = f"warehouse: expected duckdb:///PATH.duckdb, got {url!r}"
            raise ConfigError(message)
        if found := sorted(set(path) & set("*?[]")):
            message = f"warehouse: expected a path without * ? [ ], got {' '.join(found)} in {url!r}"
            raise ConfigError(message)
        return cls(os.path.abspath(path))

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
        _check(self.file, contracts)
        with _clear_errors(self.folder):
            _write_empty(self.folder / SEGMENTS, PARTS, anew=False)
        with connect(self.file, self.lock_delays) as connection:
            with _clear_errors(self.file):
                known = [(each, _differences(connection, each)) for each in contracts]
            usable = [
                (each, what) for each, what in known if all(one.effect != "refused" for one in what or ())
            ]
            self._view(
                connection,
                [narrowed(each, lacking(what or ())) for each, what in usable],
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

    def refused(self, segment_id: str, minute: int) -> list[Refusal] | None:
        """Return the lines refused when the segment was loaded; None if it is not loaded."""
        mark = self._mark(segment_id, minute)
        with _clear_errors(mark):
            if not mark.exists():
                return None
            rows = pq.ParquetFile(mark).read(columns=["refused"]).column("refused").to_pylist()
        return [(each["line"], each["reason"]) for row in rows for each in row or ()]

    def load(
        self,
        contract: Contract,
        segment: Segment,
        table: pa.Table,
        refused: Sequence[Refusal],
        windows: Sequence[WindowCount],
        ingested_at: datetime,
    ) -> list[Refusal]:
        """Write the segment's rows, then its mark; return the refused lines: Parquet itself refuses none.

        A kill between the two leaves rows that the next load replaces by themselves.

        Raises:
            WarehouseError: a file cannot be written; what is there stays valid.

        """
        known = self.refused(segment.id, segment.minute)
        if known is not None:
            return known
        data = self.folder / contract.table / _partition(segment.minute) / f"{segment.id}.parquet"
        with _clear_errors(data):
            if table.num_rows:
                write_atomically(data, _parquet(table))
            mark = _parts(segment, table.num_rows, windows, refused, ingested_at)
            write_atomically(self._mark(segment.id, segment.minute), _parquet(mark))
        return list(refused)

    def differences(self, contract: Contract) -> list[Difference] | None:
        """Return how the contract's view differs from what `prepare` would make; None if there is no view."""
        if not Path(self.file).exists():
            return None
        with connect(self.file, self.lock_delays) as connection, _clear_errors(self.file):
            return _differences(connection, contract)

    def add_columns(self, contract: Contract, paths: Collection[str]) -> None:
        """Add to the contract's view the columns, or members of columns, at `paths`."""
        with connect(self.file, self.lock_delays) as connection:
            with _clear_errors(self.file):
                missing = lacking(_differences(connection, contract) or [])
            left = narrowed(contract, [each for each in missing if each not in paths])
            self._view(connection, [left], changed={re.split(r"[.\[]", each)[0] for each in paths})

    def create_table_sql(self, contract: Contract) -> str:
        """Return the DDL of the contract's table; see the function of this name."""
        return create_table_sql(contract)

    def _mark(self, segment_id: str, minute: int) -> Path:
        return self.folder / SEGMENTS / _partition(minute) / f"{segment_id}.parquet"


def _differences(connection: duckdb.DuckDBPyConnection, contract: Contract) -> list[Difference] | None:
    found = found_shape(connection, contract.table)
    return (
        None if found is None else compare(contract.table, wanted_shape(_columns(contract), sql_type), found)
    )


def create_table_sql(contract: Contract) -> str:
    """Return `CREATE TABLE` and comments for DuckDB; the contract's view has the same columns and types.

    Raises:
        ContractError: DuckDB cannot hold a table or a column of that name.

    """
    _check_contract(contract)
    columns = _columns(contract)
    lines = [f"    {_name(c.name)} {sql_type(c)}{' NOT NULL' if c.required else ''}" for c in columns]
    statements = [f"CREATE TABLE {_name(contract.table)} (\n" + ",\n".join(lines) + "\n)"]
    return ";\n".join([*statements, *_comments(contract, "TABLE")]) + ";\n"


def sql_type(prop: Property) -> str:
    """Return the DuckDB type of a property."""
    if prop.kind == "object":
        inner = ", ".join(f"{_name(each.name)} {sql_type(each)}" for each in prop.properties)
        return f"STRUCT({inner})"
    if prop.items is not None:
        return f"{sql_type(prop.items)}[]"
    return SCALARS[prop.kind]


def view_statements(
    folder: Path, contracts: Sequence[Contract], kept: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Return what makes the views over the Parquet files in `folder`, with comments.

    `kept` are the columns of views that are there, by table: name -> type, which stay as they are.
    """
    statements = []
    for contract in contracts:
        types = {each.name: sql_type(each) for each in _columns(contract)}
        types |= kept.get(contract.table, {})
        selected = [f"CAST({_name(name)} AS {kind}) AS {_name(name)}" for name, kind in types.items()]
        # By name, since files that are older than a property of the contract lack its column.
        options = "union_by_name = true, hive_partitioning = true, hive_types = {'event_date': DATE}"
        files = _text(f"{folder}/{contract.table}/*/*.parquet")
        statements.append(
            f"CREATE OR REPLACE VIEW {_name(contract.table)} AS\nSELECT\n    "
            + ",\n    ".join(selected)
            + f"\nFROM read_parquet({files}, {options})"
        )
        statements += _comments(contract, "VIEW")
    marks = f"read_parquet({_text(f'{folder}/{SEGMENTS}/*/*.parquet')}, hive_partitioning = false)"
    return [
        *statements,
        f"""CREATE OR REPLACE VIEW {COUNTS} AS
SELECT counted_as AS event_type, window_start, window_end, CAST(sum(events) AS BIGINT) AS events
FROM {marks}
WHERE window_start IS NOT NULL AND event_type <> {_text(DEAD_LETTER)}
GROUP BY counted_as, window_start, window_end""",
        f"""CREATE OR REPLACE VIEW {SEGMENTS} AS
SELECT
    segment_id, event_type, path, minute, CAST(sum(events) AS BIGINT) AS events,
    CAST(sum(coalesce(len(refused), 0)) AS BIGINT) AS refused, ingested_at
FROM {marks}
GROUP BY segment_id, event_type, path, minute, ingested_at""",
    ]


def _comments(contract: Contract, what: str) -> list[str]:
    table = _name(contract.table)
    comments = [f"COMMENT ON {what} {table} IS {_text(contract.description)}"] if contract.description else []
    return comments + [
        f"COMMENT ON COLUMN {table}.{_name(column.name)} IS {_text(column.description)}"
        for column in _columns(contract)
        if column.description
    ]


def _columns(contract: Contract) -> tuple[Property, ...]:
    return (*contract.columns, *ADDED, EVENT_DATE)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _check(file: str, contracts: Sequence[Contract]) -> None:
    for contract in contracts:
        _check_contract(contract)
        # A folder `status=x` above would be taken for a partition and overrule the column `status`.
        columns = {column.name.lower() for column in _columns(contract)}
        for part in Path(file).parts:
            key, separator, _ = part.partition("=")
            if separator and key.lower() in columns:
                message = f"warehouse: {file}: expected no folder named like a column, got {part!r}"
                raise ConfigError(message)


def _check_contract(contract: Contract) -> None:
    where = contract.path or contract.label
    if not _TABLE.fullmatch(contract.table) or contract.table.lower() == COUNTS:
        message = f"{where}: table: expected letters, digits, _, but not {COUNTS}; got {contract.table!r}"
        raise ContractError(message)
    arrow_schema(contract)  # refuses reserved names
    _check_names(_columns(contract), f"{where}: property ")


def _check_names(properties: Sequence[Property], where: str) -> None:
    seen: dict[str, str] = {}
    for prop in properties:
        if other := seen.get(prop.name.lower()):
            message = f"{where}{prop.name}: DuckDB cannot tell it from {other}; rename one"
            raise ContractError(message)
        seen[prop.name.lower()] = prop.name
        inner = prop
        while inner.items is not None:
            inner = inner.items
        _check_names(inner.properties, f"{where}{prop.name}.")


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


def _parts(
    segment: Segment,
    rows: int,
    windows: Sequence[WindowCount],
    refused: Sequence[Refusal],
    ingested_at: datetime,
) -> pa.Table:
    alike = {
        "segment_id": segment.id,
        "event_type": segment.event_type,
        "path": segment.path,
        "minute": segment.minute * MICROSECONDS,
        "ingested_at": ingested_at,
    }
    counts: list[dict[str, object]] = [
        {
            "window_start": each.window_start,
            "window_end": each.window_end,
            "events": each.events,
            "counted_as": each.event_type or segment.event_type,
        }
        for each in windows
    ] or [{"events": rows}]
    counts[0]["refused"] = [{"line": line, "reason": reason} for line, reason in refused]
    return pa.Table.from_pylist([alike | count for count in counts], PARTS)


def _parquet(table: pa.Table) -> pa.Buffer:
    """Write with a dictionary for texts only: numbers, times and identities differ in each row."""
    texts = [
        each.name for each in table.schema if each.type == pa.string() and KIND not in (each.metadata or {})
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
