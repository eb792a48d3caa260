"""BigQuery's jobs: each has a fixed id, so that it runs once, however often it is submitted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from sluice.arrow.window_counts import WindowCount
from sluice.errors import ConfigError, RateLimitError, WarehouseError
from sluice.warehouses.client_errors import client_errors
from sluice.warehouses.timestamps import from_micros

if TYPE_CHECKING:
    from google.cloud.bigquery import Client, QueryJobConfig

REQUEST_TIMEOUT = 60.0
"""Seconds to wait for the answer to one request."""

JOB_TIMEOUT = 600.0
"""Seconds to wait for one job. A load that gives up finds its job again when it is repeated."""

Failure = Mapping[str, str]
"""Why a job failed, as BigQuery says it: `reason`, `message`."""


class Jobs:
    """Runs jobs for one dataset. Its exceptions are the client's; `errors` turns them into WarehouseError."""

    def __init__(self, project: str, dataset: str, location: str | None, retry_seconds: float) -> None:
        """Connect to nothing yet; `retry_seconds` is for how long a request is repeated."""
        self._name = f"{project}.{dataset}"
        self._project = project
        self._location = location
        self._retry_seconds = retry_seconds

    @property
    def client(self) -> Client:
        """The client of this process."""
        return _client(self._project, self._location, os.environ.get("BIGQUERY_EMULATOR_HOST"), os.getpid())

    @property
    def retry(self) -> dict[str, Any]:
        """Arguments of every request: how long to wait for it, and for how long to repeat it."""
        from google.cloud.bigquery.retry import DEFAULT_RETRY

        return {"timeout": REQUEST_TIMEOUT, "retry": DEFAULT_RETRY.with_timeout(self._retry_seconds)}

    def errors(self) -> AbstractContextManager[None]:
        """Raise what the client raises as WarehouseError that names the dataset.

        Raises:
            ConfigError: the client is not installed.

        """
        try:
            from google.api_core.exceptions import GoogleAPIError
            from google.auth.exceptions import GoogleAuthError
            from requests.exceptions import RequestException
        except ImportError as error:
            message = f"{self._name}: its client is not installed: pip install 'sluice-beam[gcp]'"
            raise ConfigError(message) from error
        types = (GoogleAPIError, GoogleAuthError, RequestException, TimeoutError)
        return client_errors(self._name, "BigQuery to answer", types, error_type=_error_type)

    def query(self, sql: str, **values: Any) -> list[Any]:
        """Return the rows of a query, in which `@name` stands for a value."""
        return [row for page in self.pages(sql, **values) for row in page]

    def pages(self, sql: str, **values: Any) -> Iterator[Iterable[Any]]:
        """Yield the rows of a query in the pages in which they arrive."""
        from google.cloud.bigquery import QueryJobConfig

        config = QueryJobConfig(query_parameters=[parameter(name, value) for name, value in values.items()])
        # A load that fails is retried as a whole, so that it is logged.
        yield from self._wait(sql, config, job_retry=None).pages

    def ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns of a query's result, and its rows; tables are of the dataset by default."""
        from google.cloud.bigquery import QueryJobConfig

        rows = self._wait(sql, QueryJobConfig(default_dataset=self._name))
        return [field.name for field in rows.schema], [tuple(row.values()) for row in rows]

    def _wait(self, sql: str, config: QueryJobConfig, **named: Any) -> Any:
        """Return the rows of a query, once it has ended."""
        return self.client.query_and_wait(
            sql,
            job_config=config,
            api_timeout=REQUEST_TIMEOUT,
            wait_timeout=JOB_TIMEOUT,
            retry=self.retry["retry"],
            **named,
        )

    def run(
        self,
        job_id: str,
        submit: Callable[[str], Any],
        is_done: Callable[[], bool],
        expected: str,
        *,
        repeat: bool = False,
    ) -> Failure | None:
        """Run a job that must succeed once; return how it failed if its rows are the reason.

        A failed job is followed by one with the next id, and so is a job whose result is not there any more. One that
        failed because of its rows is not, unless `repeat`: its parts may be loaded by now.

        Args:
            job_id: beginning of the id, always the same for the same work.
            submit: starts the job of an id.
            is_done: whether the result is there; asked after a job that another worker started.
            expected: of BigQuery, for the message.
            repeat: whether a job that failed earlier because of its rows is followed by another one.

        Raises:
            RateLimitError: the job that this worker started failed since there were too many.
            WarehouseError: it failed for another reason.

        """
        attempt = 0
        while True:
            started_here, failure = self.attempt(f"{job_id}-{attempt}", submit)
            if failure is None:
                if started_here or is_done():
                    return None
            elif _is_of_rows(failure) and (started_here or not repeat):
                return failure
            elif started_here:
                self.check_failure(failure, expected)
            attempt += 1

    def check_failure(self, failure: Failure, expected: str) -> None:
        """Check that a job may have failed because of its rows.

        Raises:
            RateLimitError: it failed since there were too many.
            WarehouseError: it failed for another reason.

        """
        if not _is_of_rows(failure):
            said = " ".join(failure.get("message", "").split())
            message = f"{self._name}: expected {expected}: {failure.get('reason')}: {said}"
            raise (RateLimitError if failure.get("reason") in RATE_LIMITS else WarehouseError)(message)

    def exists(self, job_id: str) -> bool:
        """Return whether there is a job of this id, in any state."""
        return self._find(job_id) is not None

    def wait(self, job_id: str) -> None:
        """Wait until a job has ended, well or badly; one that is not there has."""
        job = self._find(job_id)
        if job is not None:
            self._end(job)

    def wait_for_running(self, prefix: str) -> None:
        """Wait until the jobs of this user have ended whose ids begin with `prefix`: a worker that died leaves them."""
        for state in ("pending", "running"):
            for job in self.client.list_jobs(state_filter=state, **self.retry):
                if job.job_id.startswith(prefix):
                    self.wait(job.job_id)

    def _find(self, job_id: str) -> Any:
        from google.api_core.exceptions import NotFound

        try:
            return self.client.get_job(job_id, location=self._place(), **self.retry)
        except NotFound:
            return None

    def _place(self) -> str | None:
        """Return where the jobs run."""
        return self._location or self.client.get_dataset(self._name, **self.retry).location

    def attempt(self, job_id: str, submit: Callable[[str], Any]) -> tuple[bool, Failure | None]:
        """Run a job, or wait for the one of this id; return whether this worker started it, and how it failed."""
        from google.api_core.exceptions import Conflict

        try:
            job, started_here = submit(job_id), True
        except Conflict:
            job, started_here = self.client.get_job(job_id, location=self._place(), **self.retry), False
        self._end(job)
        return started_here, job.error_result

    def _end(self, job: Any) -> None:
        """Wait until a job has ended, well or badly."""
        from google.api_core.exceptions import GoogleAPICallError

        try:
            job.result(**self.retry | {"timeout": JOB_TIMEOUT})
        except GoogleAPICallError:
            job.reload(**self.retry)  # a failed query is reported as a failed request
            if job.error_result is None:
                raise


