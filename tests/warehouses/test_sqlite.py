"""What SQLite does beyond the generic suite: exact text, turns of writers, kills in the midst of a transaction."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sluice.contracts import Property
from sluice.errors import ConfigError, ContractError, WarehouseError
from sluice.tooling.tables import compare_tables, fit_to_table
from sluice.warehouses import open_warehouse, sqlite
from sluice.warehouses.sqlite import SQLiteWarehouse
from sluice.warehouses.sqlite_tables import create_table_sql

from tests.warehouses.backends import BACKENDS, Backend
from tests.warehouses.order_segments import (
    DEAD_LETTER,
    ID,
    ORDER,
    event_counts,
    load,
    load_all_patiently,
    number_of,
    order,
    prepared,
    segment,
    segment_rows,
)

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    with BACKENDS["sqlite"](tmp_path) as make:
        yield make(tmp_path)


def file_of(backend: Backend) -> str:
    return backend.url.removeprefix("sqlite:///")


def test_missing_key_is_a_difference_and_a_column_with_a_default_is_tolerated(tmp_path: Path) -> None:
    warehouse = open_warehouse(f"sqlite:///{tmp_path}/w.db")
    own = create_table_sql(DEAD_LETTER).replace(
        '    PRIMARY KEY ("_event_id")', "    own TEXT NOT NULL DEFAULT 'x'"
    )
    with closing(sqlite3.connect(tmp_path / "w.db")) as connection:
        connection.execute(own)
    assert compare_tables(warehouse, [DEAD_LETTER]).remaining == [
        "dead_letters.own: expected no such column, got own TEXT",
        "dead_letters: primary key: expected _event_id, got none",
    ]
    warehouse.prepare([DEAD_LETTER])
    line = b'{"at":"2025-02-08T13:09:00Z","payload":"x"}'
    assert (
        load(warehouse, fit_to_table(warehouse, [DEAD_LETTER])[0], segment(1, line, event_type="dead_letter"))
        == []
    )
    with closing(sqlite3.connect(tmp_path / "w.db")) as connection:
        assert connection.execute("SELECT payload, own FROM dead_letters").fetchall() == [("x", "x")]


def test_values_without_an_sqlite_type_are_stored_as_exact_text(backend: Backend) -> None:
    line = order(
        7.5,
        total=b"12345678901234567890.123456789",
        day="2024-02-29",
        paid=True,
        ratio=0.5,
        number=7,
        tags=["ž"],
    )
    load(prepared(backend.url), ORDER, segment(1, line, order(total=0)))
    names = '"order_id", "at", "total", "day", "paid", "ratio", "number", "tags", "_ingested_at"'
    rows = backend.query(f"SELECT {names} FROM order_events ORDER BY _event_id")
    assert rows[0] == (
        ID,
        "2025-02-08T13:09:07.500000Z",
        "12345678901234567890.123456789",
        "2024-02-29",
        1,
        0.5,
        7,
        '["ž"]',
        "2025-02-08T14:00:00.000000Z",
    )
    assert rows[1][2] == "0.000000000"
    assert backend.query(
        "SELECT unixepoch(\"at\"), json_extract(tags, '$[0]') FROM order_events LIMIT 1"
    ) == [(1739020147, "ž")]


def test_tables_are_strict_and_contain_their_descriptions(backend: Backend) -> None:
    prepared(backend.url)
    (ddl,) = backend.query("SELECT sql FROM sqlite_master WHERE name = 'order_events'")[0]
    assert ddl.splitlines()[:3] == [
        'CREATE TABLE "order_events" ( -- What the shop\'s customers order.',
        '    "order_id" TEXT NOT NULL, -- The order\'s own id.',
        '    "at" TEXT NOT NULL,',
    ]
    assert ddl.endswith('    PRIMARY KEY ("_event_id")\n) STRICT')
    assert backend.query("PRAGMA journal_mode") == [("wal",)]


def test_row_that_sqlite_rejects_has_its_message_and_the_others_are_loaded(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    load(warehouse, ORDER, segment(1, order()))
    with closing(sqlite3.connect(file_of(backend))) as connection:
        connection.execute("CREATE UNIQUE INDEX one_text ON order_events (text)")
    lines = [order(second, text=str(second % 9)) for second in range(12)]
    order_segment = segment(2, *lines, b'{"at":7}')
    row_errors = load(warehouse, ORDER, order_segment)
    said = "UNIQUE constraint failed: order_events.text"
    assert row_errors[:3] == [(9, said), (10, said), (11, said)]
    assert warehouse.row_errors(order_segment.id, order_segment.minute) == row_errors
    assert [mark[4:6] for mark in segment_rows(backend)] == [(1, 0), (9, 4)]
    assert [events for *_, events in event_counts(backend)] == [10]


def test_writer_waits_for_the_transaction_before_and_fails_with_one_line(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = prepared(backend.url)
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    with closing(sqlite3.connect(file_of(backend), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert warehouse.row_errors(segment(1).id, 0) is None  # readers are not in its way
        with pytest.raises(WarehouseError) as error:
            load(warehouse, ORDER, segment(1, order()))
    assert str(error.value) == (
        f"{file_of(backend)}: expected an SQLite database that can be written: database is locked"
    )
    assert load(warehouse, ORDER, segment(1, order())) == []


def _killed_at(url: str, statement: str) -> None:
    """Load a segment, but die of SIGKILL when a statement of its transaction begins."""
    connect = sqlite3.connect

    def traced(*arguments: Any, **named: Any) -> sqlite3.Connection:
        opened: sqlite3.Connection = connect(*arguments, **named)
        opened.set_trace_callback(
            lambda sql: os.kill(os.getpid(), signal.SIGKILL) if statement in sql else None
        )
        return opened

    sqlite3.connect = traced  # type: ignore[assignment]  # the connection is traced
    load_all_patiently(url, 1)


@pytest.mark.parametrize(
    "statement", ["INSERT INTO _segments", 'INTO "order_events"', "_event_counts", "COMMIT"]
)
def test_load_that_was_killed_leaves_nothing_and_is_done_by_the_next(
    backend: Backend, statement: str
) -> None:
    prepared(backend.url)
    process = SPAWN.Process(target=_killed_at, args=(backend.url, statement))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (number_of(backend, "order_events"), segment_rows(backend), event_counts(backend)) == (0, [], [])
    load_all_patiently(backend.url, 1)
    assert (number_of(backend, "order_events"), [mark[4:6] for mark in segment_rows(backend)]) == (
        50,
        [(50, 1)],
    )


def test_relative_url_is_resolved_when_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    opened = open_warehouse("sqlite:///out/it's.db")
    assert opened == SQLiteWarehouse(f"{tmp_path}/out/it's.db")
    opened.prepare([ORDER])
    assert (tmp_path / "out" / "it's.db").is_file()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://w.db", "expected sqlite:///PATH, got 'sqlite://w.db'"),
        ("sqlite:///", "expected sqlite:///PATH, got 'sqlite:///'"),
        (
            "sqlite:///:memory:",
            "sqlite:///:memory:: path: expected the path of a file, got ':memory:'",
        ),
    ],
)
def test_url_without_a_file_is_rejected(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_warehouse(url)
    assert str(error.value) == f"warehouse: {message}"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("Event_Counts", "expected another name than Sluice's own event_counts"),
        ("SQLite_events", "expected a table name for SQLite (not beginning with sqlite_)"),
    ],
)
def test_table_that_sqlite_cannot_store_is_rejected(table: str, message: str) -> None:
    with pytest.raises(ContractError) as error:
        create_table_sql(replace(DEAD_LETTER, table=table))
    assert str(error.value) == f"dead_letter@1.0.0: table: {message}, got {table!r}; rename it"


def test_description_cannot_end_its_comment(backend: Backend) -> None:
    prop = Property("note", "string", description='line one\n"evil" INTEGER, --\r\u2028x')
    prepared(backend.url)
    open_warehouse(backend.url).prepare(
        [replace(DEAD_LETTER, table="letters", properties=(*DEAD_LETTER.properties, prop))]
    )
    names = [row[1] for row in backend.query("PRAGMA table_info(letters)")]
    assert names == ["at", "payload", "note", "_extra", "_event_id", "_segment_id", "_ingested_at"]


def test_file_that_is_no_database_fails_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    file.write_bytes(b"something else, longer than a header" * 500)
    with pytest.raises(WarehouseError) as error:
        SQLiteWarehouse(str(file)).prepare([ORDER])
    assert (
        str(error.value) == f"{file}: expected an SQLite database that can be written: file is not a database"
    )


def test_folder_that_cannot_be_created_fails_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(WarehouseError) as error:
        SQLiteWarehouse(str(tmp_path / "x" / "w.db")).prepare([ORDER])
    assert str(error.value) == f"{tmp_path / 'x'}: expected to read or write the warehouse: File exists"


def test_minute_before_the_year_1000_is_found_by_its_day(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    early = replace(segment(1, order(at="0999-12-31T23:59:00Z")), minute=-30610224060)
    assert load(warehouse, ORDER, early) == []
    assert backend.query("SELECT minute FROM _segments") == [("0999-12-31T23:59:00.000000Z",)]
    assert [record.id for page in warehouse.segment_records(date(999, 12, 31)) for record in page] == [
        early.id
    ]
    assert list(warehouse.segment_records(date(1000, 1, 1))) == []
