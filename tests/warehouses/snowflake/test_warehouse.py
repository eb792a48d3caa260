from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from sluice.contracts import Property
from sluice.errors import ConfigError, ContractError, WarehouseError
from sluice.warehouses import Coalescing, SegmentLoad, open_warehouse
from sluice.warehouses.snowflake.connection import Conflict, SnowflakeConnection, credentials
from sluice.warehouses.snowflake.tables import create_table_sql
from sluice.warehouses.snowflake.warehouse import SnowflakeWarehouse

from devservers import tcp_proxy
from devservers.ports import free_port
from devservers.tcp_proxy import Fault, TcpProxy, containing
from tests.warehouses.backends import BACKENDS, Backend, MakeBackend
from tests.warehouses.order_segments import (
    DEAD_LETTER,
    ORDER,
    event_counts,
    load,
    number_of,
    order,
    prepared,
    segment,
    segment_load,
    segment_rows,
)

SPAWN = multiprocessing.get_context("spawn")
EACH = segment(1, order(0, text="1"), order(11, text="2"), b'{"at":7}')
SECRET = "s3cret-word"


def test_url_with_every_parameter_is_read() -> None:
    url = "snowflake://ada@org-acct/EVENTS/raw?warehouse=LOAD&role=LOADER&host=h&port=1&protocol=http"
    warehouse = open_warehouse(url)
    assert isinstance(warehouse, SnowflakeWarehouse)
    assert warehouse.options == {
        "user": "ada",
        "account": "org-acct",
        "database": "EVENTS",
        "schema": "raw",
        "warehouse": "LOAD",
        "role": "LOADER",
        "host": "h",
        "port": "1",
        "protocol": "http",
    }
    assert pickle.loads(pickle.dumps(warehouse)) == warehouse
    assert repr(warehouse) == f"SnowflakeWarehouse(url='{url}')"


SHAPE = "expected snowflake://USER@ACCOUNT/DATABASE/SCHEMA?warehouse=NAME&role=NAME, got"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("snowflake://a/d/s", f"{SHAPE} 'snowflake://a/d/s'"),
        ("snowflake://u@a/d", f"{SHAPE} 'snowflake://u@a/d'"),
        ("snowflake://u@a/d/s/t", f"{SHAPE} 'snowflake://u@a/d/s/t'"),
        ('snowflake://u@a/d/"s"', f"{SHAPE} 'snowflake://u@a/d/\"s\"'"),
        (
            f"snowflake://u:{SECRET}@a/d/s",
            "snowflake://u@a/d/s: expected no password in the URL; they come from SNOWFLAKE_PRIVATE_KEY or"
            " SNOWFLAKE_PASSWORD",
        ),
        (
            f"snowflake://u@a/d/s?password={SECRET}",
            "snowflake://u@a/d/s: expected options among warehouse, role, host, port, protocol behind ?,"
            " got 'password'",
        ),
    ],
)
def test_malformed_url_is_rejected(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_warehouse(url)
    assert str(error.value) == f"warehouse: {message}"


def pem(passphrase: str = "") -> str:
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    key = generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("PRIVATE_KEY", "PRIVATE_KEY_PASSPHRASE", "PASSWORD"):
        monkeypatch.delenv(f"SNOWFLAKE_{name}", raising=False)
    return monkeypatch


def test_private_key_is_used_before_the_password(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as error:
        credentials()
    assert str(error.value) == (
        "SNOWFLAKE_PRIVATE_KEY or SNOWFLAKE_PASSWORD: expected one of them in the environment, got neither"
    )
    environment.setenv("SNOWFLAKE_PASSWORD", SECRET)
    assert credentials() == {"password": SECRET}
    environment.setenv("SNOWFLAKE_PRIVATE_KEY", pem(SECRET))
    with pytest.raises(ConfigError) as error:
        credentials()
    assert str(error.value) == (
        "SNOWFLAKE_PRIVATE_KEY: expected a private key in PEM, which SNOWFLAKE_PRIVATE_KEY_PASSPHRASE opens"
    )
    environment.setenv("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", SECRET)
    login = credentials()
    assert (login["authenticator"], login["private_key"][:2]) == ("SNOWFLAKE_JWT", b"\x30\x82")


def test_ddl_has_types_keys_and_comments() -> None:
    contract = replace(
        DEAD_LETTER,
        description="Ada's \\ letters.",
        properties=(*DEAD_LETTER.properties, Property("tags", "array", items=Property("item", "string"))),
        cluster_by=("payload",),
    )
    assert create_table_sql(contract) == textwrap.dedent("""\
        CREATE TABLE IF NOT EXISTS "DEAD_LETTERS" (
            "AT" TIMESTAMP_TZ NOT NULL,
            "PAYLOAD" VARCHAR,
            "TAGS" VARIANT,
            "_EXTRA" VARCHAR COMMENT 'Properties outside the contract, nested as they came, or null.',
            "_EVENT_ID" VARCHAR NOT NULL COMMENT 'Identity of the event: 32 hex digits.',
            "_SEGMENT_ID" VARCHAR NOT NULL COMMENT 'Segment of the log that holds the event.',
            "_INGESTED_AT" TIMESTAMP_TZ NOT NULL COMMENT 'When the event was loaded.'
        )
        CLUSTER BY (TO_DATE("AT"), "PAYLOAD")
        COMMENT = 'Ada''s \\\\ letters.';
        """)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"table": "Event_Counts"},
            "table: expected another name than Sluice's own event_counts, got 'Event_Counts'; rename it",
        ),
        (
            {"properties": (Property("straße", "string"), Property("STRASSE", "string"))},
            "property STRASSE: Snowflake cannot tell it from straße; rename one",
        ),
    ],
)
def test_contract_that_snowflake_cannot_store_is_rejected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError) as error:
        create_table_sql(replace(DEAD_LETTER, **change))
    assert str(error.value) == f"dead_letter@1.0.0: {message}"


