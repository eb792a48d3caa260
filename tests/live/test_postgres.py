"""What PostgreSQL does beyond the generic suite: native types, its own refusals, keys, and no word of the password."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sluice.contracts import Contract, Property
from sluice.errors import ConfigError, ContractError, SluiceError, WarehouseError
from sluice.warehouses import open_warehouse
from sluice.warehouses.postgres import PostgresWarehouse
from sluice.warehouses.postgres.tables import create_table_sql

from devservers.tools import ROOT, require_program
from tests.warehouses.backends import BACKENDS, Backend, MakeBackend
from tests.warehouses.order_segments import (
    DEAD_LETTER,
    ID,
    ORDER,
    event_counts,
    load,
    number_of,
    order,
    prepared,
    read_back,
    segment,
    segment_rows,
)

CUSTOMER = "00000000-0000-0000-0000-00000000000a"
PAID = replace(
    ORDER,
    properties=(*ORDER.properties, Property("customer_id", "uuid", references="customers.customer_id")),
)


@pytest.fixture(scope="module")
def make_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBackend]:
    with BACKENDS["postgres"](tmp_path_factory.mktemp("server")) as make:
        yield make


def execute(backend: Backend, *statements: str) -> None:
    """Run statements in the schema of the backend, as its owner would."""
    warehouse = open_warehouse(backend.url)
    assert isinstance(warehouse, PostgresWarehouse)
    with closing(warehouse._connect()) as connection:
        for statement in statements:
            connection.execute(statement)


def test_types_are_native_to_postgresql(backend: Backend) -> None:
    prepared(backend.url)
    rows = backend.query(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, col_description(a.attrelid, a.attnum)"
        " FROM pg_attribute a WHERE a.attrelid = 'order_events'::regclass AND a.attnum > 0 ORDER BY a.attnum"
    )
    assert [row[:3] for row in rows] == [
        ("order_id", "uuid", True),
        ("at", "timestamp with time zone", True),
        ("text", "text", False),
        ("total", "numeric(38,9)", False),
        ("ratio", "double precision", False),
        ("number", "bigint", False),
        ("paid", "boolean", False),
        ("day", "date", False),
        ("tags", "jsonb", False),
        ("items", "jsonb", False),
        ("deep", "jsonb", False),
        ("note", "jsonb", False),
        ("sold", "jsonb", False),
        ("sales", "jsonb", False),
        ("_extra", "jsonb", False),
        ("_event_id", "text", True),
        ("_segment_id", "text", True),
        ("_ingested_at", "timestamp with time zone", True),
    ]
    assert rows[0][3] == "The order's own id."
    keys = backend.query("SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
                       " WHERE contype = 'p' AND connamespace = current_schema()::regnamespace ORDER BY 1")  # fmt: skip
    assert keys == [
        ("_event_counts", "PRIMARY KEY (segment_id, window_start, event_type)"),
        ("_refusals", "PRIMARY KEY (segment_id, line)"),
        ("_segments", "PRIMARY KEY (segment_id)"),
        ("dead_letters", "PRIMARY KEY (_event_id)"),
        ("order_events", "PRIMARY KEY (_event_id)"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (order(text="a\0b"), 'invalid byte sequence for encoding "UTF8": 0x00; column text'),
        (
            order(tags=["\0"]),
            "unsupported Unicode escape sequence; \\u0000 cannot be converted to text; column tags",
        ),
        (order(note=b'{"a":1e999999}'), "value overflows numeric format; column note"),
        (order(foo=b"1e999999"), "value overflows numeric format; column _extra"),
        (order(order_id="no uuid"), "order_id: expected a UUID, got 'no uuid'"),
    ],
)
def test_rejected_rows_keep_the_words_of_postgresql_and_others_are_loaded(
    backend: Backend, line: bytes, reason: str
) -> None:
    warehouse = prepared(backend.url)
    lines = [order(second) for second in range(20)]
    lines[13] = line
    order_segment = segment(1, *lines, b'{"at":7}')
    row_errors = load(warehouse, ORDER, order_segment)
    assert row_errors[0] == (13, reason)
    assert [number for number, _ in row_errors] == [13, 20]
    assert warehouse.row_errors(order_segment.id, order_segment.minute) == row_errors
    assert [row["at"].second for row in read_back(backend)] == [*range(13), *range(14, 20)]
    # The line that is refused is one of second 0, that it replaced was one of second 13.
    assert [events for *_, events in event_counts(backend)] == [10, 9]
    assert segment_rows(backend)[0][4:6] == (19, 2)


def test_rows_that_break_a_user_constraint_are_rejected(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    execute(backend, 'ALTER TABLE order_events ADD CONSTRAINT "few" CHECK (number < 10)')
    row_errors = load(warehouse, ORDER, segment(1, order(number=10), order(number=9)))
    assert row_errors == [(0, 'new row for relation "order_events" violates check constraint "few"')]
    assert number_of(backend, "order_events") == 1


def test_existing_event_id_is_rejected(backend: Backend) -> None:
    """The log has each identity once in a minute; the table once at all."""
    warehouse = prepared(backend.url)
    load(warehouse, ORDER, segment(1, order()))
    execute(backend, "UPDATE order_events SET _event_id = '" + f"{2:016x}{1:016x}'")
    row_errors = load(warehouse, ORDER, segment(2, order(), order(1), order(2)))
    assert row_errors == [
        (
            1,
            'duplicate key value violates unique constraint "order_events_pkey"; '
            f"Key (_event_id)=({2:016x}{1:016x}) already exists",
        )
    ]
    assert number_of(backend, "order_events") == 3


def test_foreign_keys_reference_the_named_tables(backend: Backend) -> None:
    prepared(backend.url)
    execute(
        backend,
        "DROP TABLE order_events",
        "CREATE TABLE customers (customer_id uuid PRIMARY KEY)",
        f"INSERT INTO customers VALUES ('{CUSTOMER}')",
    )
    warehouse = open_warehouse(f"{backend.url}&foreign_keys=customers")
    for _ in range(2):
        warehouse.prepare([PAID, DEAD_LETTER])
    keys = backend.query("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'"
                       " AND connamespace = current_schema()::regnamespace")  # fmt: skip
    assert keys == [("FOREIGN KEY (customer_id) REFERENCES customers(customer_id)",)]
    lines = [order(customer_id=CUSTOMER), order(customer_id=ID), order()]
    assert load(warehouse, PAID, segment(1, *lines)) == [
        (
            1,
            'insert or update on table "order_events" violates foreign key constraint'
            f' "order_events_customer_id_fkey"; Key (customer_id)=({ID}) is not present in table "customers"',
        )
    ]
    assert number_of(backend, "order_events") == 2


@pytest.mark.parametrize(
    ("named", "contracts", "message"),
    [
        (
            "order_events",
            [PAID],
            "warehouse: {url}: foreign_keys: expected a table that this job does not load: its rows come in no order;"
            " got 'order_events'",
        ),
        (
            "products",
            [PAID],
            "warehouse: {url}: foreign_keys: expected a table that a property of some contract, not nested,"
            " refers to; got 'products'",
        ),
        (
            "customers",
            [PAID],
            "order@1.0.0: property customer_id: foreign key to customers.customer_id: expected a table with this"
            " column as its key, got none; create it, or its key",
        ),
    ],
)
def test_invalid_foreign_key_is_rejected(
    backend: Backend, named: str, contracts: list[Contract], message: str
) -> None:
    warehouse = open_warehouse(f"{backend.url}&foreign_keys={named}")
    assert isinstance(warehouse, PostgresWarehouse)
    with pytest.raises(ConfigError) as error:
        warehouse.prepare(contracts)
    assert str(error.value) == message.format(url=warehouse.url)


def test_committed_ddl_equals_created_tables(
    backend: Backend, make_backend: MakeBackend, tmp_path: Path
) -> None:
    from sluice.contracts import load_contracts
    from sluice.dead_letters.envelope import dead_letter_contract

    contracts = [*load_contracts(str(ROOT / "schemas/backend_events")).values(), dead_letter_contract()]
    warehouse = open_warehouse(backend.url)
    warehouse.prepare(contracts)
    other = make_backend(tmp_path)
    schema = other.url.rpartition("=")[2]
    files = [
        f"--file={ROOT}/ddl/postgres/{name}.sql"
        for name in ("_system", *(contract.table for contract in contracts))
    ]
    done = subprocess.run(
        [require_program("psql"), "--no-psqlrc", "-q", "-v", "ON_ERROR_STOP=1", other.url.partition("?")[0],
         f"--command=CREATE SCHEMA {schema}; SET search_path TO {schema}", *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    query = (
        "SELECT table_name, column_name, ordinal_position, data_type, numeric_precision, is_nullable"
        " FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1, 3"
    )
    made = backend.query(query)
    assert len(made) > 40
    assert made == other.query(query)


SECRET = "top:s/e@c?r%e#t"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://sluice:{SECRET}@127.0.0.1:{{port}}/postgres",
        "postgresql://sluice:top%3As%2Fe%40c%3Fr%25e%23t@127.0.0.1:{port}/postgres",
        "postgresql://sluice:top%3As%2Fe%40c%3Fr%25e%23t@127.0.0.1:1/postgres",
        "postgresql://sluice:top%3As%2Fe%40c%3Fr%25e%23t@127.0.0.1:{port}",
        "postgresql://sluice:top%3As%2Fe%40c%3Fr%25e%23t@127.0.0.1:{port}/postgres?pasword=x",
    ],
)
def test_password_is_in_no_error_and_no_repr(backend: Backend, url: str) -> None:
    texts = []
    with suppress(SluiceError):
        texts.append(repr(open_warehouse(url.format(port=backend.port))))
    error: BaseException | None
    with pytest.raises(SluiceError) as caught:
        open_warehouse(url.format(port=backend.port)).prepare([ORDER])
    error = caught.value
    while error is not None:
        texts += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    for text in texts:
        assert not any(part in text for part in (SECRET, "top:s", "e@c", "top%3A", "c?r")), text


def test_wrong_password_is_a_one_line_error(backend: Backend) -> None:
    url = f"postgresql://sluice:wrong@127.0.0.1:{backend.port}/postgres"
    with pytest.raises(WarehouseError) as error:
        open_warehouse(url).prepare([ORDER])
    shown = url.replace(":wrong", "")
    assert str(error.value) == (
        f"{shown}: expected a PostgreSQL server that works: Failed to connect: connection to server at "
        f'"127.0.0.1", port {backend.port} failed: FATAL: password authentication failed for user "sluice"'
    )


def test_password_is_read_from_the_environment(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    with_password = open_warehouse(backend.url)
    assert isinstance(with_password, PostgresWarehouse)
    monkeypatch.setenv("PGPASSWORD", with_password.options["password"])
    schema = backend.url.rpartition("=")[2]
    warehouse = open_warehouse(f"postgresql://sluice@127.0.0.1:{backend.port}/postgres?schema={schema}")
    warehouse.prepare([ORDER])
    assert b"%41" not in pickle.dumps(warehouse)
    load(warehouse, ORDER, segment(1, order()))
    assert number_of(backend, "order_events") == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "postgresql://u@h:1/d?ssl=on",
            "warehouse: postgresql://u@h:1/d: expected options among schema, foreign_keys, connect_timeout,"
            " keepalives_idle, keepalives_interval, keepalives_count, tcp_user_timeout, sslmode, sslrootcert,"
            " sslcert, sslkey, passfile, application_name behind ?, got 'ssl'",
        ),
        (
            "postgresql://u@h:1",
            "warehouse: expected postgresql://USER@HOST:PORT/DATABASE?schema=NAME, got 'postgresql://u@h:1'",
        ),
        (
            "postgresql://u@h:a/d",
            "warehouse: expected postgresql://USER@HOST:PORT/DATABASE?schema=NAME, got 'postgresql://'",
        ),
    ],
)
def test_invalid_url_is_rejected(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_warehouse(url)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"table": "event_counts"},
            "order@1.0.0: table: expected another name than Sluice's own event_counts, got 'event_counts'; rename it",
        ),
        (
            {"table": "t" * 64},
            "order@1.0.0: table: expected a table name for PostgreSQL (at most 63 bytes, not beginning with pg_,"
            " and not ending with _pkey as a key's index does),"
            f" got '{'t' * 64}'; rename it",
        ),
        (
            {"properties": (Property("xmin", "integer"),)},
            "order@1.0.0: property xmin: expected a column name for PostgreSQL (at most 63 bytes, and none of"
            " cmax, cmin, ctid, tableoid, xmax, xmin), got 'xmin'; rename it",
        ),
    ],
)  # fmt: skip
def test_contract_that_postgresql_cannot_store_is_rejected(changes: Any, message: str) -> None:
    with pytest.raises(ContractError) as error:
        create_table_sql(replace(ORDER, **changes))
    assert str(error.value) == message
