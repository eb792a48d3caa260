"""Verify the logs of a job against their own rules, and a warehouse against the logs.

What is compared is kept in a temporary SQLite file, so that memory is bounded and time is linear, but for sorting.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice.config.job import Job
from sluice.contracts import Contract
from sluice.dead_letters.envelope import dead_letter_contract
from sluice.dead_letters.log import DeadLetterLog
from sluice.elements import DEAD_LETTER, QUARANTINE, REDELIVERY, SOURCE_FILE
from sluice.eventlog.log import EventLog
from sluice.eventlog.source_manifest import FOLDER, SourceManifest, source_file_contract
from sluice.eventlog.type_log import LOG_FILE, TypeLog
from sluice.eventlog.verification import verify_type_log
from sluice.storage import open_store
from sluice.tooling.tables import contracts_of, with_differences
from sluice.warehouses import Warehouse, open_warehouse
from sluice.warehouses.segment_records import absolute, changed_segment, is_below, missing_segment

_TABLES = """
CREATE TABLE files (event_type TEXT, id TEXT, path TEXT, place TEXT, lines INTEGER);
CREATE TABLE records (event_type TEXT, id TEXT, path TEXT, place TEXT, events INTEGER, row_errors INTEGER);
CREATE TABLE row_counts (event_type TEXT, id TEXT, rows INTEGER);
"""
_INDEXES = """
CREATE INDEX files_by_id ON files (id, event_type);
CREATE INDEX files_by_place ON files (place);
CREATE INDEX records_by_id ON records (id, event_type);
CREATE INDEX records_by_place ON records (place);
CREATE INDEX row_counts_by_id ON row_counts (id, event_type);
"""
_NOT_LOADED = """SELECT files.event_type, files.path, files.id, min(records.id)
FROM files LEFT JOIN records ON records.place = files.place AND records.event_type = files.event_type
WHERE NOT EXISTS (
    SELECT 1 FROM records AS loaded WHERE loaded.id = files.id AND loaded.event_type = files.event_type
)
GROUP BY files.rowid ORDER BY files.rowid"""
_WITHOUT_FILE = """SELECT records.event_type, records.path, records.id, files.id, EXISTS (
    SELECT 1 FROM records AS loaded WHERE loaded.id = files.id AND loaded.event_type = files.event_type
)
FROM records LEFT JOIN files ON files.place = records.place
WHERE records.place IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM files AS own WHERE own.id = records.id AND own.event_type = records.event_type
)
ORDER BY records.place"""
_MOVED = """SELECT files.event_type, files.path, records.path
FROM records JOIN files ON files.id = records.id AND files.event_type = records.event_type
WHERE records.place <> files.place AND NOT EXISTS (
    SELECT 1 FROM files AS own WHERE own.id = records.id AND own.place = records.place
)
ORDER BY files.rowid"""
_OTHER_EVENTS = """SELECT files.event_type, files.path, files.lines, records.events, records.row_errors
FROM records JOIN files ON files.id = records.id AND files.event_type = records.event_type
WHERE records.events + records.row_errors <> files.lines
GROUP BY records.rowid ORDER BY files.rowid"""
_OTHER_ROWS = """SELECT records.event_type, records.path, records.events, coalesce(sum(row_counts.rows), 0) AS stored
FROM records LEFT JOIN row_counts ON row_counts.id = records.id AND row_counts.event_type = records.event_type
WHERE records.event_type = ?
GROUP BY records.id HAVING records.events <> stored ORDER BY records.path"""
_UNKNOWN_ROWS = """SELECT row_counts.event_type, row_counts.id, row_counts.rows
FROM row_counts
WHERE NOT EXISTS (
    SELECT 1 FROM records WHERE records.id = row_counts.id AND records.event_type = row_counts.event_type
)
ORDER BY row_counts.id"""


@dataclass(slots=True)
class TypeTotals:
    """What was verified of one event type; `loaded` and `rows` are None if the job does not load them."""

    segments: int = 0
    events: int = 0
    loaded: int | None = None
    rows: int | None = None
    problems: int = 0


@dataclass(frozen=True)
class _TypeLogOf:
    """One event type of a log, with what is left out of its folder."""

    log: EventLog
    event_type: str
    contract: Contract | None
    others: tuple[str, ...] = ()


@dataclass
class Verification:
    """The verification of a job: iterate over `problems`, then read `totals`."""

    job: Job
    on_progress: Callable[[int], None]
    """Takes the number of segments that were read so far."""
    totals: dict[str, TypeTotals] = field(default_factory=dict)
    """By event type; `redelivery`, `quarantine` and `source_file` only if there are such segments."""
    other_logs: int = 0
    """Segments of the job's event types that the warehouse has loaded from other folders."""

    def problems(self) -> Iterator[str]:
        """Yield a line for each problem: file, expected, got, way out.

        Raises:
            SluiceError: a log cannot be listed, or the warehouse cannot be read.

        """
        with (
            tempfile.TemporaryDirectory(prefix="sluice-verify-") as folder,
            closing(sqlite3.connect(Path(folder) / "compared.db", isolation_level=None)) as compared,
        ):
            # The file is for this process alone, and of no use once it ends.
            compared.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLES}")
            for event_type, problem in self._all_problems(compared):
                self.totals.setdefault(event_type, TypeTotals()).problems += 1
                yield problem

    def _all_problems(self, compared: sqlite3.Connection) -> Iterator[tuple[str, str]]:
        yield from self._verify_logs(compared)
        # What no run has written needs no table: the manifest, and redelivery entries.
        tables = [
            table
            for table in contracts_of(self.job)
            if table.event_type not in (SOURCE_FILE, REDELIVERY) or table.event_type in self.totals
        ]
        warehouse = open_warehouse(self.job.warehouse)
        missing = [table for table, differences in with_differences(warehouse, tables) if differences is None]
        for table in missing:
            yield table.event_type, f"{table.table}: expected a table, got none; run sluice load"
        if not missing or len(missing) < len(tables):
            self._read_records(warehouse, compared)
            self._read_rows(warehouse, compared, [table for table in tables if table not in missing])
            compared.executescript(_INDEXES)
            yield from self._compare(compared, tables)

    def _type_logs(self) -> Iterator[_TypeLogOf]:
        job = self.job
        type_logs = {name: TypeLog.of(contract) for name, contract in job.contracts.items()}
        log = EventLog(open_store(job.files), type_logs, job.windows.shards)
        for name, contract in job.contracts.items():
            yield _TypeLogOf(log, name, contract)
        dead_letters = DeadLetterLog.at(job.dead_letters, job.quarantine, redeliveries=True)
        yield _TypeLogOf(dead_letters, DEAD_LETTER, dead_letter_contract(), (REDELIVERY, QUARANTINE))
        yield _TypeLogOf(dead_letters, REDELIVERY, None)
        yield _TypeLogOf(dead_letters.quarantine, QUARANTINE, dead_letter_contract())
        yield _TypeLogOf(SourceManifest.at(job.files).log, SOURCE_FILE, source_file_contract())

    def _verify_logs(self, compared: sqlite3.Connection) -> Iterator[tuple[str, str]]:
        read, loaded_types = 0, self._loaded_types()
        for part in self._type_logs():
            totals = TypeTotals()
            loads = part.event_type in loaded_types
            for folder in verify_type_log(part.log, part.event_type, part.contract, part.others):
                for problem in folder.problems:
                    yield part.event_type, problem
                rows = [
                    (part.event_type, segment.id, segment.path, absolute(segment.path), segment.lines)
                    for segment in folder.segments
                ]
                if loads:
                    compared.executemany("INSERT INTO files VALUES (?, ?, ?, ?, ?)", rows)
                totals.segments += len(rows)
                totals.events += sum(segment.lines for segment in folder.segments)
                read += len(rows)
                self.on_progress(read)
            if part.event_type in self.job.contracts and not totals.segments and not _is_open(part):
                place = part.log.store.url(part.log.type_logs[part.event_type].settings_path)
                message = (
                    f"{place}: expected the log of {part.event_type}, got none; run the job, or restore it"
                )
                yield part.event_type, message
            if part.event_type in (*self.job.contracts, DEAD_LETTER) or totals.segments:
                known = self.totals.setdefault(part.event_type, TypeTotals())
                known.segments, known.events = totals.segments, totals.events

    def _loaded_types(self) -> Mapping[str, str]:
        """Return the event types that the job loads, and the folder of the log that each comes from."""
        job = self.job
        files, dead_letters = (absolute(open_store(url).url("")) for url in (job.files, job.dead_letters))
        loaded = dict.fromkeys(job.contracts, files)
        if "dead_letters" in job.load:
            loaded |= {DEAD_LETTER: dead_letters, REDELIVERY: dead_letters}
        if "sources" in job.load:
            loaded[SOURCE_FILE] = absolute(open_store(job.files.child(FOLDER)).url(""))
        return loaded

    def _read_records(self, warehouse: Warehouse, compared: sqlite3.Connection) -> None:
        folders = self._loaded_types()
        for name in folders.keys() & self.totals.keys():
            self.totals[name].loaded = 0
        for page in warehouse.segment_records():
            rows: list[tuple[Any, ...]] = []
            for record in page:
                if record.event_type not in folders:
                    continue
                place = absolute(record.path)
                if not is_below(place, folders[record.event_type]):
                    place, self.other_logs = "", self.other_logs + 1
                totals = self.totals.setdefault(record.event_type, TypeTotals())
                totals.loaded = (totals.loaded or 0) + 1
                known = (record.event_type, record.id, record.path, place or None)
                rows.append((*known, record.events, record.row_errors))
            compared.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _read_rows(self, warehouse: Warehouse, compared: sqlite3.Connection, tables: list[Contract]) -> None:
        for table in tables:
            stored = 0
            for page in warehouse.row_counts(table):
                rows = [(table.event_type, segment_id, number) for segment_id, number in page]
                compared.executemany("INSERT INTO row_counts VALUES (?, ?, ?)", rows)
                stored += sum(number for *_, number in rows)
            self.totals[table.event_type].rows = stored

    def _compare(self, compared: sqlite3.Connection, tables: list[Contract]) -> Iterator[tuple[str, str]]:
        for event_type, path, stored, loaded in compared.execute(_NOT_LOADED):
            if loaded is None:
                message = f"{path}: expected segment {stored} in the warehouse, got none; run sluice load"
            else:
                message = str(changed_segment(path, loaded, stored))
            yield event_type, message
        for event_type, path, loaded, stored, is_loaded in compared.execute(_WITHOUT_FILE):
            if stored is None:
                yield event_type, str(missing_segment(path, loaded))
            elif is_loaded:
                message = (
                    f"{path}: expected segment {stored} alone, got segment {loaded} of this file as well; "
                    "the file was changed, and both were loaded: load the log into a new warehouse"
                )
                yield event_type, message
        for event_type, path, loaded in compared.execute(_MOVED):
            yield event_type, f"{path}: expected this segment at {loaded}, where it was loaded; move it back"
        names = {table.event_type: table.table for table in tables}
        for event_type, path, lines, events, row_errors in compared.execute(_OTHER_EVENTS):
            if event_type in names:
                message = (
                    f"{path}: expected {lines} events in the warehouse, got {events} and {row_errors} row errors; "
                    "load the log into a new warehouse"
                )
                yield event_type, message
        yield from _compare_rows(compared, names)


def _is_open(part: _TypeLogOf) -> bool:
    return LOG_FILE in part.log.store.list(part.log.type_logs[part.event_type].folder)


def _compare_rows(compared: sqlite3.Connection, tables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the problems of tables, by event type -> name."""
    for name, table in tables.items():
        for event_type, path, events, rows in compared.execute(_OTHER_ROWS, [name]):
            message = (
                f"{path}: expected {events} rows in {table}, got {rows}; rows were deleted or added: "
                "load the log into a new warehouse"
            )
            yield event_type, message
    for event_type, segment_id, rows in compared.execute(_UNKNOWN_ROWS):
        message = (
            f"{tables[event_type]}: expected rows of loaded segments alone, got {rows} of segment {segment_id}; "
            "run sluice load, or delete them"
        )
        yield event_type, message
