"""What a run of a job would read and write, and its verdict on the first records, without a run: nothing is stored."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.errors import ConfigError
from sluice.sources import Sampled, open_source
from sluice.tooling.job_checks import check_job
from sluice.tooling.job_facts import contract_labels, places_of
from sluice.tooling.trial import Reason, try_records
from sluice.validation.age_limits import AgeLimits
from sluice.validation.masking_key import read_privacy_key


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What `sluice run --dry-run` finds out. Nothing is known of duplicates: a run finds them in the event log."""

    job: str
    places: dict[str, str]
    """As in a report."""
    contracts: dict[str, str]
    tables: dict[str, str]
    """Event type -> name of its table."""
    bytes: int | None
    """To read; None: it is not known."""
    read: int
    """Records that were looked at."""
    accepted: dict[str, int]
    """By event type."""
    rejected: int
    reasons: dict[str, Reason]
    """As in a report, with what one of the records shows."""


def dry_run(job: Job, number: int, clock: Clock) -> DryRun:
    """Return what a run of `job` would do with the first `number` records of its source, some of each file.

    Raises:
        ConfigError: the job is wrong, or records of its source cannot be looked at without a run.
        SourceError: the source cannot be read.

    """
    check_job(job)
    key = read_privacy_key(job.contracts.values(), job.privacy_key)
    source = open_source(job.source)
    if not isinstance(source, Sampled):
        message = (
            f"{job.source.prefix}expected a source other than dead letters, got {job.source}; sluice redeliver "
            "--dry-run lists them"
        )
        raise ConfigError(message)
    windows = job.windows
    ages = AgeLimits(windows.max_skew, windows.allowed_lateness, clock() if source.bounded else None)
    trial = try_records(job.contracts, job.route_by, source.sample(number), ages, key)
    return DryRun(
        job=job.name,
        places=places_of(job),
        contracts=contract_labels(job),
        tables={name: contract.table for name, contract in sorted(job.contracts.items())},
        bytes=source.size(),
        read=trial.read,
        accepted=dict(sorted(trial.accepted.items())),
        rejected=len(trial.rejected),
        reasons=trial.reasons(),
    )
