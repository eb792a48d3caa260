"""The warehouse with `method=storage_write`, against the emulator, which takes appends by gRPC."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlglot
from google.api_core.exceptions import NotFound
from google.cloud import bigquery
from sluice.contracts import Contract
from sluice.errors import WarehouseError
from sluice.retry import RetryPolicy
from sluice.tooling.tables import create_tables
from sluice.warehouses import open_warehouse
from sluice.warehouses.bigquery import segment_recorder as module
from sluice.warehouses.bigquery.tables import once_query
from sluice.warehouses.bigquery.warehouse import BigQueryWarehouse
from sqlglot import exp

from devservers import bigquery as bigquery_emulator
from devservers import tcp_proxy
from devservers.sluice_command import sluice
from devservers.tcp_proxy import Fault, containing
from devservers.tools import ROOT
from tests.warehouses.backends import bigquery_client, fresh_name
from tests.warehouses.order_segments import DEAD_LETTER, MINUTE, ORDER, load, order, segment
from tests.warehouses.storage_write_server import losing_answers

STORAGE = "BIGQUERY_STORAGE_EMULATOR_HOST"
EACH = segment(1, order(0, text="row 0"), order(11, text="row 1"), b'{"at":7}')
UNTIMED = replace(ORDER, event_time=None, table="untimed")


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run the emulator; yield the environment that leads clients to it."""
    with bigquery_emulator.start(tmp_path_factory.mktemp("bigquery")) as server:
        yield server.environment


@pytest.fixture
def client(emulator: dict[str, str]) -> Iterator[bigquery.Client]:
    made = bigquery_client(emulator["BIGQUERY_EMULATOR_HOST"])
    yield made
    made.close()


