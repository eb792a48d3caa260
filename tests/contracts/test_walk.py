"""Walks over properties: every property once, with the path to it."""

from __future__ import annotations

from sluice.contracts import Property, innermost_items, path_text, walk

STREET = Property("street", "string")
SKU = Property("sku", "string")
LINE = Property("line", "object", properties=(SKU,))
GRID = Property("grid", "array", items=Property("row", "array", items=Property("cell", "integer")))
PROPERTIES = (
    Property("address", "object", properties=(STREET,), flatten=True),
    Property("lines", "array", items=LINE),
    GRID,
)


def test_walk_yields_every_property_before_those_inside_it() -> None:
    assert [path for path, _ in walk(PROPERTIES)] == [
        ("address",),
        ("address", "street"),
        ("lines",),
        ("lines", "[]"),
        ("lines", "[]", "sku"),
        ("grid",),
        ("grid", "[]"),
        ("grid", "[]", "[]"),
    ]
    assert dict(walk(PROPERTIES))["lines", "[]", "sku"] is SKU


def test_path_text_shows_items_as_brackets() -> None:
    assert [path_text(path) for path, _ in walk(PROPERTIES[1:])] == [
        "lines",
        "lines[]",
        "lines[].sku",
        "grid",
        "grid[]",
        "grid[][]",
    ]


def test_path_text_quotes_names_that_begin_with_brackets() -> None:
    assert path_text(("a", "[]b")) == 'a."[]b"'


def test_innermost_items_of_an_array_of_arrays_are_its_cells() -> None:
    path, items = innermost_items(GRID)
    assert (path, items.name) == (("[]", "[]"), "cell")
    assert innermost_items(SKU) == ((), SKU)
