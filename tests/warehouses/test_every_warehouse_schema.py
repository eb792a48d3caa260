"""One suite for every warehouse: what becomes of tables when contracts change."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sluice.contracts import Property
from sluice.errors import ConfigError
from sluice.tooling.tables import Changes, apply_contracts, compare_tables, create_tables, fit_to_table
from sluice.warehouses import open_warehouse

from tests.warehouses.backends import Backend
from tests.warehouses.order_segments import (
    DEAD_LETTER,
    EMPTY_ORDER,
    ORDER,
    as_stored,
    load,
    order,
    prepared,
    read_back,
    segment,
    segment_load,
    segment_rows,
)

NEW = (
    Property("colour", "string", description="It's new."),
    Property("discount", "decimal"),
    Property("gifts", "array", items=Property("item", "string", required=True)),
)
NEWER = replace(ORDER, version="1.1.0", properties=(*NEW, *ORDER.properties))
NEW_LINE: dict[str, Any] = {"colour": "ž", "discount": b"1.10", "gifts": ["a"]}
NEW_ROW: dict[str, Any] = {"colour": "ž", "discount": Decimal("1.1"), "gifts": ["a"]}


def test_new_optional_property_is_in_extra_until_its_column_is_added(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    assert compare_tables(warehouse, [ORDER, DEAD_LETTER]).remaining == []
    load(warehouse, ORDER, segment(1, order(**NEW_LINE)))
    warehouse = open_warehouse(backend.url)
    warehouse.prepare([NEWER, DEAD_LETTER])
    (as_it_is,) = fit_to_table(warehouse, [NEWER])
    assert as_it_is.properties == ORDER.properties
    load(warehouse, as_it_is, segment(2, order(**NEW_LINE), order()))
    differences = warehouse.differences([NEWER])[0]
    assert differences is not None
    assert [(column.path, column.effect) for column in differences] == [
        ((column.name,), "addable") for column in NEW
    ]
    changes = apply_contracts(warehouse, [NEWER, DEAD_LETTER])
    assert (changes.remaining, changes.applied) == ([], [f"order_events.{prop.name}: added" for prop in NEW])
    assert apply_contracts(warehouse, [NEWER, DEAD_LETTER]) == Changes([], [])
    load(warehouse, as_it_is, segment(3, order(**NEW_LINE)))  # a run that began before
    assert fit_to_table(warehouse, [NEWER]) == [NEWER]
    load(warehouse, NEWER, segment(4, order(**NEW_LINE)))
    without = as_stored(
        backend,
        {**EMPTY_ORDER, **dict.fromkeys(NEW_LINE)} | ({"gifts": []} if "bigquery" in backend.url else {}),
    )
    in_extra = {**without, "_extra": NEW_ROW}
    rows = [in_extra, in_extra, without, in_extra, {**without, **NEW_ROW}]
    assert read_back(backend, NEWER) == rows
    prepared(backend.url).prepare([NEWER, DEAD_LETTER])
    assert read_back(backend, NEWER) == rows
    segments = segment_rows(backend)
    loads = [
        segment_load(number, *lines, contract=NEWER)
        for number, lines in enumerate(
            ([order(**NEW_LINE)], [order(**NEW_LINE), order()], [order(**NEW_LINE)]), 1
        )
    ]
    assert [warehouse.fill_column(loads, prop.name) for prop in (*NEW, NEW[0])] == [3, 0, 0, 0]
    new = {**without, **NEW_ROW}
    assert read_back(backend, NEWER) == [new, new, without, new, new]
    assert segment_rows(backend) == segments


def test_new_member_of_an_object_is_not_lost(backend: Backend) -> None:
    """It is a column's part in some warehouses, and so may be lacking; others keep objects whole."""
    warehouse = prepared(backend.url)
    newer = replace(ORDER, properties=tuple(_with_member(prop) for prop in ORDER.properties))
    line = order(deep=b'{"new":1.10}', items=b'[{"new":"x","price":2}]')
    load(warehouse, ORDER, segment(1, line))
    for number in (2, 3):
        warehouse.prepare([newer, DEAD_LETTER])
        load(warehouse, fit_to_table(warehouse, [newer])[0], segment(number, line))
        left = apply_contracts(warehouse, [newer]).remaining
    extra = {"deep": {"new": Decimal("1.10")}, "items": {"0": {"new": "x"}}}
    if backend.url.startswith("bigquery:"):  # the emulator answers that it has done so, and adds none
        assert left == [
            f"order_events.{name}: expected {name} {kind}, got no such column:"
            " the warehouse was asked to add it, and has not"
            for name, kind in (("items[].new", "STRING"), ("deep.new", "NUMERIC"))
        ]
        assert [row["_extra"] for row in read_back(backend)] == [extra] * 3
        return
    assert (left, warehouse.differences([newer])[0]) == ([], [])
    last = read_back(backend, newer)[-1]
    assert (last["deep"]["new"], last["items"][0]["new"], last["_extra"]) == (Decimal("1.1"), "x", None)
    assert read_back(backend, newer)[0]["_extra"] == extra


def _with_member(prop: Property) -> Property:
    if prop.name == "deep":
        return replace(prop, properties=(*prop.properties, Property("new", "decimal")))
    if prop.name == "items" and prop.items is not None:
        inner = replace(prop.items, properties=(*prop.items.properties, Property("new", "string")))
        return replace(prop, items=inner)
    return prop


def test_change_that_is_no_addition_is_rejected_and_changes_no_table(backend: Backend) -> None:
    warehouse = open_warehouse(backend.url)
    assert compare_tables(warehouse, [ORDER]).remaining == ["order_events: no such table"]
    assert create_tables(warehouse, [ORDER, DEAD_LETTER]) == Changes(
        ["order_events: created", "dead_letters: created"], []
    )
    assert create_tables(warehouse, [ORDER, DEAD_LETTER]) == Changes([], [])
    other = tuple(prop for prop in ORDER.properties if prop.name not in ("number", "paid"))
    changed = replace(
        ORDER, properties=(*NEW[:1], Property("number", "string"), *other), path="order.odcs.yaml"
    )
    differences = warehouse.differences([changed])[0]
    assert differences is not None
    assert [(difference.path, difference.effect) for difference in differences] == [
        (("colour",), "addable"),
        (("number",), "incompatible"),
        (differences[2].path, "tolerated"),
    ]
    assert [name.lower() for name in differences[2].path] == ["paid"]
    before = [str(difference) for difference in differences]
    with pytest.raises(ConfigError) as raised:
        fit_to_table(warehouse, [changed])
    assert str(raised.value) == (
        f"order.odcs.yaml: table {before[1]}; alter the table, or load into another one"
    )
    assert apply_contracts(warehouse, [changed]) == Changes(
        [],
        [
            f"{before[0]}: not added, as no run can load into this table",
            f"{before[1]}: left, as only columns that may be null are added; no run can load",
            f"{before[2]}: left, as only columns that may be null are added; a run works",
        ],
    )
    assert compare_tables(warehouse, [changed]).remaining == before
    warehouse.prepare([changed])
    assert compare_tables(warehouse, [changed]).remaining == before
    required = replace(ORDER, properties=(Property("colour", "string", required=True), *ORDER.properties))
    effect = "addable" if backend.url.startswith("duckdb:") else "incompatible"  # a view requires nothing
    assert [difference.effect for difference in warehouse.differences([required])[0] or []] == [effect]
