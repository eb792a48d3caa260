"""Segments of a day that are loaded together: few jobs, and each row once, wherever a worker dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery
from sluice.arrow.window_counts import count_windows
from sluice.config.job import Job, Windows
from sluice.config.urls import Url
from sluice.elements import StoredSegment
from sluice.errors import TableError
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.graph.segment_loader import SegmentLoader
from sluice.retry import RetryPolicy
from sluice.storage import open_store
from sluice.warehouses import SegmentLoad
from sluice.warehouses.bigquery.segment_recorder import SegmentRecorder
from sluice.warehouses.bigquery.warehouse import BigQueryWarehouse

from tests.warehouses.bigquery.bigquery_jobs import job_ids, state
from tests.warehouses.bigquery.bigquery_orders import spoilt
from tests.warehouses.order_segments import (
    DEAD_LETTER,
    MINUTE,
    NOW,
    ORDER,
    load,
    order,
    segment,
    segment_load,
)

SPAWN = multiprocessing.get_context("spawn")
DAY = "2025-02-08"


def day_loads(first: int, last: int) -> list[SegmentLoad]:
    """Return loads of these segments, each with two rows and a line that is none."""
    return [segment_load(number, order(0), order(11), b'{"at":7}') for number in range(first, last)]


def clean_loads(first: int, last: int) -> list[SegmentLoad]:
    return [segment_load(number, order(0), order(11)) for number in range(first, last)]


def row_jobs(client: bigquery.Client, warehouse: BigQueryWarehouse) -> list[tuple[str, bool]]:
    return [(name, failed) for name, failed in job_ids(client, warehouse) if name.startswith("order_events")]


def test_segments_of_a_day_are_one_load(warehouse: BigQueryWarehouse, client: bigquery.Client) -> None:
    loads = [*clean_loads(1, 401), *day_loads(401, 403)]
    row_errors = warehouse.load_day(loads)
    assert row_errors[:400] == [[]] * 400
    assert [line for errors in row_errors for line, _ in errors] == [2, 2]
    assert state(client, warehouse) == (804, 804, 402)
    assert row_jobs(client, warehouse) == [(f"order_events-{DAY}-0", False)]
    known = warehouse.row_errors_of_day([made.segment.id for made in loads], loads[0].minute.date())
    assert known == {made.segment.id: errors for made, errors in zip(loads, row_errors, strict=True)}
    assert warehouse.row_errors_of_day([f"{999:032x}"], loads[0].minute.date()) == {}


def test_segments_that_are_loaded_again_with_others_are_loaded_once(
    warehouse: BigQueryWarehouse, client: bigquery.Client
) -> None:
    warehouse.load_day(clean_loads(1, 4))
    warehouse.load_day(clean_loads(1, 4))
    warehouse.load_day(clean_loads(2, 6))
    load(warehouse, ORDER, segment(6, order(0), order(11)))
    warehouse.load_day(clean_loads(1, 8))
    assert state(client, warehouse) == (14, 14, 7)
    assert [name for name, _ in row_jobs(client, warehouse)] == [
        f"order_events-{6:032x}-0",
        *(f"order_events-{DAY}-{number}" for number in range(3)),
    ]


def test_dead_letters_of_a_day_are_loaded_together_and_not_counted(
    warehouse: BigQueryWarehouse, client: bigquery.Client
) -> None:
    line = b'{"at":"2025-02-08T13:09:00Z","payload":"x"}'
    loads = [segment_load(n, line, contract=DEAD_LETTER, event_type="dead_letter") for n in range(3)]
    assert warehouse.load_day(loads) == [[], [], []]
    assert state(client, warehouse) == (0, 0, 3)


def _kill(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def before_the_job() -> None:
    bigquery.Client.load_table_from_file = _kill


def while_the_job_runs() -> None:
    submit = bigquery.Client.load_table_from_file

    def submit_and_die(*arguments: Any, **named: Any) -> Any:
        submit(*arguments, **named)
        _kill()

    bigquery.Client.load_table_from_file = submit_and_die


def before_the_record() -> None:
    SegmentRecorder.record_day = _kill  # type: ignore[method-assign]  # the process ends inside it


def between_the_records() -> None:
    SegmentRecorder.record = _kill  # type: ignore[method-assign]  # the process ends inside it


def while_the_record_runs() -> None:
    submit = bigquery.Client.query

    def submit_and_die(*arguments: Any, **named: Any) -> Any:
        submit(*arguments, **named)
        _kill()

    bigquery.Client.query = submit_and_die


def _load_after(warehouse: BigQueryWarehouse, at: Callable[[], None], first: int, last: int) -> None:
    at()
    warehouse.load_day([*clean_loads(first, last), *day_loads(90, 91)])


KILLS = [before_the_job, while_the_job_runs, before_the_record, while_the_record_runs, between_the_records]


@pytest.mark.parametrize("at", KILLS)
def test_load_of_a_killed_worker_is_completed_by_one_that_has_other_segments(
    warehouse: BigQueryWarehouse, client: bigquery.Client, at: Callable[[], None]
) -> None:
    process = SPAWN.Process(target=_load_after, args=(warehouse, at, 1, 5))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    warehouse.load_day([*clean_loads(3, 8), *day_loads(90, 91)])
    warehouse.load_day(clean_loads(1, 8))
    assert state(client, warehouse) == (16, 16, 8)


def _nothing() -> None:
    pass


def test_workers_that_load_overlapping_segments_load_each_once(
    warehouse: BigQueryWarehouse, client: bigquery.Client
) -> None:
    spans = [(1, 20), (10, 30), (1, 30)]
    processes = [SPAWN.Process(target=_load_after, args=(warehouse, _nothing, *span)) for span in spans]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert state(client, warehouse) == (60, 60, 30)


def spoilt_load(number: int, rows: int, bad: Sequence[int]) -> SegmentLoad:
    table = spoilt(rows, set(bad), number)
    return SegmentLoad(ORDER, segment(number, *[b""] * rows), table, [], count_windows(table["at"]), NOW)


def test_rejected_rows_are_found_among_the_segments_of_a_day(
    warehouse: BigQueryWarehouse, client: bigquery.Client
) -> None:
    loads = [spoilt_load(1, 10, []), spoilt_load(2, 10, [3]), spoilt_load(3, 12, [])]
    row_errors = warehouse.load_day(loads)
    assert [[line for line, _ in errors] for errors in row_errors] == [[], [3], []]
    assert state(client, warehouse) == (31, 31, 3)
    assert len(row_jobs(client, warehouse)) <= 1 + 2 * 5 + 1
    assert warehouse.load_day(loads[:1]) == [[]]
    assert state(client, warehouse) == (31, 31, 3)


def test_day_whose_rows_all_fail_is_not_recorded(
    warehouse: BigQueryWarehouse, client: bigquery.Client
) -> None:
    loads = [spoilt_load(number, 20, range(20)) for number in range(1, 6)]
    with pytest.raises(TableError):
        warehouse.load_day(loads)
    assert state(client, warehouse) == (0, 0, 0)
    assert len(row_jobs(client, warehouse)) <= 2 + 7 + 16
    repaired = [spoilt_load(number, 20, []) for number in range(1, 6)]
    assert warehouse.load_day(repaired) == [[]] * 5
    assert state(client, warehouse) == (100, 100, 5)


def test_days_are_numbered_apart(warehouse: BigQueryWarehouse, client: bigquery.Client) -> None:
    warehouse.load_day(clean_loads(1, 3))
    (later,) = clean_loads(3, 4)
    warehouse.load_day([replace(later, segment=replace(later.segment, minute=MINUTE + 86_400))])
    names = [name for name, _ in row_jobs(client, warehouse)]
    assert names == ["order_events-2025-02-08-0", "order_events-2025-02-09-0"]


def test_streaming_job_and_load_of_its_log_load_a_segment_once(
    warehouse: BigQueryWarehouse,
    client: bigquery.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The streaming job loads its segment in the moment in which `sluice load` submits the rows that a table lacks."""
    log = EventLog(open_store(str(tmp_path)), {"order": TypeLog.of(ORDER)})
    log.open()
    minute = MINUTE // 60 * 60
    old, young = (log.append("order", minute, 0, [order(n), order(n + 1)]).segment for n in (0, 2))
    assert old is not None
    assert young is not None
    os.utime(old.path, (0, NOW.timestamp() - 900))
    os.utime(young.path, (0, NOW.timestamp() - 899))
    job = Job(
        name="orders",
        contracts={"order": ORDER},
        route_by=None,
        source=Url("kafka://localhost:9092/orders?group=g"),
        files=Url(str(tmp_path)),
        warehouse=Url(f"bigquery://{warehouse.project}/{warehouse.dataset}"),
        dead_letters=Url(str(tmp_path / "dead")),
        windows=Windows(),
    )
    arguments = (warehouse, {"order": ORDER}, log, job, NOW.timestamp, RetryPolicy(0))
    live, whole_log = SegmentLoader(*arguments), SegmentLoader(*arguments, retries_rejected=True)
    live.compile()
    whole_log.compile()
    submit = bigquery.Client.load_table_from_file

    def submit_after_the_streaming_job(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(bigquery.Client, "load_table_from_file", submit)
        assert live.load(young).counts.counts["loaded", "order"] == 2
        return submit(*arguments, **named)

    monkeypatch.setattr(bigquery.Client, "load_table_from_file", submit_after_the_streaming_job)
    offered = [(StoredSegment("order", one.path, minute, one.id), False) for one in (old, young)]
    counts = [loaded.counts.counts for loaded in whole_log.load_day(offered)]
    assert counts == [
        {("in_work", "order"): 1},
        {("backfilled", "order"): 2, ("backfill_rejected", "order"): 0},
    ]
    assert state(client, warehouse) == (4, 4, 2)
    assert list(whole_log.load_day(offered)) == []  # nothing is left to a run that has loaded it
