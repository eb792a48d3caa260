"""Segment -> rows, counts and row errors, and those into a warehouse; without Beam, for the steps in `load`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from sluice.arrow.from_json import event_ids_of, to_table
from sluice.arrow.unknown_paths import count_unknown_paths
from sluice.arrow.window_counts import WindowCount, count_events
from sluice.clock import Clock
from sluice.config.job import Job
from sluice.contracts import Contract
from sluice.dead_letters.table_rows import table_line
from sluice.elements import (
    DEAD_LETTER,
    INTERNAL_TYPES,
    REDELIVERY,
    SOURCE_FILE,
    Rejected,
    Segment,
    StepCounts,
    StoredSegment,
    Violation,
)
from sluice.eventlog.log import EventLog
from sluice.eventlog.placement import compile_placement_check
from sluice.provenance import Origin
from sluice.retry import RetryPolicy
from sluice.sources import parse_source
from sluice.validation.deduplication_keys import compile_deduplication_key, keys_of
from sluice.validation.explainer import read_event_time
from sluice.warehouses import Coalescing, Doubling, RowError, RowLimited, SegmentLoad, Warehouse
from sluice.warehouses.own_tables import LOADED_AS
from sluice.warehouses.segment_records import LoadedSegmentGuard

_OF_DEAD_LETTERS = frozenset({DEAD_LETTER, REDELIVERY})
"""Types whose rows quote records, so that a table may reject them."""

_NOT_COUNTED = frozenset({REDELIVERY, SOURCE_FILE})


class ConvertedSegment(NamedTuple):
    """What to load of a segment, the counts of its events by window, and those with members outside the contract."""

    load: SegmentLoad
    windows: Sequence[WindowCount]
    unknown_paths: Mapping[str, int]


class SegmentConverter:
    """Converts the lines of segments into what a warehouse loads. Pure: no Beam, no clock, no I/O.

    A job may load counts without rows, or rows without counts; for the ledger, events are loaded if either is.
    """

    def __init__(self, job: Job, tables: Mapping[str, Contract], max_row_bytes: int | None = None) -> None:
        """Compile `tables`: event type -> its contract as its table takes it, see `tables.fit_to_table`.

        `max_row_bytes` is what a row of the warehouse may hold, if that is less than a record may have.
        """
        self._tables = tables
        self._max_row_bytes = max_row_bytes
        self._loads_rows = "events" in job.load
        self._loads_counts = "counts" in job.load
        self._window = job.windows.counts
        # A table may lack a property that its contract has, so the key is that of the contract itself.
        contracts = {**tables, **job.contracts}
        self._keys = {name: compile_deduplication_key(contract) for name, contract in contracts.items()}

    def loads_rows(self, event_type: str) -> bool:
        """Tell whether rows of this type are loaded, and not counts alone."""
        return self._loads_rows or event_type in INTERNAL_TYPES

    def convert(self, segment: Segment, appended_at: datetime, ingested_at: datetime) -> ConvertedSegment:
        """Return what to load of a segment, and what is counted of its events, loaded or not.

        `appended_at` is when it was created in the event log, the same in every warehouse; `ingested_at` is now.
        """
        contract = self._tables[segment.event_type]
        keys = segment.keys if segment.plain else keys_of(self._keys[segment.event_type], segment.lines)
        event_ids = event_ids_of(keys)
        rows_of = segment
        if segment.event_type in _OF_DEAD_LETTERS:
            rows_of = replace(
                segment, lines=[table_line(line, self._max_row_bytes) for line in segment.lines]
            )
        table, row_errors = to_table(contract, rows_of, event_ids, appended_at)
        windows = count_events(contract, table, self._window, segment.minute)
        rows = table if self.loads_rows(segment.event_type) else table.slice(0, 0)
        loaded_windows = windows if self._loads_counts and segment.event_type not in _NOT_COUNTED else []
        load = SegmentLoad(contract, segment, rows, row_errors, loaded_windows, ingested_at)
        return ConvertedSegment(load, windows, count_unknown_paths(contract, table))

    def rejected(self, segment: Segment, row_errors: Sequence[RowError]) -> list[Rejected]:
        """Return the lines of a segment whose rows could not be loaded, as rejected records."""
        contract = self._tables[segment.event_type]
        begin = datetime.fromtimestamp(segment.minute, UTC)
        expected = f"a row that {contract.table} takes"
        return [
            Rejected(
                record=segment.lines[index],
                origin=Origin(uri=segment.path, arrival=segment.minute, line=index + 1, offset=index),
                step="load",
                violations=(Violation("rejected_by_warehouse", "", expected, reason),),
                event_type=segment.event_type,
                contract=contract.label,
                event_time=read_event_time(contract, segment.lines[index]) or begin,
                # Not the address: the row of a log that was moved is the same one.
                identity=b"row\0%b/%d" % (segment.id.encode(), index),
            )
            for index, reason in row_errors
        ]


@dataclass(frozen=True, slots=True)
class LoadedSegment:
    """The result of one load: its figures, its rejected rows, and by window the events that it loaded."""

    event_type: str
    counts: StepCounts
    rejected: Sequence[Rejected]
    windows: Sequence[WindowCount]
    in_work_for: float = 0.0
    """Seconds for which a run may still be loading it, so that it was left to that run."""

    def repeated(self) -> LoadedSegment:
        """Return it as that of a segment whose events are counted: only its rejected rows are new dead letters."""
        counts = {("backfill_rejected", self.event_type): len(self.rejected)}
        return LoadedSegment(self.event_type, StepCounts(counts), self.rejected, [])


DAY_LOAD_BYTES = 128 << 20
"""Bytes of lines that are loaded together; as rows and as Parquet they take some twice as much memory."""

_IDS_A_QUERY = 5_000

IN_WORK_SECONDS = 900.0
"""For how long a segment that is not loaded may be in the work of a run: streaming jobs retry for 600 s by default."""


class SegmentLoader:
    """Loads segments of one event log into a warehouse, each at most once.

    A failed call of the warehouse or the store is retried as `retry` says; then its exception is raised. Rows that the
    warehouse rejected are returned again when the segment is loaded already, so that a crash between the load and
    the dead letters loses none. With `retries_rejected`, a segment of an earlier run first has them loaded again.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        tables: Mapping[str, Contract],
        log: EventLog,
        job: Job,
        clock: Clock,
        retry: RetryPolicy,
        *,
        retries_rejected: bool = False,
    ) -> None:
        """`tables` are the contracts as their tables take them; `job` says what is loaded; `clock` when it is."""
        self._warehouse = warehouse
        self._tables = {
            name: contract
            for name, contract in tables.items()
            if name not in LOADED_AS or LOADED_AS[name] in job.load
        }
        self._log = log
        self._job = job
        self._clock = clock
        self._retry = retry
        self._retries_rejected = retries_rejected

    def compile(self) -> None:
        """Compile the contracts; once in each worker, before the first segment."""
        warehouse = self._warehouse
        max_row_bytes = warehouse.max_row_bytes if isinstance(warehouse, RowLimited) else None
        self._converter = SegmentConverter(self._job, self._tables, max_row_bytes)
        self._guard = LoadedSegmentGuard(self._warehouse)
        self._doubles = (
            self._retries_rejected
            and isinstance(warehouse, Doubling)
            and warehouse.doubles(bounded=parse_source(self._job.source).bounded)
        )
        contracts = {**self._tables, **self._job.contracts}
        self._check_placement = {name: compile_placement_check(contracts[name]) for name in self._tables}

    def loads(self, event_type: str) -> bool:
        """Tell whether the job loads this event type; others, such as the quarantine, stay in the log alone."""
        return event_type in self._tables

    def load(self, offered: Segment | StoredSegment) -> LoadedSegment:
        """Load a segment of this run: its events count as `loaded` and `load_rejected`."""
        row_errors, converted = self._row_errors(offered), None
        segment = self._retry(lambda: self._read(offered))
        if row_errors is None:
            row_errors, converted = self._retry(lambda: self._load(segment))
        return self._result(segment, row_errors, converted, is_new=True)

    def backfill(self, stored: Segment | StoredSegment) -> LoadedSegment | None:
        """Load a segment of an earlier run: its events count as `backfilled` and `backfill_rejected`.

        None if the warehouse has it already, and rejected none of its rows. Rows that are only loaded now, since it
        rejected them before, are `backfilled`, too. With `retries_rejected`, one that a run may be loading now is left
        to that run, and counts as `in_work`, if two loads at the same time would double its rows.

        Raises:
            StorageError: the file was changed since it was loaded, or its events belong into another folder.

        """
        row_errors, converted = self._row_errors(stored), None
        if row_errors is not None and not row_errors:
            return None
        if row_errors is None:
            self._retry(lambda: self._guard(stored))
            if (left := self._left_to_its_run(stored)) is not None:
                return left
        elif self._retries(stored.event_type):
            return self._load_rejected(self._retry(lambda: self._read(stored)), row_errors)
        segment = self._retry(lambda: self._read(stored))
        if row_errors is None:
            self._check_placement[segment.event_type](segment)
            row_errors, converted = self._retry(lambda: self._load(segment))
        return self._result(segment, row_errors, converted, is_new=False)

    def load_day(self, segments: Sequence[tuple[StoredSegment, bool]]) -> Iterator[LoadedSegment]:
        """Load segments of one event type and UTC day, in as few loads as their size allows.

        Each is given with whether this run wrote it, and counts as `load` or `backfill` count it. They also say what is
        raised.
        """
        loads: list[tuple[bool, Segment]] = []
        size = 0
        for (stored, is_new), row_errors in self._known(
            sorted(segments, key=lambda segment: segment[0].path)
        ):
            if row_errors is None:
                if not is_new:
                    self._retry(partial(self._guard, stored))
                    if (left := self._left_to_its_run(stored)) is not None:
                        yield left
                        continue
                segment = self._retry(partial(self._read, stored))
                if not is_new:
                    self._check_placement[segment.event_type](segment)
                loads.append((is_new, segment))
                size += segment.size
            elif is_new or row_errors:
                segment = self._retry(partial(self._read, stored))
                if is_new or not self._retries(stored.event_type):
                    yield self._result(segment, row_errors, None, is_new=is_new)
                else:
                    yield self._load_rejected(segment, row_errors)
            if size >= DAY_LOAD_BYTES:
                yield from self._load_together(loads)
                loads, size = [], 0
        if loads:
            yield from self._load_together(loads)

    def _known(
        self, segments: Sequence[tuple[StoredSegment, bool]]
    ) -> Iterator[tuple[tuple[StoredSegment, bool], Sequence[RowError] | None]]:
        """Yield each segment with its row errors if the warehouse has it."""
        assert isinstance(self._warehouse, Coalescing)
        for at in range(0, len(segments), _IDS_A_QUERY):
            part = segments[at : at + _IDS_A_QUERY]
            ids = [stored.id for stored, _ in part]
            day = datetime.fromtimestamp(part[0][0].minute, UTC).date()
            known = self._retry(partial(self._warehouse.row_errors_of_day, ids, day))
            yield from ((segment, known.get(segment[0].id)) for segment in part)

    def _load_together(self, loads: Sequence[tuple[bool, Segment]]) -> Iterator[LoadedSegment]:
        """Load segments at once; yield the result of each."""
        assert isinstance(self._warehouse, Coalescing)
        converted = self._retry(lambda: [self._convert(segment) for _, segment in loads])
        rejected = self._retry(partial(self._warehouse.load_day, [made.load for made in converted]))
        for (is_new, segment), made, row_errors in zip(loads, converted, rejected, strict=True):
            yield self._result(segment, row_errors, made, is_new=is_new)

    def _left_to_its_run(self, segment: Segment | StoredSegment) -> LoadedSegment | None:
        """Return a segment as left to the run that may be loading it now; None if none is, or both can."""
        if not self._doubles:
            return None
        age = self._clock() - self._log.appended_at(segment.path).timestamp()
        limit = max(IN_WORK_SECONDS, 1.5 * (self._job.retry_for or 0.0))
        if age >= limit:
            return None
        counts = {("in_work", segment.event_type): 1}
        return LoadedSegment(segment.event_type, StepCounts(counts), [], [], limit - age)

    def _retries(self, event_type: str) -> bool:
        """Tell whether rows of this type that were rejected are loaded again: a job may load none."""
        return self._retries_rejected and self._converter.loads_rows(event_type)

    def _load_rejected(self, segment: Segment, known: Sequence[RowError]) -> LoadedSegment:
        """Load the rows of a loaded segment that were rejected; `known` are their lines."""
        converted = self._convert(segment)
        still = self._retry(partial(self._warehouse.load_rejected, converted.load))
        loaded = converted.load.of_lines({line for line, _ in known}.difference(line for line, _ in still))
        counts = {
            ("backfilled", segment.event_type): len(known) - len(still),
            ("backfill_rejected", segment.event_type): len(still),
        }
        rejected = self._converter.rejected(segment, still)
        return LoadedSegment(segment.event_type, StepCounts(counts), rejected, loaded.window_counts)

    def _result(
        self,
        segment: Segment,
        row_errors: Sequence[RowError],
        converted: ConvertedSegment | None,
        *,
        is_new: bool,
    ) -> LoadedSegment:
        """Return what became of a segment; `converted` is None if the warehouse had it already."""
        event_type, events = segment.event_type, len(segment.lines) - len(row_errors)
        if is_new:
            counts = {("loaded", event_type): events, ("load_rejected", event_type): len(row_errors)}
            # Those of dead letters are marks of their table, such as `escaped`.
            if converted is not None and event_type not in INTERNAL_TYPES:
                counts |= {
                    ("unknown_property", f"{event_type}.{path}"): number
                    for path, number in converted.unknown_paths.items()
                }
        else:
            backfilled = 0 if converted is None else events
            counts = {
                ("backfilled", event_type): backfilled,
                ("backfill_rejected", event_type): len(row_errors),
            }
        rejected = self._converter.rejected(segment, row_errors)
        windows = [] if converted is None else converted.windows
        return LoadedSegment(event_type, StepCounts(counts), rejected, windows)

    def _row_errors(self, segment: Segment | StoredSegment) -> list[RowError] | None:
        return self._retry(lambda: self._warehouse.row_errors(segment.id, segment.minute))

    def _read(self, segment: Segment | StoredSegment) -> Segment:
        return segment if isinstance(segment, Segment) else self._log.read(segment.path)

    def _load(self, segment: Segment) -> tuple[list[RowError], ConvertedSegment]:
        converted = self._convert(segment)
        return self._warehouse.load(converted.load), converted

    def _convert(self, segment: Segment) -> ConvertedSegment:
        now = datetime.fromtimestamp(self._clock(), UTC)
        return self._converter.convert(segment, self._log.appended_at(segment.path), now)
