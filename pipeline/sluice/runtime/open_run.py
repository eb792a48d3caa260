"""Open the logs and the warehouse of a run, and make the context of its graph."""

from __future__ import annotations

from dataclasses import replace

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.dead_letters.log import DeadLetterLog
from sluice.eventlog.log import EventLog
from sluice.eventlog.minute_folders import MAX_CACHED_KEYS
from sluice.eventlog.source_manifest import SourceManifest
from sluice.eventlog.type_log import TypeLog
from sluice.graph.acknowledge import CompleteAcks
from sluice.graph.run_context import RunContext
from sluice.graph.windowing import Windowing
from sluice.retry import RetryPolicy
from sluice.run_state import RunHandle
from sluice.runtime.run_folder import SharedFolders
from sluice.sources.streaming import MAX_BEHIND_WATERMARK
from sluice.storage import open_store
from sluice.tooling.tables import contracts_of, fit_to_table
from sluice.validation.age_limits import AgeLimits
from sluice.validation.masking import is_masked
from sluice.warehouses import open_warehouse
from sluice.warehouses.own_tables import own_contracts
from sluice.warehouses.segment_records import LoadedSegmentGuard

_DEAD_LETTER_LATENESS = 10 * 365 * 86400.0
"""A dead letter is never too late: a runner must not drop what is already the record of a failure."""

_RATE_LIMIT_RETRY_FOR = 600.0
"""Seconds that any job waits for a rate limit to end, unless its job file says otherwise."""

_STREAMING_RETRY_FOR = 600.0


def open_run(
    job: Job, handle: RunHandle, folders: SharedFolders, started: float, clock: Clock, *, live: bool
) -> RunContext:
    """Open the logs and the warehouse of `job`, so that a problem with them is reported before Beam starts.

    `started` is in epoch seconds.

    Raises:
        SluiceError: a log or the warehouse cannot be opened, or is not as the job says.

    """
    warehouse = open_warehouse(job.warehouse)
    log, dead_letters, manifest = _open_logs(
        job, LoadedSegmentGuard(warehouse), MAX_CACHED_KEYS if live else 0
    )
    contracts = contracts_of(job)
    warehouse.prepare(contracts)
    tables = {contract.event_type: contract for contract in fit_to_table(warehouse, contracts)}
    windows = job.windows
    return RunContext(
        log=log,
        dead_letters=dead_letters,
        warehouse=warehouse,
        # The logs have what Sluice itself writes also where no table has its rows.
        tables={**job.contracts, **{own.event_type: own for own in own_contracts()}, **tables},
        ages=AgeLimits(windows.max_skew, windows.allowed_lateness, None if live else started),
        event_windowing=Windowing(live, windows.flush, windows.allowed_lateness + MAX_BEHIND_WATERMARK),
        dead_letter_windowing=Windowing(live, windows.flush, _DEAD_LETTER_LATENESS),
        totals_url=folders.totals,
        clock=clock,
        retry=retry_policy(job, live=live),
        handle=handle,
        acknowledge=CompleteAcks(handle),
        manifest=manifest,
        progress=folders.progress,
        spill=folders.spill,
    )


def retry_policy(job: Job, *, live: bool) -> RetryPolicy:
    """Return how failures of the stores and the warehouse of `job` are retried."""
    retry_for = job.retry_for if job.retry_for is not None else (_STREAMING_RETRY_FOR if live else 0.0)
    return RetryPolicy(retry_for, 0.0 if job.retry_for is not None else _RATE_LIMIT_RETRY_FOR)


def _open_logs(
    job: Job, guard: LoadedSegmentGuard, max_cached_keys: int
) -> tuple[EventLog, DeadLetterLog, SourceManifest]:
    """Open the event log, the dead letters and the manifest; `guard` watches over what the warehouse has of them.

    A process keeps `max_cached_keys` of events between appends. A run that ends appends to a minute once, so none.
    """
    type_logs = {name: TypeLog.of(contract) for name, contract in job.contracts.items()}
    log = EventLog(open_store(job.files), type_logs, job.windows.shards, max_cached_keys, guard)
    dead_letters = DeadLetterLog.at(job.dead_letters, job.quarantine)
    if "dead_letters" in job.load:
        dead_letters.guard = guard
    manifest = SourceManifest.at(job.files)
    if "sources" in job.load:
        manifest.log.guard = guard
    log.open()
    dead_letters.open()
    manifest.log.open()
    if is_masked(job.contracts.values()):
        dead_letters.open_quarantine()
    return log, dead_letters, manifest


def with_redeliveries(context: RunContext, job: Job) -> RunContext:
    """Return the context with the redelivery entries in its log of dead letters."""
    dead_letters = DeadLetterLog.at(job.dead_letters, job.quarantine, redeliveries=True)
    dead_letters.guard = context.dead_letters.guard
    dead_letters.open()
    return replace(context, dead_letters=dead_letters)