@pytest.fixture(scope="module")
def make_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBackend]:
    with BACKENDS["snowflake"](tmp_path_factory.mktemp("server")) as make:
        yield make


@pytest.fixture
def backend(make_backend: MakeBackend, tmp_path: Path, environment: pytest.MonkeyPatch) -> Backend:
    environment.setenv("SNOWFLAKE_PASSWORD", SECRET)
    return make_backend(tmp_path)


def state(backend: Backend) -> tuple[int, int, int]:
    """Return how many rows, counted events and recorded segments there are."""
    return (
        number_of(backend, "order_events"),
        sum(n for *_, n in event_counts(backend)),
        len(segment_rows(backend)),
    )


def test_login_with_a_key_pair(backend: Backend, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("SNOWFLAKE_PASSWORD")
    environment.setenv("SNOWFLAKE_PRIVATE_KEY", pem())
    load(prepared(backend.url), ORDER, EACH)
    assert state(backend) == (2, 2, 1)


def _kill_at(url: str, statement: str) -> None:
    """Load a segment, but die of SIGKILL when a statement of its transaction begins."""
    execute = SnowflakeConnection._execute

    def execute_or_die(self: SnowflakeConnection, sql: str, values: Any) -> Any:
        if statement in sql:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(self, sql, values)

    SnowflakeConnection._execute = execute_or_die  # type: ignore[method-assign]  # the process ends inside it
    load(open_warehouse(url), ORDER, EACH)


@pytest.mark.parametrize("statement", ["PUT ", "INSERT INTO _event_counts", "UPDATE _load_lock"])
def test_worker_killed_in_a_transaction_leaves_nothing(backend: Backend, statement: str) -> None:
    warehouse = prepared(backend.url)
    process = SPAWN.Process(target=_kill_at, args=(backend.url, statement))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert state(backend) == (0, 0, 0)
    assert [line for line, _ in load(warehouse, ORDER, EACH)] == [2]
    assert state(backend) == (2, 2, 1)


def test_rows_that_snowflake_rejects_are_found_and_the_others_loaded(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    backend.query("DROP TABLE order_events")
    backend.query(create_table_sql(ORDER).replace('"TEXT" VARCHAR', '"TEXT" NUMBER(9,0)').rstrip(";\n"))
    texts = ["3", "three", "5", "7", "", "11"]
    order_segment = segment(1, *(order(n, text=text) for n, text in enumerate(texts)), b'{"at":7}')
    row_errors = load(warehouse, ORDER, order_segment)
    assert [line for line, _ in row_errors] == [1, 4, 6]
    assert row_errors[0][1].startswith('100038 (22018): Conversion Error: Could not convert string "three"')
    assert state(backend) == (4, 4, 1)
    assert load(warehouse, ORDER, order_segment) == row_errors
    assert segment_rows(backend)[0][4:6] == (4, 3)


def day_loads(first: int, last: int) -> list[SegmentLoad]:
    """Return loads of these segments, each with two rows and a line that is none."""
    return [
        segment_load(number, order(0, text="1"), order(11, text="2"), b'{"at":7}')
        for number in range(first, last)
    ]


def transactions(backend: Backend) -> int:
    ((loads,),) = backend.query("SELECT loads FROM _load_lock")
    return int(loads)


def coalescing(backend: Backend) -> SnowflakeWarehouse:
    warehouse = prepared(backend.url)
    assert isinstance(warehouse, SnowflakeWarehouse)
    assert isinstance(warehouse, Coalescing)
    assert warehouse.coalesces
    return warehouse


def test_segments_of_a_day_are_one_transaction(backend: Backend) -> None:
    warehouse = coalescing(backend)
    loads = day_loads(1, 101)
    row_errors = warehouse.load_day(loads)
    assert [[line for line, _ in errors] for errors in row_errors] == [[2]] * 100
    assert (state(backend), transactions(backend)) == ((200, 200, 100), 1)
    assert {row[4:6] for row in segment_rows(backend)} == {(2, 1)}
    ids = [load.segment.id for load in loads]
    known = warehouse.row_errors_of_day([*ids, f"{999:032x}"], loads[0].minute.date())
    assert known == dict(zip(ids, row_errors, strict=True))
    assert warehouse.load_day(day_loads(90, 103)) == [*row_errors[89:], *row_errors[:2]]
    assert (state(backend), transactions(backend)) == ((204, 204, 102), 2)
    assert warehouse.load_day(loads) == row_errors
    assert transactions(backend) == 2


def test_segment_is_the_same_however_many_are_loaded_with_it(backend: Backend) -> None:
    warehouse = coalescing(backend)
    load(warehouse, ORDER, EACH)
    alone = segment_rows(backend), event_counts(backend), backend.query("SELECT * FROM _event_counts")
    for table in ("order_events", "_segments", "_refusals", "_event_counts"):
        backend.query(f"DELETE FROM {table}")
    warehouse.load_day(day_loads(1, 3))
    backend.query(f"DELETE FROM _segments WHERE segment_id <> '{EACH.id}'")
    backend.query(f"DELETE FROM _event_counts WHERE segment_id <> '{EACH.id}'")
    together = segment_rows(backend), event_counts(backend), backend.query("SELECT * FROM _event_counts")
    assert together == alone


def _load_day(url: str, first: int, last: int) -> None:
    warehouse = open_warehouse(url)
    assert isinstance(warehouse, SnowflakeWarehouse)
    warehouse.load_day(day_loads(first, last))


def test_workers_with_overlapping_days_load_each_segment_once(backend: Backend) -> None:
    coalescing(backend)
    ranges = [(1, 40), (1, 40), (20, 60), (39, 41)]
    processes = [SPAWN.Process(target=_load_day, args=(backend.url, *each)) for each in ranges]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert state(backend) == (118, 118, 59)


def test_row_that_snowflake_rejects_costs_itself_alone(backend: Backend) -> None:
    warehouse = coalescing(backend)
    backend.query("DROP TABLE order_events")
    backend.query(create_table_sql(ORDER).replace('"TEXT" VARCHAR', '"TEXT" NUMBER(9,0)').rstrip(";\n"))
    faulty = segment_load(5, order(0, text="3"), order(1, text="three"))
    row_errors = warehouse.load_day([*day_loads(1, 5), faulty, *day_loads(6, 9)])
    assert [[line for line, _ in errors] for errors in row_errors] == [[2]] * 4 + [[1]] + [[2]] * 3
    assert (state(backend), transactions(backend)) == ((15, 15, 8), 4)


def test_unreachable_server_fails_with_one_line(backend: Backend, environment: pytest.MonkeyPatch) -> None:
    assert backend.url_at is not None
    url = backend.url_at(free_port())
    with pytest.raises(WarehouseError) as error:
        open_warehouse(url).row_errors("1", 0)
    assert str(error.value).startswith(f"{url}: expected Snowflake to answer: ")
    assert "\n" not in str(error.value)
    assert SECRET not in str(error.value)
    assert error.value.__cause__ is None


def test_snowflake_conflict_is_retried(backend: Backend) -> None:
    warehouse = open_warehouse(backend.url)
    assert isinstance(warehouse, SnowflakeWarehouse)
    conflicts = [Conflict("a lock"), Conflict("an object exists")]

    def work(connection: SnowflakeConnection) -> int:
        if conflicts:
            raise conflicts.pop()
        return len(connection.execute("SELECT 1"))

    prepared(backend.url)
    assert warehouse._use(work) == 1


@pytest.fixture
def between(backend: Backend) -> Iterator[TcpProxy]:
    assert backend.port is not None
    with tcp_proxy.start(backend.port) as made:
        yield made


@pytest.mark.parametrize(
    ("kind", "stage"),
    [
        *[("cut", stage) for stage in (b"login-request", b"fs_bucket", b"COPY INTO", b"UPDATE", b"COMMIT")],
        *[("reset", stage) for stage in (b"BEGIN", b"PUT ", b"INSERT INTO _segments", b"COMMIT")],
        ("cut_after", b"COMMIT"),
    ],
)
def test_broken_connection_loses_and_duplicates_nothing(
    backend: Backend, between: TcpProxy, stage: bytes, kind: str
) -> None:
    assert backend.url_at is not None
    prepared(backend.url)
    between.faults.append(Fault(containing(stage), kind))
    warehouse = open_warehouse(backend.url_at(between.port))
    attempts: list[Callable[[], Any]] = [lambda: load(warehouse, ORDER, EACH)] * 3
    for attempt in attempts:
        try:
            attempt()
        except WarehouseError as error:
            assert SECRET not in str(error)
            continue
        break
    assert between.faults[0].count == 1
    assert state(backend) == (2, 2, 1)
