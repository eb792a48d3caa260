"""Redelivery: the graph of a job over its own dead letters, and the entries that record what became of each.

A dead letter is never changed or deleted. The outcome of its redelivery is a line in the folder `redelivery` of the
same log. The deduplication key of such an entry is the dead letter and the attempt, so each outcome is stored once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.transforms.window import TimestampedValue

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.dead_letters.envelope import make_redelivery_entry, minute_of
from sluice.elements import (
    REDELIVERY,
    EventBatch,
    LogKey,
    OrderedLines,
    RecordBatch,
    StepCounts,
    add_step_counts,
)
from sluice.graph.append import AppendToLog
from sluice.graph.build import build
from sluice.graph.ledger import make_report
from sluice.graph.run_context import RunContext
from sluice.graph.shuffle import pack, unpack


def build_redelivery(
    records: beam.PCollection[RecordBatch], job: Job, run: RunContext
) -> beam.PCollection[dict[str, Any]]:
    """Build the graph of `job` over redelivered `records`, and append their redelivery entries when all are stored.

    The graph itself appends an entry for each record that is rejected again. When the totals of all steps are
    written, every other record is in the event log and in the warehouse. Then an entry `accepted` is appended for
    every record: of one attempt the first entry stays, so this changes nothing for those that were rejected. After a
    run that died before, dead letters have no entry; the next redelivery finds their events in the event log.
    """
    totals = build(records, job, run)
    entries = (
        records
        | "Make redelivery entries" >> beam.Map(_make_entries, job.name, run.clock)
        | "Wait until stored" >> beam.FlatMap(_release_entries, beam.pvalue.AsIter(totals))
    )
    return {"redelivery entries": entries} | "Append redelivery entries" >> AppendToLog(
        run.dead_letters, run.dead_letter_windowing, run.retry, run.spill
    )


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
