"""One suite for every warehouse: the numbers of columns and of objects in objects that it can hold.

Nothing is connected to, so no server runs.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sluice.contracts import Contract, Property
from sluice.errors import ContractError
from sluice.warehouses import parse_warehouse

WAREHOUSES = {
    "BigQuery": "bigquery://project/events",
    "DuckDB": "duckdb:///out/w.duckdb",
    "PostgreSQL": "postgresql://user@localhost/db",
    "Snowflake": "snowflake://user@account/DB/RAW?warehouse=W",
    "SQLite": "sqlite:///out/w.db",
}
MOST_COLUMNS = {"BigQuery": 10_000, "PostgreSQL": 1600, "SQLite": 2000}
OWN_COLUMNS = 4
"""`_event_id`, `_segment_id`, `_ingested_at` and `_extra`."""

AT = Property("at", "timestamp", required=True)


def contract_of(*properties: Property) -> Contract:
    return Contract(
        "order", "orders", "shop", "1.0.0", "shop", "", (AT, *properties), "at", path="o.odcs.yaml"
    )


def integers(number: int) -> tuple[Property, ...]:
    return tuple(Property(f"c{index}", "integer") for index in range(number))


def object_of(name: str, *members: Property) -> Property:
    return Property(name, "object", properties=members)


def list_of(name: str, *members: Property) -> Property:
    item = Property("item", "object", required=True, properties=members)
    return Property(name, "array", items=item)


def problem_of(warehouse: str, contract: Contract) -> str | None:
    try:
        parse_warehouse(WAREHOUSES[warehouse]).open().check_contracts([contract])
    except ContractError as error:
        return str(error)
    return None


def too_many(warehouse: str, number: int) -> str:
    members = " and members of objects" if warehouse == "BigQuery" else ""
    return (
        f"o.odcs.yaml: table orders: expected at most {MOST_COLUMNS[warehouse]:,} columns{members}, as {warehouse} has "
        f"them, got {number:,}, {OWN_COLUMNS} of them Sluice's own; put some into a property of free-form JSON, or "
        "into another event type"
    )


@pytest.mark.parametrize("warehouse", WAREHOUSES)
@pytest.mark.parametrize("most", MOST_COLUMNS.values())
@pytest.mark.parametrize("more", [0, 1])
def test_number_of_columns_is_compared_with_the_most(warehouse: str, most: int, more: int) -> None:
    contract = contract_of(*integers(most + more - OWN_COLUMNS - 1))
    fits = most + more <= MOST_COLUMNS.get(warehouse, most + more)
    assert problem_of(warehouse, contract) == (None if fits else too_many(warehouse, most + more))


@pytest.mark.parametrize("warehouse", WAREHOUSES)
@pytest.mark.parametrize("make", [object_of, list_of])
def test_members_count_where_the_warehouse_has_nested_columns(
    warehouse: str, make: Callable[..., Property]
) -> None:
    members = 10_000 - OWN_COLUMNS - 2
    assert problem_of(warehouse, contract_of(make("o", *integers(members)))) is None
    problem = problem_of(warehouse, contract_of(make("o", *integers(members + 1))))
    assert problem == (too_many(warehouse, 10_001) if warehouse == "BigQuery" else None)


@pytest.mark.parametrize("warehouse", WAREHOUSES)
def test_members_of_a_flattened_object_are_columns_everywhere(warehouse: str) -> None:
    flat = Property("o", "object", properties=integers(10_000), flatten=True)
    problem = problem_of(warehouse, contract_of(flat))
    assert problem == (too_many(warehouse, 10_005) if warehouse in MOST_COLUMNS else None)


@pytest.mark.parametrize("warehouse", WAREHOUSES)
@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("levels", [15, 16, 17])
def test_objects_in_objects_are_compared_with_the_most(warehouse: str, array: bool, levels: int) -> None:
    prop = Property("leaf", "integer")
    for level in range(levels, 0, -1):
        prop = list_of(f"o{level}", prop) if array else object_of(f"o{level}", prop)
    path = ".".join(f"o{level}{'[]' * array}" for level in range(1, 17))
    fits = warehouse != "BigQuery" or levels <= 15
    assert problem_of(warehouse, contract_of(prop)) == (
        None
        if fits
        else f"o.odcs.yaml: property {path}: expected at most 15 objects in objects, as BigQuery has them, got 16; "
        "make it free-form JSON: leave out its properties"
    )
