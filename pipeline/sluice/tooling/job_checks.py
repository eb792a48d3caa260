"""What is wrong with a job although each of its keys can be read; for `sluice check` and for the start of a run."""

from __future__ import annotations

from collections.abc import Iterator

from sluice.config.job import Job
from sluice.errors import ConfigError, quote
from sluice.tooling.own_outputs import find_own_output
from sluice.validation.decoder import compile_decoder


def check_job(job: Job) -> None:
    """Raise ConfigError with the first problem of `job`."""
    for problem in job_problems(job):
        raise ConfigError(problem)


def job_problems(job: Job) -> list[str]:
    """Return the problems of `job`: its routing, and a source that holds what the job itself writes."""
    return [*_routing_problems(job), *_source_problems(job)]


def _routing_problems(job: Job) -> Iterator[str]:
    lacking = [
        contract
        for contract in job.contracts.values()
        if job.route_by is not None and all(prop.name != job.route_by for prop in contract.properties)
    ]
    for contract in lacking:
        properties = ", ".join(prop.name for prop in contract.properties)
        yield (
            f"{job.path}: route_by: expected a property of every contract, got {quote(job.route_by)}, which "
            f"{contract.event_type} ({contract.path}) lacks; its properties are {properties}"
        )
    if not lacking:
        try:
            compile_decoder(job.contracts, job.route_by)
        except ConfigError as error:
            yield str(error)


def _source_problems(job: Job) -> Iterator[str]:
    own = find_own_output(job)
    if own is not None:
        yield (
            f"{job.source.where or job.path}: expected records that the job does not write itself, got "
            f"{job.source}, which holds {own}; name another source, or write elsewhere"
        )
