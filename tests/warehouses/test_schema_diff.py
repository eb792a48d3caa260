from __future__ import annotations

from dataclasses import replace

import pytest
from sluice.contracts import Contract, Path, Property
from sluice.warehouses.schema_diff import (
    Column,
    Difference,
    TableSchema,
    compare,
    missing_columns,
    without_columns,
)

ID = Column(("id",), "BIGINT", required=True)
ITEMS = (
    Column(("items",), "STRUCT[]"),
    Column(("items", "[]", "a"), "TEXT"),
    Column(("items", "[]", "a", "b"), "TEXT"),
)


@pytest.mark.parametrize(
    ("expected", "actual", "differences"),
    [
        ([ID], [ID], []),
        ([ID, *ITEMS], [*reversed(ITEMS), ID], []),
        ([ID], [Column(("ID",), "BIGINT", required=True)], []),
        ([*ITEMS], [], [(("items",), "expected items STRUCT[], got no such column", "addable")]),
        (
            [*ITEMS],
            [*ITEMS[:1]],
            [(("items", "[]", "a"), "expected items[].a TEXT, got no such column", "addable")],
        ),
        ([ID], [], [(("id",), "expected id BIGINT NOT NULL, got no such column", "incompatible")]),
        ([], [ID], [(("id",), "expected no such column, got id BIGINT NOT NULL", "incompatible")]),
        ([], [*ITEMS], [(("items",), "expected no such column, got items STRUCT[]", "tolerated")]),
        (
            [ID],
            [Column(("id",), "TEXT", required=True)],
            [(("id",), "expected id BIGINT NOT NULL, got id TEXT NOT NULL", "incompatible")],
        ),
        (
            [ID],
            [Column(("id",), "BIGINT")],
            [(("id",), "expected id BIGINT NOT NULL, got id BIGINT", "tolerated")],
        ),
        (
            [Column(("id",), "BIGINT")],
            [ID],
            [(("id",), "expected id BIGINT, got id BIGINT NOT NULL", "incompatible")],
        ),
    ],
)
def test_difference_of_a_column_has_its_effect(
    expected: list[Column], actual: list[Column], differences: list[tuple[Path, str, str]]
) -> None:
    compared = compare("t", TableSchema(expected), TableSchema(actual))
    assert [
        (difference.path, difference.message, difference.effect) for difference in compared
    ] == differences


def test_names_are_equal_if_the_warehouse_cannot_tell_them_apart() -> None:
    upper = TableSchema([Column(("ID",), "BIGINT", required=True)])
    assert missing_columns(compare("t", TableSchema([replace(ID, required=False)]), upper, str)) == [("id",)]


def test_layout_is_compared_if_the_contract_has_one() -> None:
    expected = TableSchema([ID], {"partition": "DAY of at", "cluster": "id"})
    actual = TableSchema([ID], {"partition": "DAY of at", "expiry": "1d"})
    (only,) = compare("t", expected, actual)
    assert only == Difference("t", (), "cluster: expected id, got none", "tolerated")
    assert str(only) == "t: cluster: expected id, got none"


def test_columns_are_left_out_of_a_contract_at_any_depth() -> None:
    leaf = Property("leaf", "object", properties=(Property("a", "string"), Property("b", "string")))
    contract = Contract(
        event_type="t",
        table="t",
        id="t",
        version="1.0.0",
        domain="d",
        description="",
        properties=(
            Property("id", "integer", required=True),
            Property("rows", "array", items=Property("item", "object", properties=(leaf,))),
            Property(
                "flat", "object", flatten=True, properties=(Property("x", "string"), Property("y", "string"))
            ),
        ),
        event_time=None,
        cluster_by=("x", "y"),
    )
    assert without_columns(contract, []) is contract
    less = without_columns(contract, [("rows", "[]", "leaf", "b"), ("x",)])
    assert [column.name for column in less.columns] == ["id", "rows", "y"]
    items = less.properties[1].items
    assert items is not None
    assert items.properties == (replace(leaf, properties=leaf.properties[:1]),)
    assert less.cluster_by == ("y",)
    nothing_left = without_columns(
        contract, [("rows", "[]", "leaf", "a"), ("rows", "[]", "leaf", "b"), ("x",), ("y",)]
    )
    assert [column.name for column in nothing_left.columns] == ["id"]