@pytest.fixture
def warehouse(emulator: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> BigQueryWarehouse:
    for name, value in emulator.items():
        monkeypatch.setenv(name, value)
    made = open_warehouse(f"bigquery://emulator/{fresh_name()}?method=storage_write")
    assert isinstance(made, BigQueryWarehouse)
    return replace(made, retry_seconds=1)


@pytest.fixture
def prepared(warehouse: BigQueryWarehouse) -> BigQueryWarehouse:
    warehouse.prepare([ORDER])
    return warehouse


def state(client: bigquery.Client, warehouse: BigQueryWarehouse) -> dict[str, int]:
    """Return how many rows there are in table and view, and how many counted events and recorded segments."""
    days = "WHERE at >= TIMESTAMP '2000-01-01'"
    (row,) = client.query_and_wait(f"""SELECT
  (SELECT COUNT(*) FROM `{warehouse.name}.order_events` {days}) AS appended,
  (SELECT COUNT(*) FROM `{warehouse.name}.order_events_once` {days}) AS once,
  (SELECT COALESCE(SUM(events), 0) FROM `{warehouse.name}.event_counts`) AS counted,
  (SELECT COUNT(*) FROM `{warehouse.name}._segments`) AS segments""")
    return dict(row)


def test_segment_is_appended_counted_and_recorded(
    prepared: BigQueryWarehouse, client: bigquery.Client
) -> None:
    row_errors = load(prepared, ORDER, EACH)
    assert [line for line, _ in row_errors] == [2]
    assert state(client, prepared) == {"appended": 2, "once": 2, "counted": 2, "segments": 1}
    assert load(prepared, ORDER, EACH) == row_errors == prepared.row_errors(EACH.id, MINUTE)
    assert state(client, prepared)["appended"] == 2
    assert [job for job in client.list_jobs() if job.job_type == "load"] == []


def test_appended_values_equal_those_of_a_load_job(
    prepared: BigQueryWarehouse, client: bigquery.Client
) -> None:
    item = {"product_id": None, "price": 1.5, "since": "2025-02-08T13:09:00.123456Z", "sizes": [1, 2]}
    order_segment = segment(
        1,
        order(
            0, text="é '\"\\\n", total=b"-12345678901234567890123456789.123456789", tags=["", "ü"], ratio=0.1
        ),
        order(1, items=[item, {"sizes": None}], note={"a": [None]}, number=-(2**63), day="0001-01-01"),
        order(2, deep={"a": {"b": {"c": [{"leaf": None}, {"leaf": {"name": "n", "price": 1}}]}}}, paid=False),
        order(3, deep={"a": {"b": {"c": None}}}, sales=[{"n": 1, "sold": None}]),
    )
    loaded = replace(prepared, dataset=fresh_name(), method="load")
    loaded.prepare([ORDER])
    rows = []
    for each_warehouse in (prepared, loaded):
        assert load(each_warehouse, ORDER, order_segment) == []
        result = client.query_and_wait(
            f"SELECT * FROM `{each_warehouse.name}.order_events` WHERE at >= TIMESTAMP '2000-01-01' ORDER BY at"
        )
        rows.append([dict(row) for row in result])
    assert rows[0] == rows[1]
    assert len(rows[0]) == 4


def test_unrecorded_segment_is_appended_again_and_in_the_view_once(
    prepared: BigQueryWarehouse, client: bigquery.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(module, "INSERT_SEGMENT", "SELECT ERROR('stopped');")
        with pytest.raises(WarehouseError, match="stopped"):
            load(prepared, ORDER, EACH)
    assert state(client, prepared) == {"appended": 2, "once": 2, "counted": 2, "segments": 0}
    load(prepared, ORDER, EACH)
    assert state(client, prepared) == {"appended": 4, "once": 2, "counted": 2, "segments": 1}
    once = client.query_and_wait(
        f"SELECT text FROM `{prepared.name}.order_events_once` WHERE at > TIMESTAMP '2025-02-08 13:09:00'"
    )
    assert [row["text"] for row in once] == ["row 1"]


@contextmanager
def before_the_rows(target: str) -> Iterator[str]:
    """Cut the connection when the rows are sent."""
    with tcp_proxy.start(int(target.rpartition(":")[2])) as between:
        between.faults.append(Fault(containing(b"row 1"), "cut"))
        yield f"127.0.0.1:{between.port}"


def before_the_answer(target: str) -> AbstractContextManager[str]:
    """Cut the stream when the rows are in the table."""
    return losing_answers(target, 1)


@pytest.mark.parametrize(("broken", "appended"), [(before_the_rows, 2), (before_the_answer, 4)])
def test_broken_stream_fails_the_load_which_is_retried(
    prepared: BigQueryWarehouse,
    client: bigquery.Client,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[str], AbstractContextManager[str]],
    appended: int,
) -> None:
    failed: list[tuple[str, dict[str, int]]] = []

    def attempt() -> None:
        try:
            load(prepared, ORDER, EACH)
        except WarehouseError as error:
            failed.append((str(error), state(client, prepared)))
            raise

    with broken(os.environ[STORAGE]) as address:
        monkeypatch.setenv(STORAGE, address)
        RetryPolicy(60)(attempt)
    message, after = failed[0]
    assert message.startswith(f"{prepared.name}: expected BigQuery to answer: 503 ")
    rows = appended - 2
    assert after == {"appended": rows, "once": rows, "counted": 0, "segments": 0}
    assert state(client, prepared) == {"appended": appended, "once": 2, "counted": 2, "segments": 1}


def test_rows_that_the_table_rejects_have_its_message(
    warehouse: BigQueryWarehouse, client: bigquery.Client
) -> None:
    number = tuple(
        replace(order_segment, type="integer") if order_segment.name == "text" else order_segment
        for order_segment in ORDER.properties
    )
    warehouse.prepare([replace(ORDER, properties=number)])
    order_segment = segment(1, order(0, text="7"), order(1, text="x"), b'{"at":7}', order(12, text="8"))
    row_errors = load(warehouse, ORDER, order_segment)
    assert [line for line, _ in row_errors] == [1, 2]
    assert row_errors[0][1] == "Cannot convert value to integer (bad value): x"
    assert state(client, warehouse) == {"appended": 2, "once": 2, "counted": 2, "segments": 1}
    assert warehouse.row_errors(order_segment.id, MINUTE) == row_errors


def test_missing_table_rejects_no_rows(prepared: BigQueryWarehouse, client: bigquery.Client) -> None:
    client.delete_table(f"{prepared.name}.order_events")
    with pytest.raises(
        WarehouseError, match=f"^{prepared.name}: expected BigQuery to answer: 404 .*Not found"
    ):
        load(prepared, ORDER, EACH)
    assert prepared.row_errors(EACH.id, MINUTE) is None


def stored_rows(client: bigquery.Client, warehouse: BigQueryWarehouse) -> list[int]:
    """Return how many orders, inventory movements and dead letters are stored, and how many events are counted."""
    times = {"order_events": "order_date", "inventory_events": "timestamp", "dead_letters": "time"}
    numbers = [
        f"(SELECT COUNT(*) FROM `{warehouse.name}.{table}_once` WHERE `{time}` >= TIMESTAMP '2000-01-01') AS {table}"
        for table, time in times.items()
    ]
    (row,) = client.query_and_wait(
        f"SELECT {', '.join(numbers)}, (SELECT SUM(events) FROM `{warehouse.name}.event_counts`) AS events"
    )
    return [int(number) for number in row.values()]


@pytest.mark.long
def test_run_appends_historical_data(
    warehouse: BigQueryWarehouse, client: bigquery.Client, tmp_path: Path
) -> None:
    lines = (
        (ROOT / "examples/backend_events/history/orders_and_stock.ndjson")
        .read_bytes()
        .splitlines(keepends=True)
    )
    chosen = [line for line in lines if b"T13:01:" in line or b"T13:02:" in line]
    (tmp_path / "history.ndjson").write_bytes(b"".join([*chosen, b'{"event_type":"order"\n']))
    arguments = [
        "jobs/backend_events.yaml",
        f"--source={tmp_path}/history.ndjson",
        f"--files={tmp_path}/files",
        f"--dead-letters={tmp_path}/dead_letters",
        f"--warehouse=bigquery://emulator/{warehouse.dataset}?method=storage_write",
        f"--report={tmp_path}/report.json",
    ]
    reports = []
    for command in ("run", "load"):
        done = sluice(command, *arguments)
        assert done.code == 0, done.err
        reports.append(json.loads((tmp_path / "report.json").read_text()))
    report, again = reports
    assert report["reconciled"]
    assert again["loaded"] == again["backfilled"] == 0
    figures = report["by_type"]
    expected = [
        figures["order"]["loaded"],
        figures["inventory"]["loaded"],
        report["rejected"],
        report["loaded"],
    ]
    assert stored_rows(client, warehouse) == expected
    assert all(expected)


def test_views_are_created_with_the_tables(warehouse: BigQueryWarehouse, client: bigquery.Client) -> None:
    plain = replace(warehouse, method="load")
    create_tables(plain, [ORDER])
    with pytest.raises(NotFound):
        client.get_table(f"{plain.name}.order_events_once")
    done = create_tables(warehouse, [ORDER, DEAD_LETTER, UNTIMED]).applied
    assert done == ["dead_letters: created", "untimed: created"]
    for table in ("order_events", "dead_letters", "untimed"):
        view = client.get_table(f"{warehouse.name}.{table}_once")
        assert (view.table_type, view.description) == ("VIEW", f"Events of {table}, each once.")
    assert create_tables(warehouse, [ORDER, DEAD_LETTER, UNTIMED]).applied == []


@pytest.mark.parametrize(
    ("contract", "partition", "key"),
    [(ORDER, "at", ["_event_id", "at"]), (UNTIMED, "_ingested_at", ["_event_id"])],
)
def test_view_has_one_row_of_each_event(contract: Contract, partition: str, key: list[str]) -> None:
    query = sqlglot.parse_one(once_query(contract, "p.shop"), dialect="bigquery")
    assert isinstance(query, exp.Select)
    assert query.is_star
    (table,) = query.find_all(exp.Table)
    assert table.sql("bigquery").replace("`", "") == f"p.shop.{contract.table}"
    assert query.args["where"].this.sql("bigquery") == (f"`{partition}` >= CAST('0001-01-01' AS TIMESTAMP)")
    window = query.args["qualify"].this.this
    assert isinstance(window.this, exp.RowNumber)
    assert [column.name for column in window.args["partition_by"]] == key
    assert query.args["qualify"].this.expression.sql() == "1"
