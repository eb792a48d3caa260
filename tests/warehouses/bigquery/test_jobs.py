"""BigQuery's load jobs at every point where a worker can die, against the emulator."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.cloud import bigquery
from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import count_windows
from sluice.contracts import Property
from sluice.errors import ConfigError, WarehouseError
from sluice.tooling.tables import compare_tables, fit_to_table
from sluice.warehouses import SegmentLoad, open_warehouse
from sluice.warehouses.bigquery import segment_recorder as module
from sluice.warehouses.bigquery.segment_recorder import SegmentRecorder
from sluice.warehouses.bigquery.warehouse import BigQueryWarehouse

from devservers import tcp_proxy
from devservers.ports import free_port
from devservers.tcp_proxy import Fault, TcpProxy, containing
from tests.warehouses.backends import fresh_name
from tests.warehouses.bigquery.bigquery_jobs import job_ids, state
from tests.warehouses.order_segments import DEAD_LETTER, MINUTE, NOW, ORDER, load, order, segment

SPAWN = multiprocessing.get_context("spawn")
EACH = segment(1, order(0), order(11), b'{"at":7}')


def ids(number: int = 1) -> tuple[str, str]:
    """Return how the ids of a segment's jobs begin: of the load, and of the record."""
    return f"order_events-{number:032x}", f"_segments-{number:032x}"


def died(warehouse: BigQueryWarehouse, at: Callable[[], None]) -> None:
    """Load the segment in another process, which `at` makes die of SIGKILL at some point."""
    process = SPAWN.Process(target=_load_after, args=(warehouse, at))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _load_after(warehouse: BigQueryWarehouse, at: Callable[[], None]) -> None:
    at()
    load(warehouse, ORDER, EACH)


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
    SegmentRecorder.record = _kill  # type: ignore[method-assign]  # the process ends inside it


def while_the_record_runs() -> None:
    submit = bigquery.Client.query

    def submit_and_die(*arguments: Any, **named: Any) -> Any:
        submit(*arguments, **named)
        _kill()

    bigquery.Client.query = submit_and_die


@pytest.mark.parametrize("at", [before_the_job, while_the_job_runs, before_the_record, while_the_record_runs])
def test_load_of_a_killed_worker_is_completed_by_the_next(
    warehouse: BigQueryWarehouse, client: bigquery.Client, at: Callable[[], None]
) -> None:
    died(warehouse, at)
    assert [line for line, _ in load(warehouse, ORDER, EACH)] == [2]
    assert state(client, warehouse) == (2, 2, 1)
    rows, record = ids()
    assert job_ids(client, warehouse) == [(f"{record}-0", False), (f"{rows}-0", False)]


