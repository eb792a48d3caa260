"""One suite for every warehouse: names that are hard to quote, and names that it cannot hold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from sluice.contracts import Contract, Property
from sluice.errors import ContractError
from sluice.tooling.tables import Changes, apply_contracts, fit_to_table
from sluice.warehouses import open_warehouse, sqlite_tables
from sluice.warehouses.bigquery import tables as bigquery
from sluice.warehouses.dialect import Dialect
from sluice.warehouses.duckdb import views as duckdb
from sluice.warehouses.postgres import tables as postgres
from sluice.warehouses.snowflake import tables as snowflake

from tests.names import ALLOWED_NAMES
from tests.warehouses.backends import Backend
from tests.warehouses.order_segments import load, plain, segment

DIALECTS: Mapping[str, Dialect] = {
    "bigquery": bigquery.DIALECT,
    "duckdb": duckdb.DIALECT,
    "postgresql": postgres.DIALECT,
    "snowflake": snowflake.DIALECT,
    "sqlite": sqlite_tables.DIALECT,
}
AT = Property("at", "timestamp", required=True)
EMULATOR_FAILS = {"it's"}
"""Names in quotes that Snowflake takes; its emulator copies no column of that name."""


def dialect_of(backend: Backend) -> Dialect:
    return DIALECTS[backend.url.partition(":")[0]]


def named(*names: str) -> Contract:
    """Return a contract with a text, a member of an object and a member of items of each name."""
    return Contract(
        event_type="odd",
        table="odd_events",
        id="odd",
        version="1.0.0",
        domain="odd",
        description="Was it paid? 100% of 'them' \\ $1 {x} :name; -- `done`\n/* \"no\" */",
        properties=(
            AT,
            *(Property(name, "string", description=f"What's {name}? %s $1 \\") for name in names),
            Property("o", "object", properties=tuple(Property(name, "integer") for name in names)),
            Property(
                "l",
                "array",
                items=Property(
                    "item",
                    "object",
                    required=True,
                    properties=tuple(Property(name, "integer") for name in names),
                ),
            ),
        ),
        event_time="at",
        path="odd.odcs.yaml",
    )


def line(names: tuple[str, ...]) -> bytes:
    members = {name: number for number, name in enumerate(names)}
    texts = {name: f"{name}?" for name in names}
    return json.dumps({"at": "2025-02-08T13:09:00Z", **texts, "o": members, "l": [members]}).encode()


def stored(backend: Backend, contract: Contract) -> list[dict[str, Any]]:
    """Return the rows; a name with a quote in SQL of our own, so that the code under test is not its own judge."""
    is_bigquery = backend.url.startswith("bigquery:")
    quote = "`{}`" if is_bigquery else '"{}"'
    columns = ", ".join(quote.format(prop.name) for prop in contract.properties)
    table = "(SELECT * FROM odd_events WHERE at >= @first)" if is_bigquery else "odd_events"
    rows = backend.query(f"SELECT {columns} FROM {table} ORDER BY _event_id")
    return [
        {prop.name: plain(prop, value) for prop, value in zip(contract.properties, row, strict=True)}
        for row in rows
    ]


def allowed(backend: Backend) -> tuple[str, ...]:
    dialect = dialect_of(backend)
    skipped = EMULATOR_FAILS if dialect.name == "Snowflake" else set()
    return tuple(name for name in ALLOWED_NAMES if dialect.column_names.allows(name) and name not in skipped)


def test_names_that_are_hard_to_quote_are_stored_and_read_back(backend: Backend) -> None:
    names = allowed(backend)
    contract = named(*names)
    for number in (1, 2):
        warehouse = open_warehouse(backend.url)
        warehouse.prepare([contract])
        assert warehouse.differences([contract])[0] == []
        assert load(warehouse, contract, segment(number, line(names), event_type="odd")) == []
    row = {
        "at": plain(AT, "2025-02-08T13:09:00+00:00"),
        **{name: f"{name}?" for name in names},
        "o": {name: number for number, name in enumerate(names)},
        "l": [{name: number for number, name in enumerate(names)}],
    }
    assert stored(backend, contract) == [row, row]


@pytest.mark.parametrize("table", ["what? 50%s", "? ?? $1 :x {y} %", "a\"?\"'?';--b"])
def test_table_with_a_name_that_is_hard_to_quote_is_loaded_and_counted(backend: Backend, table: str) -> None:
    dialect = dialect_of(backend)
    if not dialect.table_names.allows(table):
        assert dialect.name in ("DuckDB", "BigQuery")
        return
    if dialect.name == "Snowflake" and "'" in table:  # its emulator takes no such names
        return
    contract = replace(named("x"), table=table)
    warehouse = open_warehouse(backend.url)
    warehouse.prepare([contract])
    assert warehouse.differences([contract])[0] == []
    lines = (line(("x",)), line(("x",)))
    assert load(warehouse, contract, segment(1, *lines, event_type="odd")) == []
    assert list(warehouse.row_counts(contract)) == [[(f"{1:032x}", 2)]]


def test_columns_with_names_that_are_hard_to_quote_are_added(backend: Backend) -> None:
    names = allowed(backend)
    old = replace(named(), properties=(AT, Property("o_", "string")))
    new = replace(
        old, properties=(*old.properties, *(Property(name, "string", description="?") for name in names))
    )
    warehouse = open_warehouse(backend.url)
    warehouse.prepare([old])
    assert fit_to_table(warehouse, [new])[0].properties == old.properties
    changes = apply_contracts(warehouse, [new])
    assert (len(changes.applied), changes.remaining) == (len(names), [])
    assert apply_contracts(warehouse, [new]) == Changes([], [])
    text = json.dumps({"at": "2025-02-08T13:09:00Z", **{name: name for name in names}}).encode()
    assert load(warehouse, new, segment(1, text, event_type="odd")) == []
    assert stored(backend, new) == [
        {"at": plain(AT, "2025-02-08T13:09:00+00:00"), "o_": None, **{name: name for name in names}}
    ]


def test_name_with_a_dot_is_no_member_of_an_object(backend: Backend) -> None:
    """The same text names two columns where paths are joined by dots."""
    inner = Property("a", "object", properties=(Property("b", "integer"),))
    contract = replace(named(), properties=(AT, inner, Property("a.b", "string")))
    text = b'{"at":"2025-02-08T13:09:00Z","a":{"b":1},"a.b":"dotted"}'
    if dialect_of(backend).name == "BigQuery":
        with pytest.raises(ContractError, match=r"property a\.b: expected a column name for BigQuery"):
            open_warehouse(backend.url).prepare([contract])
        return
    for number in (1, 2):
        warehouse = open_warehouse(backend.url)
        warehouse.prepare([contract])
        (fitted,) = fit_to_table(warehouse, [contract])
        assert load(warehouse, fitted, segment(number, text, event_type="odd")) == []
    row = {"at": plain(AT, "2025-02-08T13:09:00+00:00"), "a": {"b": 1}, "a.b": "dotted"}
    assert stored(backend, contract) == [row, row]


def test_property_that_changes_its_case_keeps_its_column_or_gets_another(backend: Backend) -> None:
    """PostgreSQL tells the two apart, as it gets all names in quotes."""
    for number, name in enumerate(("Paid", "paid")):
        members = (Property(name, "integer"),)
        contract = replace(
            named(), properties=(AT, Property(name, "string"), Property("o", "object", properties=members))
        )
        warehouse = open_warehouse(backend.url)
        warehouse.prepare([contract])
        apply_contracts(warehouse, [contract])
        text = json.dumps({"at": "2025-02-08T13:09:00Z", name: name, "o": {name: number}}).encode()
        assert load(warehouse, contract, segment(number, text, event_type="odd")) == []
    assert [row["paid"] for row in stored(backend, contract)] == (
        [None, "paid"] if dialect_of(backend).name == "PostgreSQL" else ["Paid", "paid"]
    )


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        (dialect, name)
        for dialect in DIALECTS.values()
        for name in (*ALLOWED_NAMES, "_PARTITIONTIME")
        if not dialect.column_names.allows(name)
    ],
    ids=lambda value: value.name if isinstance(value, Dialect) else ascii(value)[:30],
)
def test_name_that_a_warehouse_cannot_hold_is_refused_with_property_rule_and_warehouse(
    dialect: Dialect, name: str
) -> None:
    contract = named(name)
    with pytest.raises(ContractError) as raised:
        dialect.check_contract(contract, contract.columns)
    assert str(raised.value) == (
        f"odd.odcs.yaml: property {name}: expected a column name for {dialect.name}"
        f" ({dialect.column_names.text}), got {name!r}; rename it"
    )


def test_each_warehouse_refuses_only_what_it_cannot_hold() -> None:
    refused = {
        dialect.name: [name for name in ALLOWED_NAMES if not dialect.column_names.allows(name)]
        for dialect in DIALECTS.values()
    }
    too_long = [name for name in ALLOWED_NAMES if len(name.encode()) > 63]
    assert refused.pop("BigQuery") == [
        name for name in ALLOWED_NAMES if len(name) > 300 or not name.isascii() or not name.isidentifier()
    ]
    assert refused == {
        "DuckDB": [],
        "PostgreSQL": ["ctid", *too_long],
        "Snowflake": ["w" * 300, "v" * 1000],
        "SQLite": [],
    }


@pytest.mark.parametrize(
    ("dialect", "table"),
    [
        (postgres.DIALECT, "pg_class"),
        (postgres.DIALECT, "PG_events"),
        (postgres.DIALECT, "orders_pkey"),
        (postgres.DIALECT, "t" * 64),
        (sqlite_tables.DIALECT, "SQLite_events"),
        *((bigquery.DIALECT, name) for name in ("a`b", "a.b", "a?", "a\\b", "a'b", "t" * 1025)),
        *((dialect, "Event_Counts") for dialect in (bigquery.DIALECT, duckdb.DIALECT, snowflake.DIALECT)),
    ],
    ids=lambda value: value.name if isinstance(value, Dialect) else value,
)
def test_table_that_a_warehouse_cannot_hold_is_refused(dialect: Dialect, table: str) -> None:
    contract = replace(named("x"), table=table)
    with pytest.raises(
        ContractError, match=rf"odd\.odcs\.yaml: table: expected .*, got {re.escape(repr(table))}; rename it"
    ):
        dialect.check_contract(contract, contract.columns)
