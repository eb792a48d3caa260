"""What reports say of a job beside its figures: which contracts it has, and where it reads and writes."""

from __future__ import annotations

from sluice.config.job import Job
from sluice.warehouses import parse_warehouse


def contract_labels(job: Job) -> dict[str, str]:
    """Return event type -> `<id>@<version>` of its contract, in order."""
    return {name: contract.label for name, contract in sorted(job.contracts.items())}


def places_of(job: Job) -> dict[str, str]:
    """Return key of the job file -> address without its secrets, of the job, its source and its results."""
    return {
        "job": job.path,
        "source": str(job.source),
        "files": str(job.files),
        "warehouse": str(parse_warehouse(job.warehouse).url),
        "dead_letters": str(job.dead_letters),
    }
