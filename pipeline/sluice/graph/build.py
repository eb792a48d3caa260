"""The whole graph, on one screen: records in; segments, counts, rows, dead letters and a ledger out.

Bounded and unbounded input run through the same steps. What differs between them is in the `RunContext`, which the
launcher makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import apache_beam as beam

from sluice.config.job import Job
from sluice.config.rejections import RejectionLimit
from sluice.elements import RecordBatch, Rejected, Segment, StepCounts
from sluice.eventlog.log import EventLog
from sluice.graph import coders  # noqa: F401  importing it registers the coders
from sluice.graph.append import AppendToLog
from sluice.graph.conflicts import RejectConflicts
from sluice.graph.dead_letters import write_dead_letters
from sluice.graph.decode import DecodeRecords
from sluice.graph.ledger import ReconcileLedger, count_read
from sluice.graph.outcome import watch_rejections
from sluice.graph.progress import Progress
from sluice.graph.run_context import RunContext
from sluice.run_state import RunHandle
from sluice.telemetry import measure


class LoadedAgain(NamedTuple):
    """What became of rows that were loaded again beside the records of a graph: see `graph.redelivery`."""

    rejected: Mapping[str, beam.PCollection[Sequence[Rejected]]] = MappingProxyType({})
    step_counts: tuple[beam.PCollection[StepCounts], ...] = ()


def build(
    records: beam.PCollection[RecordBatch],
    job: Job,
    run: RunContext,
    loaded_again: LoadedAgain = LoadedAgain(),  # noqa: B008  immutable
) -> beam.PCollection[StepCounts]:
    """Build the graph of `job` over `records`; return the written totals."""
    read = records | "Count what was read" >> beam.Map(count_read)
    decoded = records | "Decode" >> beam.ParDo(
        DecodeRecords(
            job.contracts,
            job.route_by,
            run.ages,
            job.windows.shards,
            run.progress,
            job.privacy_key,
            safe_attributes=job.safe_attributes,
        )
    ).with_outputs(DecodeRecords.REJECTED, DecodeRecords.STEP_COUNTS, main="events")
    appended = {"events": decoded.events} | "Append events" >> AppendToLog(
        run.log, run.event_windowing, run.retry, run.spill, run.counting_handle
    )
    loaded = appended["load_requests"] | "Load events" >> run.load_events(job)
    conflicting = appended["conflicts"] | "Reject conflicts" >> beam.ParDo(
        RejectConflicts(job.contracts, run.clock)
    )
    rejected = {"rejected": decoded.rejected, "conflicting": conflicting, "load_rejected": loaded.rejected}
    dead_letters = write_dead_letters({**rejected, **loaded_again.rejected}, job, run)
    stored = {"stored events": loaded.acks, "stored dead letters": dead_letters.acks}
    _ = {"read": records, **stored} | "Acknowledge" >> run.acknowledge
    counts = (
        read,
        decoded.step_counts,
        appended["step_counts"],
        loaded.step_counts,
        *loaded_again.step_counts,
    )
    return _reconcile((*counts, *dead_letters.step_counts), job, run)


def build_load(pipeline: beam.Pipeline, job: Job, run: RunContext) -> beam.PCollection[StepCounts]:
    """Build the graph that loads all segments of event log, dead letters and manifest; return the written totals.

    Rows that the warehouse rejected before are offered to it again.
    """
    loads = {
        name: pipeline
        | f"Create {name}" >> beam.Create([log])
        | f"Find segments of {name}" >> beam.FlatMap(EventLog.segments)
        | f"Spread segments of {name}" >> beam.Reshuffle()
        | f"Read segments of {name}" >> beam.Map(_read_segment, log)
        | f"Backfill segments of {name}" >> run.backfill(loader)
        for name, log, loader in (
            ("event log", run.log, run.event_loader(job, retries_rejected=True)),
            ("dead letters", run.dead_letters, run.dead_letter_loader(job, retries_rejected=True)),
            ("manifest", run.manifest.log, run.manifest_loader(job, retries_rejected=True)),
        )
    }
    dead_letters = write_dead_letters({"load_rejected": loads["event log"].rejected}, job, run)
    return _reconcile((*(load.step_counts for load in loads.values()), *dead_letters.step_counts), job, run)


def _read_segment(path: str, log: EventLog) -> Segment:
    return log.read(path)


def _measure(
    step_counts: StepCounts,
    handle: RunHandle,
    job: str,
    limit: RejectionLimit | None,
    live: bool,
    progress: Progress | None,
) -> StepCounts:
    if progress is not None:
        progress.add_stored(step_counts)
    measured = measure(step_counts, handle.state.totals)
    handle.state.counted.add(step_counts)
    if live:
        watch_rejections(handle.state, job, limit)
    return measured


def _reconcile(
    step_counts: tuple[beam.PCollection[StepCounts], ...], job: Job, run: RunContext
) -> beam.PCollection[StepCounts]:
    arguments = (run.handle, job.name, job.max_rejected, run.event_windowing.live, run.progress)
    # Each is measured in the bundle of its own step: what has happened is counted, whatever the runner does then.
    measured = [
        counts | f"Measure {number}" >> beam.Map(_measure, *arguments)
        for number, counts in enumerate(step_counts, 1)
    ]
    return (
        measured
        | "Gather step counts" >> beam.Flatten()
        | "Reconcile ledger"
        >> ReconcileLedger(run.totals_url, run.event_windowing, numbered=not run.in_process)
    )
