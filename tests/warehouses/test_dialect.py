from __future__ import annotations

from dataclasses import replace

import pytest
from sluice.contracts import LEAF_TYPES, VALUE_TYPES, Property
from sluice.errors import ContractError
from sluice.warehouses import sqlite_tables as sqlite
from sluice.warehouses.bigquery import tables as bigquery
from sluice.warehouses.dialect import Dialect, double_quoted, matching, single_quoted
from sluice.warehouses.duckdb import views as duckdb
from sluice.warehouses.postgres import tables as postgres
from sluice.warehouses.snowflake import tables as snowflake
from sluice.warehouses.system_tables import RESERVED_NAMES

from tests.warehouses.order_segments import DEAD_LETTER

DIALECTS = [module.DIALECT for module in (bigquery, duckdb, postgres, snowflake, sqlite)]
every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


@every_dialect
def test_dialect_has_a_column_type_for_every_value_type(dialect: Dialect) -> None:
    assert set(dialect.types) in (set(VALUE_TYPES), LEAF_TYPES)


@every_dialect
@pytest.mark.parametrize("table", RESERVED_NAMES)
def test_name_of_a_system_table_is_rejected(dialect: Dialect, table: str) -> None:
    contract = replace(DEAD_LETTER, table=table)
    with pytest.raises(ContractError):
        dialect.check_contract(contract, contract.columns)


@every_dialect
def test_table_and_columns_of_common_names_are_accepted(dialect: Dialect) -> None:
    dialect.check_contract(DEAD_LETTER, DEAD_LETTER.columns)
    assert dialect.table_names.allows(DEAD_LETTER.table)
    assert [
        column.name for column in DEAD_LETTER.columns if not dialect.column_names.allows(column.name)
    ] == []


PLAIN = Dialect(
    name="Plain",
    types=sqlite.DIALECT.types,
    quote_name=double_quoted,
    quote_text=single_quoted,
    table_names=matching("[a-z_]+", "lower case"),
    column_names=matching("[A-Za-z]+", "letters"),
)
NESTED = replace(PLAIN, types=duckdb.DIALECT.types)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("Events", "expected a table name for Plain (lower case), got 'Events'; rename it"),
        (
            "event_counts",
            "expected another name than Sluice's own event_counts, got 'event_counts'; rename it",
        ),
    ],
)
def test_table_name_that_is_not_allowed_is_rejected(table: str, message: str) -> None:
    with pytest.raises(ContractError) as error:
        PLAIN.check_contract(replace(DEAD_LETTER, table=table, path="letter.yaml"), DEAD_LETTER.columns)
    assert str(error.value) == f"letter.yaml: table: {message}"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("a1",), "a1: expected a column name for Plain (letters), got 'a1'; rename it"),
        (("id", "ID"), "ID: Plain cannot tell it from id; rename one"),
        (("id", "id"), "id: Plain cannot tell it from id; rename one"),
    ],
)
def test_column_name_that_is_not_allowed_is_rejected(columns: tuple[str, ...], message: str) -> None:
    properties = tuple(Property(name, "string") for name in columns)
    with pytest.raises(ContractError) as error:
        PLAIN.check_contract(DEAD_LETTER, properties)
    assert str(error.value) == f"dead_letter@1.0.0: property {message}"


def test_members_are_checked_where_the_warehouse_nests_columns() -> None:
    members = (Property("id", "string"), Property("ID", "string"))
    items = Property("item", "array", items=Property("item", "object", properties=members))
    column = Property("rows", "array", items=items)
    PLAIN.check_contract(DEAD_LETTER, [column])
    with pytest.raises(ContractError, match=r"property rows\.ID: Plain cannot tell it from id; rename one"):
        NESTED.check_contract(DEAD_LETTER, [column])


def test_column_has_its_name_type_and_constraint() -> None:
    assert PLAIN.column(Property('a"b', "integer", required=True)) == '"a""b" INTEGER NOT NULL'
    assert PLAIN.column(Property("a", "json")) == '"a" TEXT'


@pytest.mark.parametrize(
    ("dialect", "name", "text"),
    [
        (postgres.DIALECT, '"a""b"', r"'it''s a \ '"),
        (snowflake.DIALECT, '"A""B"', r"'it''s a \\ '"),
        (sqlite.DIALECT, '"a""b"', r"'it''s a \ '"),
        (duckdb.DIALECT, '"a""b"', r"'it''s a \ '"),
    ],
    ids=lambda value: value.name if isinstance(value, Dialect) else "",
)
def test_names_and_texts_are_quoted(dialect: Dialect, name: str, text: str) -> None:
    assert (dialect.quote_name('a"b'), dialect.quote_text(r"it's a \ ")) == (name, text)
