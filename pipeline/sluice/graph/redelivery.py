"""Redelivery: the graph of a job over its own dead letters, and the entries that record what became of each.

The rows that a warehouse rejected are not processed again: their events are in the event log, masked and with what
Sluice added to them, and are loaded from there.

A dead letter is never changed or deleted. The outcome of its redelivery is a line in the folder `redelivery` of the
same log. The deduplication key of such an entry is the dead letter and the attempt, so each outcome is stored once.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam import pvalue
from apache_beam.transforms.window import TimestampedValue
from apache_beam.typehints import with_output_types

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.dead_letters.envelope import make_redelivery_entry, minute_of
from sluice.dead_letters.reading import OpenDeadLetter, origin_of
from sluice.elements import (
    REDELIVERY,
    EventBatch,
    LogKey,
    OrderedLines,
    RecordBatch,
    Rejected,
    StepCounts,
    Violation,
    add_step_counts,
)
from sluice.errors import WarehouseError
from sluice.eventlog.log import EventLog
from sluice.graph.append import AppendToLog
from sluice.graph.build import LoadedAgain, build
from sluice.graph.ledger import make_report
from sluice.graph.load import LoadStep, with_windows
from sluice.graph.run_context import RunContext
from sluice.graph.segment_loader import SegmentLoader
from sluice.graph.shuffle import pack, unpack
from sluice.graph.step_counts import SumStepCounts
from sluice.sources.dead_letters.source import RowsOfSegment

_LOGGER = logging.getLogger("sluice")


def build_redelivery(
    records: beam.PCollection[RecordBatch],
    rows: beam.PCollection[RowsOfSegment],
    job: Job,
    run: RunContext,
) -> None:
    """Build the graph of `job` over redelivered `records`; append and load their entries when all are stored.

    `rows` are loaded from the event log beside it, and get entries like those of records.

    The graph itself appends an entry for each record that is rejected again. When the totals of all steps are
    written, every other record is in the event log and in the warehouse. Then an entry `accepted` is appended for
    every record: of one attempt the first entry stays, so this changes nothing for those that were rejected. After a
    run that died before, dead letters have no entry; the next redelivery finds their events in the event log.
    """
    loader = run.event_loader(job, retries_rejected=True)
    loaded = rows | "Load rejected rows" >> beam.ParDo(
        LoadRejectedRows(loader, run.log, run.clock)
    ).with_outputs(LoadRejectedRows.REJECTED, main="step_counts")
    again = LoadedAgain({"rejected again": loaded.rejected}, (loaded.step_counts,))
    totals = build(records, job, run, again)
    made = (
        records | "Make redelivery entries" >> beam.Map(_make_entries, job.name, run.clock),
        rows | "Make entries of rows" >> beam.FlatMap(_make_row_entries, job.name, run.clock),
    )
    entries = (
        made
        | "Gather entries" >> beam.Flatten()
        | "Wait until stored" >> beam.FlatMap(_release_entries, beam.pvalue.AsIter(totals))
    )
    appended = {"redelivery entries": entries} | "Append redelivery entries" >> AppendToLog(
        run.dead_letters, run.dead_letter_windowing, run.retry, run.spill
    )
    rows_of_entries = appended["load_requests"] | "Load redelivery entries" >> run.load_dead_letters(job)
    _ = (
        rows_of_entries.step_counts
        | "Window for all entries" >> run.dead_letter_windowing.overall()
        | "Sum entries" >> beam.CombineGlobally(SumStepCounts()).without_defaults()
        | "Warn of rejected entries" >> beam.Map(_warn_of_rejected, run.tables[REDELIVERY].table)
    )


def _warn_of_rejected(total: StepCounts, table: str) -> None:
    """Warn of entries whose rows the warehouse rejected: the totals are written before, and do not count them."""
    figures = ("load_rejected", "backfill_rejected")
    rejected = sum(total.counts.get((figure, REDELIVERY), 0) for figure in figures)
    if rejected:
        _LOGGER.warning(
            "%s: expected all entries of this redelivery in the table, got %d that the warehouse rejected; they are in "
            "the redelivery log, and sluice load offers them to the table again",
            table,
            rejected,
        )


@with_output_types(StepCounts, rejected=list[Rejected])
class LoadRejectedRows(LoadStep):
    """((event type, address of a segment), open dead letters of its rows) -> StepCounts; `rejected`: those again.

    All rows of the segment are tried that the warehouse rejected, also those whose dead letters were not selected.
    """

    REJECTED = "rejected"

    def __init__(self, loader: SegmentLoader, log: EventLog, clock: Clock) -> None:
        """`loader` is that of `log`, the event log; `clock` gives the time of rejection."""
        super().__init__(loader)
        self._log = log
        self._clock = clock

    def process(self, segment: RowsOfSegment) -> Iterator[Any]:
        """Load the rows of one segment."""
        (event_type, address), opened = segment
        rows = list(opened)
        if not self._loader.loads(event_type):
            yield from self._reject(rows, "an event type of the job", event_type)
            return
        path = self._log.find(event_type, address)
        if path is None:
            yield from self._reject(rows, f"a segment of {self._log.store.url('')}", address)
            return
        loaded = self._loader.backfill(self._log.read(path))
        if loaded is None:
            return
        if loaded.in_work_for:
            message = (
                f"{path}: expected a segment that no run may be loading now, got a young one that is not loaded; a "
                "second load at the same time would append its rows twice: run the job itself, or wait for "
                f"{loaded.in_work_for:.0f} s"
            )
            raise WarehouseError(message)
        yield with_windows(loaded)
        redeliveries = {row.dead_letter.source.offset: origin_of(row) for row in rows}
        rejected = [
            replace(again, origin=redeliveries.get(again.origin.offset, again.origin))
            for again in loaded.rejected
        ]
        yield from self._rejected(rejected)

    def _reject(self, rows: Sequence[OpenDeadLetter], expected: str, got: str) -> Iterator[Any]:
        """Yield what cannot be loaded, as rejected again."""
        event_type = rows[0].dead_letter.event_type
        yield StepCounts({("backfill_rejected", event_type or ""): len(rows)})
        violations = (Violation("rejected_by_warehouse", "", expected, got),)
        yield from self._rejected(
            [
                Rejected(
                    record=row.dead_letter.record,
                    origin=origin_of(row),
                    step="load",
                    violations=violations,
                    event_type=event_type,
                    contract=row.dead_letter.contract,
                    event_time=row.dead_letter.event_time,
                )
                for row in rows
            ]
        )

    def _rejected(self, rejected: list[Rejected]) -> Iterator[Any]:
        if rejected:
            yield pvalue.TaggedOutput(self.REJECTED, TimestampedValue(rejected, self._clock()))


def _make_row_entries(segment: RowsOfSegment, job: str, clock: Clock) -> Iterator[tuple[int, bytes]]:
    """Yield the entries of the rows of a segment, packed, by the minutes of their dead letters."""
    (_, address), opened = segment
    now = clock()
    lines: dict[int, list[bytes]] = defaultdict(list)
    for row in opened:
        redelivery = origin_of(row).redelivery
        if redelivery is not None:
            entry = make_redelivery_entry(redelivery, job, now)
            lines[minute_of(redelivery.time)].append(msgspec.json.encode(entry))
    for minute, entries in lines.items():
        yield minute, pack(EventBatch([OrderedLines(address, 0, entries)]))


def _make_entries(batch: RecordBatch, job: str, clock: Clock) -> tuple[int, bytes]:
    """Return the minute of the dead letters of a batch, and their entries, packed: they wait while the graph works."""
    now = clock()
    origins = map(batch.origin, range(len(batch.records)))
    redeliveries = [origin.redelivery for origin in origins if origin.redelivery is not None]
    lines = [msgspec.json.encode(make_redelivery_entry(redelivery, job, now)) for redelivery in redeliveries]
    minute = minute_of(redeliveries[0].time) if redeliveries else 0
    return minute, pack(EventBatch([OrderedLines(batch.provenance.uri, batch.provenance.position, lines)]))


def _release_entries(
    minute_entries: tuple[int, bytes], totals: Iterable[StepCounts]
) -> Iterator[TimestampedValue]:
    """Yield the entries of a batch, unless the run's counts do not reconcile: then some record may be lost."""
    if make_report(add_step_counts(totals), job="", run_id="", started=0, seconds=0).reconciled:
        minute, packed = minute_entries
        yield TimestampedValue((LogKey(REDELIVERY, minute, 0), unpack(packed)), 0)