def test_counts_of_an_unrecorded_segment_are_not_added_again(
    warehouse: BigQueryWarehouse, client: bigquery.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(module, "INSERT_SEGMENT", "SELECT ERROR('stopped');")
        with pytest.raises(WarehouseError) as error:
            load(warehouse, ORDER, EACH)
    expected = f"{warehouse.name}: expected to record segment {EACH.id}: invalidQuery: stopped"
    assert str(error.value) == expected
    assert state(client, warehouse) == (2, 2, 0)
    load(warehouse, ORDER, EACH)
    assert state(client, warehouse) == (2, 2, 1)
    rows, record = ids()
    assert job_ids(client, warehouse) == [
        (f"{record}-0", True),
        (f"{record}-1", False),
        (f"{rows}-0", False),
    ]


def test_failed_job_is_followed_by_the_next_id(warehouse: BigQueryWarehouse, client: bigquery.Client) -> None:
    rows, record = ids()
    for attempt in range(2):
        failed = client.query(
            "SELECT ERROR('no')", job_id=f"sluice-{warehouse.dataset}-{rows}-{attempt}", job_retry=None
        )
        with pytest.raises(Exception, match="no"):
            failed.result(retry=None)
    load(warehouse, ORDER, EACH)
    assert state(client, warehouse) == (2, 2, 1)
    assert job_ids(client, warehouse) == [
        (f"{record}-0", False),
        (f"{rows}-0", True),
        (f"{rows}-1", True),
        (f"{rows}-2", False),
    ]


def test_rows_that_somebody_removed_are_loaded_again(
    warehouse: BigQueryWarehouse, client: bigquery.Client
) -> None:
    load(warehouse, ORDER, EACH)
    client.delete_dataset(warehouse.name, delete_contents=True)
    warehouse.prepare([ORDER, DEAD_LETTER])
    assert state(client, warehouse) == (0, 0, 0)
    load(warehouse, ORDER, EACH)
    load(warehouse, ORDER, EACH)
    assert state(client, warehouse) == (2, 2, 1)
    rows, record = ids()
    assert [job_id for job_id, _ in job_ids(client, warehouse)] == [
        f"{record}-0",
        f"{record}-1",
        f"{rows}-0",
        f"{rows}-1",
    ]


def test_rows_are_looked_for_when_bigquery_may_have_forgotten_the_job(
    warehouse: BigQueryWarehouse, client: bigquery.Client
) -> None:
    died(warehouse, before_the_record)
    rows, record = ids()
    client.delete_job_metadata(f"sluice-{warehouse.dataset}-{rows}-0")
    table, row_errors = to_table(ORDER, EACH, [f"{1:016x}{n:016x}" for n in range(3)], NOW)
    half_a_year_on = NOW + timedelta(days=190)
    warehouse.load(SegmentLoad(ORDER, EACH, table, row_errors, count_windows(table["at"]), half_a_year_on))
    assert state(client, warehouse) == (2, 2, 1)
    assert [job_id for job_id, _ in job_ids(client, warehouse)] == [f"{record}-0"]


def test_unreachable_server_fails_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    warehouse = BigQueryWarehouse("emulator", "shop", retry_seconds=0.2)
    actions: list[Callable[[], Any]] = [
        lambda: warehouse.prepare([ORDER]),
        lambda: warehouse.row_errors(f"{1:032x}", MINUTE),
    ]
    for action in actions:
        with pytest.raises(WarehouseError) as error:
            action()
        assert str(error.value).startswith("emulator.shop: expected BigQuery to answer: ")
        assert "\n" not in str(error.value)


@pytest.fixture
def between(server: str, warehouse: BigQueryWarehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[TcpProxy]:
    with tcp_proxy.start(int(server.rpartition(":")[2])) as made:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{made.port}")
        yield made


@pytest.mark.parametrize("kind", ["cut", "cut_after", "reset"])
@pytest.mark.parametrize("stage", [b"order_events-0000", b"_segments-0000", b"SELECT refusals"])
def test_broken_connection_loses_and_duplicates_nothing(
    warehouse: BigQueryWarehouse, client: bigquery.Client, between: TcpProxy, stage: bytes, kind: str
) -> None:
    between.faults.append(Fault(containing(stage), kind))
    for _ in range(3):
        try:
            load(warehouse, ORDER, EACH)
        except WarehouseError:
            continue
        break
    assert between.faults[0].count == 1
    assert state(client, warehouse) == (2, 2, 1)


def test_tables_are_created_from_contract_and_url(
    warehouse: BigQueryWarehouse, client: bigquery.Client
) -> None:
    tag = "projects/p/locations/eu/taxonomies/1/policyTags/2"
    name = fresh_name()
    url = f"bigquery://emulator/{name}?location=EU&time_travel=3d&label.team=data&policy_tag.restricted={tag}"
    text = Property("text", "string", description="Some text.", classification="restricted")
    contract = replace(ORDER, properties=(*ORDER.properties[:2], text), cluster_by=("order_id",))
    open_warehouse(url).prepare([contract])
    dataset = client.get_dataset(f"emulator.{name}")
    assert (dataset.location, dataset.max_time_travel_hours) == ("EU", "72")
    assert dataset.labels == {"team": "data", "generated_by": "sluice"}
    table = client.get_table(f"emulator.{name}.order_events")
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("DAY", "at")
    assert table.time_partitioning.expiration_ms is None
    assert (table.clustering_fields, table.require_partition_filter) == (["order_id"], True)
    assert table.description == "What the shop's customers order."
    assert table.labels["team"] == "data"
    assert table.schema[2].description == "Some text."
    assert table.schema[2].policy_tags.names == (tag,)
    open_warehouse(f"bigquery://emulator/{name}?partition_expiration=400d&time_travel=2d").prepare([contract])
    table = client.get_table(f"emulator.{name}.order_events")
    assert table.time_partitioning.expiration_ms == 400 * 86400 * 1000
    assert client.get_dataset(f"emulator.{name}").max_time_travel_hours == "48"
    with pytest.raises(ConfigError) as error:
        open_warehouse(f"bigquery://emulator/{name}?location=us-east1").prepare([contract])
    assert str(error.value) == f"emulator.{name}: expected a dataset in us-east1, got one in EU"


def test_partition_and_clusters_are_compared(warehouse: BigQueryWarehouse) -> None:
    other = replace(ORDER, event_time=None, cluster_by=("text",), path="order.odcs.yaml")
    assert compare_tables(warehouse, [other]).remaining == [
        "order_events: partition: expected DAY of _ingested_at, got DAY of at",
        "order_events: cluster: expected text, got none",
    ]
    assert fit_to_table(warehouse, [other]) == [other]
    number = replace(
        ORDER, properties=(Property("number", "decimal"), ORDER.properties[1]), path="order.odcs.yaml"
    )
    with pytest.raises(ConfigError) as error:
        fit_to_table(warehouse, [number])
    assert str(error.value) == (
        "order.odcs.yaml: table order_events.number: expected number NUMERIC, got number INTEGER;"
        " alter the table, or load into another one (1 more: see sluice tables --diff)"
    )


def test_large_segment_is_uploaded_in_parts(warehouse: BigQueryWarehouse, client: bigquery.Client) -> None:
    lines = [order(n % 60, text=os.urandom(3_000_000).hex()) for n in range(2)]
    assert load(warehouse, ORDER, segment(1, *lines)) == []
    assert state(client, warehouse) == (2, 2, 1)