SERVER_REASONS = frozenset(
    {
        "accessDenied",
        "backendError",
        "billingNotEnabled",
        "billingTierLimitExceeded",
        "blocked",
        "duplicate",
        "internalError",
        "invalidQuery",
        "invalidUser",
        "jobBackendError",
        "jobInternalError",
        "jobRateLimitExceeded",
        "notFound",
        "notImplemented",
        "quotaExceeded",
        "rateLimitExceeded",
        "resourceInUse",
        "resourcesExceeded",
        "stopped",
        "tableUnavailable",
        "timeout",
    }
)
"""Reasons of failures that no row causes. https://cloud.google.com/bigquery/docs/error-messages"""

RATE_LIMITS = frozenset({"jobRateLimitExceeded", "quotaExceeded", "rateLimitExceeded"})
"""Reasons of failures that go away when less is asked for."""


def _error_type(error: Exception) -> type[WarehouseError]:
    """Return what an error of the client is raised as."""
    reasons = {detail.get("reason") for detail in getattr(error, "errors", ()) if isinstance(detail, Mapping)}
    too_many = getattr(error, "code", None) == HTTPStatus.TOO_MANY_REQUESTS
    return RateLimitError if too_many or reasons & RATE_LIMITS else WarehouseError


def _is_of_rows(failure: Failure) -> bool:
    """Return whether a load job may have failed because of its rows, so that a job of fewer rows may succeed."""
    is_of_schema = failure.get("message", "").startswith("Provided Schema")
    return failure.get("reason") not in SERVER_REASONS and not is_of_schema


@lru_cache(maxsize=8)
def _client(project: str, location: str | None, emulator: str | None, _: int) -> Client:
    """Return a client, one for each process: connections do not survive a fork."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.bigquery import Client

    if emulator is None:
        return Client(project=project, location=location)
    return Client(
        project=project,
        location=location,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": emulator if "://" in emulator else f"http://{emulator}"},
    )


def parameter(name: str, value: Any) -> Any:
    """Return a value as a query's parameter; a list is one of texts."""
    from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

    if isinstance(value, list):
        return ArrayQueryParameter(name, "STRING", value)
    types = {str: "STRING", int: "INT64", datetime: "TIMESTAMP"}
    return ScalarQueryParameter(name, types[type(value)], value)


def structs(name: str, types: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> Any:
    """Return rows as a query's parameter, an array of structs with members of these names and types."""
    from google.cloud.bigquery import (
        ArrayQueryParameter,
        ScalarQueryParameter,
        ScalarQueryParameterType,
        StructQueryParameter,
        StructQueryParameterType,
    )

    struct_type = StructQueryParameterType(*(ScalarQueryParameterType(k, name=n) for n, k in types.items()))
    values = [
        StructQueryParameter(
            None, *(ScalarQueryParameter(n, k, v) for (n, k), v in zip(types.items(), row, strict=True))
        )
        for row in rows
    ]
    return ArrayQueryParameter(name, struct_type, values)


def window_structs(name: str, windows: Sequence[WindowCount], event_type: str) -> Any:
    """Return counts as a query's parameter; `event_type` is the segment's."""
    types = {
        "event_type": "STRING",
        "window_start": "TIMESTAMP",
        "window_end": "TIMESTAMP",
        "events": "INT64",
    }
    rows = [
        (
            count.event_type or event_type,
            from_micros(count.window_start),
            from_micros(count.window_end),
            count.events,
        )
        for count in windows
    ]
    return structs(name, types, rows)
