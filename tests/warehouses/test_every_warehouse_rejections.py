"""Rows that a warehouse rejects, with whatever code, told from a table or a server that takes none."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from sluice.errors import TableError, WarehouseError
from sluice.warehouses import open_warehouse
from sluice.warehouses.postgres import PostgresWarehouse
from sluice.warehouses.postgres.connection import PostgresConnection
from sluice.warehouses.row_errors import SAMPLE
from sluice.warehouses.sqlite import Connection

from tests.warehouses.backends import Backend
from tests.warehouses.order_segments import (
    ORDER,
    event_counts,
    load,
    number_of,
    numbers,
    order,
    prepared,
    read_back,
    segment,
    segment_load,
    segment_rows,
)


def execute(backend: Backend, *statements: str) -> None:
    """Run statements in the warehouse, as its owner would."""
    if backend.url.startswith("sqlite:"):
        with closing(sqlite3.connect(backend.url.removeprefix("sqlite:///"))) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return
    warehouse = open_warehouse(backend.url)
    assert isinstance(warehouse, PostgresWarehouse)
    with closing(warehouse._connect()) as opened:
        for statement in statements:
            opened.execute(statement)


def raising(when: str, what: str) -> tuple[str, ...]:
    """Return the statements of a PostgreSQL trigger."""
    return (
        f"CREATE FUNCTION raising() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {when} THEN {what} END IF;"
        " RETURN new; END $$",
        "CREATE TRIGGER raising BEFORE INSERT ON order_events FOR EACH ROW EXECUTE FUNCTION raising()",
    )


def deferred(when: str, what: str) -> tuple[str, ...]:
    """Return the statements of a PostgreSQL trigger that runs at the commit, unless it is told otherwise."""
    function, _ = raising(when, what)
    return (
        function,
        "CREATE CONSTRAINT TRIGGER raising AFTER INSERT ON order_events DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION raising()",
    )


def sqlite_raising(when: str, what: str) -> tuple[str, ...]:
    return (
        f"CREATE TRIGGER raising BEFORE INSERT ON order_events WHEN {when} BEGIN SELECT raise({what}); END",
    )


@dataclass(frozen=True)
class Rejection:
    """How a table is made to reject rows whose `number` is 13 or above; `always` makes it reject all."""

    make: Callable[[str], tuple[str, ...]]
    words: str


_BAD = "new.number >= 13"
_CUSTOM = "RAISE EXCEPTION 'no % today', new.number USING ERRCODE = 'ZZ001';"
_NO_FUNCTION = "PERFORM no_such_function(new.number);"
POSTGRES = {
    "P0001": Rejection(lambda when: raising(when, "RAISE EXCEPTION 'not today';"), "not today"),
    "ZZ001": Rejection(lambda when: raising(when, _CUSTOM), "no 13 today"),
    "42883": Rejection(
        lambda when: raising(when, _NO_FUNCTION), "function no_such_function(bigint) does not exist"
    ),
    "22012": Rejection(lambda when: raising(when, "PERFORM 1 / 0;"), "division by zero"),
    "deferred": Rejection(lambda when: deferred(when, "RAISE EXCEPTION 'not today';"), "not today"),
    "23514": Rejection(
        lambda when: (
            f"ALTER TABLE order_events ADD CONSTRAINT few CHECK (NOT ({when.replace('new.', '')}))",
        ),
        'new row for relation "order_events" violates check constraint "few"',
    ),
}


def sqlite_rejection(kind: str) -> Rejection:
    return Rejection(lambda when: sqlite_raising(when, f"{kind}, 'not today'"), "not today")


SQLITE = {kind: sqlite_rejection(kind) for kind in ("ABORT", "FAIL", "ROLLBACK")} | {
    "malformed": Rejection(
        lambda when: (
            f"CREATE TRIGGER raising BEFORE INSERT ON order_events WHEN {when} BEGIN SELECT json('{{'); END",
        ),
        "malformed JSON",
    )
}


def drop_rule(backend: Backend, rejection: Rejection) -> None:
    if rejection.words.startswith("new row"):
        execute(backend, "ALTER TABLE order_events DROP CONSTRAINT few")
    else:
        execute(backend, "DROP TRIGGER raising" + " ON order_events" * backend.url.startswith("post"))


class Rejections:
    def test_rows_are_found_whatever_the_code_says(self, backend: Backend, rejection: Rejection) -> None:
        warehouse = prepared(backend.url)
        execute(backend, *rejection.make(_BAD))
        lines = [order(n, number=13 if n in (3, 17) else 1) for n in range(20)]
        assert load(warehouse, ORDER, segment(1, *lines)) == [(3, rejection.words), (17, rejection.words)]
        assert [row["at"].second for row in read_back(backend)] == [*range(3), *range(4, 17), 18, 19]
        assert segment_rows(backend)[0][4:6] == (18, 2)
        assert sum(events for *_, events in event_counts(backend)) == 18

    def test_rows_of_a_table_that_takes_others_are_rejected_though_all_are_alike(
        self, backend: Backend, rejection: Rejection
    ) -> None:
        warehouse = prepared(backend.url)
        load(warehouse, ORDER, segment(1, order(number=1)))
        execute(backend, *rejection.make(_BAD))
        row_errors = load(warehouse, ORDER, segment(2, *(order(n, number=13) for n in range(5))))
        assert row_errors == [(n, rejection.words) for n in range(5)]
        assert (number_of(backend, "order_events"), len(segment_rows(backend))) == (1, 2)

    def test_rows_come_in_once_the_rule_is_gone(self, backend: Backend, rejection: Rejection) -> None:
        warehouse = prepared(backend.url)
        execute(backend, *rejection.make(_BAD))
        orders = segment_load(1, *(order(n, number=13 if n in (3, 17) else 1) for n in range(20)))
        rejected = [(3, rejection.words), (17, rejection.words)]
        assert (warehouse.load(orders), warehouse.load_rejected(orders)) == (rejected, rejected)
        drop_rule(backend, rejection)
        assert (warehouse.load_rejected(orders), warehouse.load_rejected(orders)) == ([], [])
        assert [row["at"].second for row in read_back(backend)] == [*range(20)]
        assert segment_rows(backend)[0][4:6] == (20, 0)
        assert sum(events for *_, events in event_counts(backend)) == 20

    @pytest.mark.parametrize("stored", [0, 1])
    def test_no_row_of_a_table_that_takes_none_is_rejected(
        self, backend: Backend, rejection: Rejection, stored: int
    ) -> None:
        warehouse = prepared(backend.url)
        if stored:
            load(warehouse, ORDER, segment(1, order(number=13)))
        if rejection.words.startswith("new row"):  # a constraint is checked for the rows that are there
            execute(backend, f"{rejection.make('true')[0]} NOT VALID")
        else:
            execute(backend, *rejection.make("1 = 1"))
        order_segment = segment(2, *(order(n % 60, number=13) for n in range(200)))
        with pytest.raises(TableError) as error:
            load(warehouse, ORDER, order_segment)
        assert str(error.value).startswith(
            f"order_events: expected a table that takes rows, got: {rejection.words}; "
        )
        assert (number_of(backend, "order_events"), len(segment_rows(backend))) == (stored, stored)
        assert warehouse.row_errors(order_segment.id, order_segment.minute) is None
        drop_rule(backend, rejection)
        assert load(warehouse, ORDER, order_segment) == []
        assert number_of(backend, "order_events") == stored + 200


@pytest.mark.parametrize("make_backend", ["postgres"], indirect=True)
@pytest.mark.parametrize("rejection", POSTGRES.values(), ids=POSTGRES)
class TestPostgres(Rejections):
    pass


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("rejection", SQLITE.values(), ids=SQLITE)
class TestSQLite(Rejections):
    pass


@pytest.mark.parametrize("make_backend", ["postgres"], indirect=True)
def test_row_that_is_too_big_for_an_index_is_rejected(backend: Backend) -> None:
    """SQLSTATE 54000: a limit of the program, which the row exceeds."""
    warehouse = prepared(backend.url)
    execute(backend, "CREATE INDEX ON order_events (text)")
    noise = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(20_000))
    row_errors = load(warehouse, ORDER, segment(1, order(text="a"), order(text=noise), order(text="b")))
    assert numbers(row_errors) == [1]
    assert row_errors[0][1].startswith("index row ")
    assert number_of(backend, "order_events") == 2


@pytest.mark.parametrize("make_backend", ["postgres"], indirect=True)
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize(
    "statement", ["DROP TABLE order_events", "ALTER TABLE order_events DROP COLUMN text"]
)
def test_table_that_changed_is_not_blamed_on_rows(backend: Backend, statement: str, rows: int) -> None:
    warehouse = prepared(backend.url)
    execute(backend, statement)
    order_segment = segment(1, *(order(n) for n in range(rows)))
    with pytest.raises(WarehouseError) as error:
        load(warehouse, ORDER, order_segment)
    assert type(error.value) is WarehouseError
    assert segment_rows(backend) == []


def _insertions(monkeypatch: pytest.MonkeyPatch, connection: type[Any]) -> list[int]:
    """Return the sizes of the insertions from now on."""
    insert, sizes = connection.insert, list[int]()

    def counted(self: Any, contract: Any, rows: Any) -> None:
        sizes.append(rows.num_rows)
        insert(self, contract, rows)

    monkeypatch.setattr(connection, "insert", counted)
    return sizes


def attempts_are_few(
    backend: Backend, connection: type[Any], rejection: Rejection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check how often rows are inserted: with one faulty row, and with none that the table takes."""
    warehouse = prepared(backend.url)
    load(warehouse, ORDER, segment(1, order(number=1)))
    execute(backend, *rejection.make(_BAD))
    sizes = _insertions(monkeypatch, connection)
    lines = [order(n % 60, number=13 if n == 700 else 1) for n in range(1024)]
    assert numbers(load(warehouse, ORDER, segment(2, *lines))) == [700]
    assert len(sizes) <= 2 * 10 + 3
    sizes.clear()
    execute(backend, "DROP TRIGGER raising" + " ON order_events" * backend.url.startswith("post"))
    if connection is PostgresConnection:
        execute(backend, "DROP FUNCTION raising")
    execute(backend, *rejection.make("1 = 1"))
    with pytest.raises(TableError):
        load(warehouse, ORDER, segment(3, *lines))
    assert len(sizes) <= 10 + 2 + SAMPLE


@pytest.mark.parametrize("make_backend", ["postgres"], indirect=True)
def test_attempts_on_postgres_grow_with_the_logarithm_of_the_rows(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts_are_few(backend, PostgresConnection, POSTGRES["P0001"], monkeypatch)


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", ["ABORT", "ROLLBACK"])
def test_attempts_on_sqlite_grow_with_the_logarithm_of_the_rows(
    backend: Backend, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts_are_few(backend, Connection, SQLITE[kind], monkeypatch)
