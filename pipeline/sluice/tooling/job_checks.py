"""What is wrong with a job although each of its keys can be read; for `sluice check` and for the start of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from sluice.config.job import Job
from sluice.contracts import Contract
from sluice.errors import ConfigError, quote
from sluice.sources import parse_source
from sluice.sources.files.connector import LocalFilesConnector
from sluice.sources.http_api.connector import HttpConnector
from sluice.tooling.own_outputs import find_own_output
from sluice.tooling.tables import contracts_of
from sluice.validation.decoder import compile_decoder
from sluice.validation.masking import compile_masking
from sluice.warehouses import Doubling, LimitedInTime, parse_warehouse

_OF_EVENT_TIME = ("counts", "allowed_lateness", "max_skew")
"""Keys of `windows` that say something of the time at which events happened."""


def check_job(job: Job, *, limited: bool = False) -> None:
    """Raise ConfigError with the first problem of `job` for which it cannot run, as a `limited` run or a whole one."""
    for problem in _errors(job):
        raise ConfigError(problem)
    for problem in _limit_problems(job) if limited else ():
        raise ConfigError(problem)


def job_problems(job: Job) -> list[str]:
    """Return the problems of `job`, those included with which it runs, but not as its author may expect.

    They are its routing, contracts that no record can reach, what its warehouse cannot hold, a source that holds what
    the job itself writes, and contracts without the event time that keys of the job are about.
    """
    return [*_errors(job), *_event_time_problems(job)]


def _errors(job: Job) -> Iterator[str]:
    for problems in (_routing_problems, _masking_problems, _warehouse_problems, _source_problems):
        yield from problems(job)


def _problem_of(check: Callable[[], object]) -> Iterator[str]:
    """Yield the message of the ConfigError that `check` raises, if it does."""
    try:
        check()
    except ConfigError as error:
        yield str(error)


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
    for contract in job.contracts.values():
        if contract not in lacking:  # its records are those whose property says its event type
            yield from _problem_of(partial(compile_decoder, {contract.event_type: contract}, job.route_by))


def _masking_problems(job: Job) -> Iterator[str]:
    return _problem_of(partial(compile_masking, job.contracts, job.route_by, b"of a check"))


def _warehouse_problems(job: Job) -> Iterator[str]:
    warehouse = parse_warehouse(job.warehouse).open()
    for contract in contracts_of(job):
        yield from _problem_of(partial(warehouse.check_contracts, [contract]))
    if (
        isinstance(warehouse, LimitedInTime)
        and "events" in job.load  # counts alone are no loads
        and not parse_source(job.source).bounded
    ):
        types, windows = len(job.contracts), job.windows
        yield from _problem_of(partial(warehouse.check_rate, types, windows.shards, windows.flush))
        yield from _problem_of(partial(warehouse.check_age, windows.allowed_lateness))


def _limit_problems(job: Job) -> Iterator[str]:
    """Yield a problem if a limited run and the streaming job of its source could load the same segment at once."""
    warehouse = parse_warehouse(job.warehouse).open()
    doubles = isinstance(warehouse, Doubling) and warehouse.doubles(bounded=True)
    if doubles and not parse_source(job.source).bounded:
        yield (
            f"--limit: expected a warehouse that has each row once when the streaming job of {job.source} loads it as "
            f"well, got {job.warehouse}; load another one, such as --warehouse=duckdb:///out/tried.duckdb"
        )


def _source_problems(job: Job) -> Iterator[str]:
    own = find_own_output(job)
    if own is not None:
        yield (
            f"{job.source.where or job.path}: expected records that the job does not write itself, got "
            f"{job.source}, which holds {own}; name another source, or write elsewhere"
        )
    source = parse_source(job.source)
    if isinstance(source, HttpConnector) or (isinstance(source, LocalFilesConnector) and source.is_stream):
        yield from _delivery_problems(job)


def _delivery_problems(job: Job) -> Iterator[str]:
    """Yield a problem for each contract whose key is where a record was delivered, of a source that does not say it.

    Pages of an API shift and repeat, and a pipe has another content each time, so that a record has no place of its
    own: equal records could not be told apart.
    """
    for contract in job.contracts.values():
        if contract.identity == "delivery":
            yield (
                f"{contract.path}: {contract.event_type}: identity: expected content, properties or export, since the "
                f"records of {job.source} have no place of their own, got delivery"
            )


def _event_time_problems(job: Job) -> Iterator[str]:
    """Yield a problem for each contract without event time, if something is said of the time of its events.

    Without an event time events are placed and counted by their arrival, as a job expects that has no such key.
    """
    for contract in job.contracts.values():
        if contract.event_time is None and (reasons := list(_needs_of_event_time(job, contract))):
            yield (
                f"{contract.path}: {contract.event_type}: eventTime: expected the name of a required timestamp, since "
                f"{', '.join(reasons)} of {job.path} {'is' if len(reasons) == 1 else 'are'} about the time of events, "
                f"got nothing; name it, or remove {'this key' if len(reasons) == 1 else 'these keys'}"
            )


def _needs_of_event_time(job: Job, contract: Contract) -> Iterator[str]:
    yield from (f"windows.{key}" for key in _OF_EVENT_TIME if key in job.windows.given)
    if job.load and "events" not in job.load:
        yield f"load: [{', '.join(job.load)}]"
    if contract.count_by is not None:
        yield f"countBy: {contract.count_by}"
    if contract.log_partition != "minute":
        yield f"logPartition: {contract.log_partition}"
