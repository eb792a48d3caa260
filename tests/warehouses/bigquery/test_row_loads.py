"""Load jobs of rows: faulty rows are found in few jobs, and what is not of rows is not blamed on them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Set
from typing import Any, ClassVar

import pytest
from google.api_core import exceptions
from google.cloud import bigquery
from sluice.arrow.window_counts import count_windows
from sluice.errors import RateLimitError, TableError, WarehouseError
from sluice.warehouses import SegmentLoad
from sluice.warehouses.bigquery.jobs import Jobs
from sluice.warehouses.bigquery.warehouse import BigQueryWarehouse

from tests.warehouses.bigquery.bigquery_jobs import job_ids, state
from tests.warehouses.bigquery.bigquery_orders import spoilt
from tests.warehouses.order_segments import MINUTE, NOW, ORDER, segment

SPAWN = multiprocessing.get_context("spawn")


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def load_spoilt(
    warehouse: BigQueryWarehouse, rows: int = 20, bad: Set[int] = frozenset({3, 17})
) -> list[tuple[int, str]]:
    table = spoilt(rows, bad)
    order_segment = segment(1, *[b""] * rows)
    return warehouse.load(SegmentLoad(ORDER, order_segment, table, [], count_windows(table["at"]), NOW))


def _die_in_the_middle(warehouse: BigQueryWarehouse) -> None:
    run, calls = Jobs.run, iter(range(7))

    def run_or_die(*arguments: Any, **named: Any) -> Any:
        if next(calls, None) is None:
            _kill()
        return run(*arguments, **named)

    Jobs.run = run_or_die  # type: ignore[method-assign]  # the process ends inside it
    load_spoilt(warehouse)


def test_rows_that_bigquery_rejects_are_found_and_the_others_loaded(
    warehouse: BigQueryWarehouse, client: bigquery.Client
) -> None:
    process = SPAWN.Process(target=_die_in_the_middle, args=(warehouse,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert 0 < state(client, warehouse)[0] < 18
    row_errors = load_spoilt(warehouse)
    assert [line for line, _ in row_errors] == [3, 17]
    assert all("Invalid string encoding" in reason for _, reason in row_errors)
    assert state(client, warehouse) == (18, 18, 1)
    assert load_spoilt(warehouse) == row_errors == warehouse.row_errors(f"{1:032x}", MINUTE)


def test_jobs_grow_with_the_logarithm_of_the_rows(
    warehouse: BigQueryWarehouse, client: bigquery.Client
) -> None:
    assert load_spoilt(warehouse, 256, {77})[0][0] == 77
    assert state(client, warehouse) == (255, 255, 1)
    loads = [job_id for job_id, _ in job_ids(client, warehouse) if job_id.startswith("order_events")]
    assert len(loads) == 1 + 2 * 8


def test_rows_that_bigquery_blames_all_are_not_rejected(
    warehouse: BigQueryWarehouse, client: bigquery.Client
) -> None:
    with pytest.raises(TableError) as error:
        load_spoilt(warehouse, 200, set(range(200)))
    assert str(error.value).startswith("order_events: expected a table that takes rows, got: ")
    assert "17 of 200 rows were tried alone, and all are rejected alike" in str(error.value)
    assert state(client, warehouse) == (0, 0, 0)
    assert len(job_ids(client, warehouse)) == 8 + 16
    assert warehouse.row_errors(f"{1:032x}", MINUTE) is None
    assert load_spoilt(warehouse, 200, set()) == []  # the table is repaired
    assert state(client, warehouse) == (200, 200, 1)


@pytest.mark.parametrize(
    ("reason", "error_type"),
    [
        ("rateLimitExceeded", RateLimitError),
        ("quotaExceeded", RateLimitError),
        ("jobRateLimitExceeded", RateLimitError),
        ("backendError", WarehouseError),
        ("accessDenied", WarehouseError),
    ],
)
def test_failure_of_the_server_is_not_of_rows(reason: str, error_type: type[WarehouseError]) -> None:
    class Job:
        error_result: ClassVar = {"reason": reason, "message": "not now"}

        def result(self, **_: Any) -> None:
            pass

    jobs = Jobs("p", "d", None, 1)
    with pytest.raises(WarehouseError) as error:
        jobs.run("job", lambda _: Job(), lambda: False, "a load")
    assert type(error.value) is error_type
    assert str(error.value) == f"p.d: expected a load: {reason}: not now"


@pytest.mark.parametrize("status", ["Forbidden", "TooManyRequests"])
def test_rate_limit_of_requests_is_told_from_other_errors(status: str) -> None:
    client_error = getattr(exceptions, status)("slow down", errors=[{"reason": "rateLimitExceeded"}])
    with pytest.raises(RateLimitError), Jobs("p", "d", None, 1).errors():
        raise client_error
    denied = exceptions.Forbidden("no", errors=[{"reason": "accessDenied"}])  # type: ignore[no-untyped-call]  # the client has no types
    with pytest.raises(WarehouseError) as error, Jobs("p", "d", None, 1).errors():
        raise denied
    assert type(error.value) is WarehouseError
