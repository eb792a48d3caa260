"""The whole graph, on one screen: records in, segments, counts, rows, dead letters and a ledger out.

Bounded and unbounded input run through the same steps; what differs is looked up in `Run`, which the
launcher makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import apache_beam as beam

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.contracts import Contract
from sluice.elements import DEAD_LETTER, REDELIVERY, Acks, LoadRequest, RecordBatch, Rejected, StepCounts
from sluice.eventlog.log import EventLog
from sluice.graph import coders  # noqa: F401  they are registered there
from sluice.graph.append import AppendToLog
from sluice.graph.dead_letters import WrapDeadLetters
from sluice.graph.decode import DecodeRecords
from sluice.graph.ledger import ReconcileLedger, count_read
from sluice.graph.load import CompleteAcks, LoadSegments
from sluice.graph.progress import Progress
from sluice.graph.shuffle import Spill
from sluice.graph.windowing import Windowing
from sluice.retry import RetryPolicy
from sluice.telemetry import measure
from sluice.validation.age_limits import AgeLimits
from sluice.warehouses import Warehouse


@dataclass(frozen=True)
class RunContext:
    """What the launcher hands to the graph besides the job: opened logs, prepared warehouse, limits, clock."""

    log: EventLog
    letters: EventLog
    warehouse: Warehouse
    tables: Mapping[str, Contract]
    """Event type, that of dead letters included, -> its contract as its table takes it: see `tables.fit`."""
    ages: AgeLimits
    event_windowing: Windowing
    dead_letter_windowing: Windowing
    totals_url: str
    clock: Clock
    retry: RetryPolicy
    progress: Progress | None = None
    spill: Spill | None = None
    acknowledge: beam.PTransform = field(default_factory=CompleteAcks)
    """Takes what was `read`, and the receipts of what is stored; tells the source."""


def build(records: beam.PCollection[RecordBatch], job: Job, run: RunContext) -> beam.PCollection[StepCounts]:
    """Put the graph of `job` behind `records`; return the written totals."""
    read = records | "Count what was read" >> beam.Map(count_read)
    decoded = records | "Decode" >> beam.ParDo(
        DecodeRecords(
            job.contracts, job.route_by, run.ages, job.windows.shards, run.progress, job.privacy_key
        )
    ).with_outputs(DecodeRecords.REJECTED, DecodeRecords.STEP_COUNTS, main="events")
    appended = {"events": decoded.events} | "Append events" >> AppendToLog(
        run.log, run.event_windowing, run.retry, run.spill
    )
    loaded = appended["load_requests"] | "Load events" >> beam.ParDo(
        LoadSegments(run.warehouse, _events(job, run), run.log, job, run.clock, run.retry)
    ).with_outputs(LoadSegments.REJECTED, LoadSegments.PENDING_ACKS, main="tallies")
    kept = _write_dead_letters({"rejected": decoded.rejected, "load_rejected": loaded.rejected}, job, run)
    stored = {"stored events": loaded.acks, "stored letters": kept.acks}
    _ = {"read": records, **stored} | "Acknowledge" >> run.acknowledge
    tallies = (read, decoded.step_counts, appended["tallies"], loaded.tallies, *kept.tallies)
    return _balance(tallies, run)


def build_load(pipeline: beam.Pipeline, job: Job, run: RunContext) -> beam.PCollection[StepCounts]:
    """Offer every segment of the log, and of the dead letters, to the warehouse; return the written totals."""
    loads = {
        name: pipeline
        | f"Name {name}" >> beam.Create([log])
        | f"Find segments of {name}" >> beam.FlatMap(EventLog.segments)
        | f"Spread {name}" >> beam.Reshuffle()
        | f"Read {name}" >> beam.Map(_offer, log)
        | f"Load {name}"
        >> beam.ParDo(
            LoadSegments(run.warehouse, contracts, log, job, run.clock, run.retry, recover=True)
        ).with_outputs(LoadSegments.REJECTED, main="tallies")
        for name, log, contracts in (
            ("log", run.log, _events(job, run)),
            ("dead letters", run.letters, {DEAD_LETTER: run.tables[DEAD_LETTER]}),
        )
    }
    tallies = (
        *(load.tallies for load in loads.values()),
        *_write_dead_letters({"load_rejected": loads["log"].rejected}, job, run).tallies,
    )
    return _balance(tallies, run)


class _Kept(NamedTuple):
    tallies: tuple[beam.PCollection[StepCounts], ...]
    acks: beam.PCollection[Acks]


def _write_dead_letters(
    rejected: Mapping[str, beam.PCollection[Sequence[Rejected]]], job: Job, run: RunContext
) -> _Kept:
    """Append what was rejected to the dead letters, and load them; return what both steps tell."""
    letters = {
        name: each
        | f"Wrap {name}"
        >> beam.ParDo(
            WrapDeadLetters(
                job.name, run.clock, run.ages.started, redeliveries=REDELIVERY in run.letters.type_logs
            )
        )
        for name, each in rejected.items()
    } | "Append letters" >> AppendToLog(run.letters, run.dead_letter_windowing, run.retry, run.spill)
    loaded = letters["load_requests"] | "Load letters" >> beam.ParDo(
        LoadSegments(
            run.warehouse,
            {DEAD_LETTER: run.tables[DEAD_LETTER]},
            run.letters,
            job,
            run.clock,
            run.retry,
            letters=True,
        )
    ).with_outputs(LoadSegments.PENDING_ACKS, main="tallies")
    return _Kept((letters["tallies"], loaded.tallies), loaded.acks)


def _events(job: Job, run: RunContext) -> Mapping[str, Contract]:
    return {name: run.tables[name] for name in job.contracts}


def _offer(path: str, log: EventLog) -> LoadRequest:
    return LoadRequest([log.read(path)])


def _balance(
    tallies: tuple[beam.PCollection[StepCounts], ...], run: RunContext
) -> beam.PCollection[StepCounts]:
    return (
        tallies
        | "Gather tallies" >> beam.Flatten()
        | "Measure" >> beam.Map(measure)
        | "Balance ledger" >> ReconcileLedger(run.totals_url, run.event_windowing)
    )
