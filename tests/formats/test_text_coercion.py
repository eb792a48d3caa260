"""Texts of a column -> JSON, one by one and all at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.contracts import VALUE_TYPES, Contract, Property, ValueType
from sluice.formats.text_coercion import Column, Columns

COLUMNS = Columns(
    Contract(
        "row",
        "rows",
        "row",
        "1.0.0",
        "test",
        "",
        tuple(Property(value_type, value_type) for value_type in VALUE_TYPES),
        None,
    )
)
TEXTS = st.sampled_from(
    [
        "",
        " ",
        "12",
        "-0",
        "007",
        "1.50",
        "1.234,56",
        "x",
        'a"b',
        "a\\b",
        "a\nb",
        "1\n2",
        "é",
        "yes",
        " 2025-01-10",
        "2025-01-10",
    ]
    + [
        "2025-01-10T10:00:00Z",
        "2025-01-10 10:00:00.5+0100",
        "2025-01-10T10:00:00",
        "2025-01-10 10:00",
        '{"a": 1}',
    ]
) | st.text(max_size=3)


def written(column: Column) -> list[str]:
    return [f'"{text}"' if column.unquoted else text for text in column.texts]


@given(st.sampled_from(VALUE_TYPES), st.lists(TEXTS, min_size=1, max_size=9))
def test_whole_column_equals_its_texts_one_by_one(value_type: ValueType, texts: list[str]) -> None:
    encode = COLUMNS.encoder((value_type,))
    assert written(COLUMNS.column_encoder((value_type,))(texts)) == [encode(text) for text in texts]


@pytest.mark.parametrize(
    ("value_type", "text", "unquoted"),
    [
        ("string", "a, b", True),
        ("uuid", "0b5e6e0e-1c9d-4c8e-9f60-5b1d54a4a001", True),
        ("integer", "-12", False),
        ("float", "1.5", False),
        ("decimal", "19.90", False),
        ("timestamp", "2025-01-10 10:00:00.5+0100", True),
        ("date", "2025-01-10", True),
    ],
)
def test_canonical_texts_are_not_copied(value_type: ValueType, text: str, unquoted: bool) -> None:
    texts = [text, text]
    column = COLUMNS.column_encoder((value_type,))(texts)
    assert column.texts is texts
    assert column.unquoted is unquoted


@pytest.mark.parametrize(
    ("value_type", "text", "encoded"),
    [
        ("date", "31.1.2025", '"2025-01-31"'),
        ("date", " 01.02.2025 ", '"2025-02-01"'),
        ("date", "2025-01-31", '"2025-01-31"'),
        ("date", "31.01.25", '"31.01.25"'),
        ("date", "", "null"),
        ("timestamp", "31.01.2025 9:05", '"2025-01-31T09:05:00Z"'),
        ("timestamp", "31.01.2025T09:05:59", '"2025-01-31T09:05:59Z"'),
        ("timestamp", "31.01.2025", '"2025-01-31T00:00:00Z"'),
        ("timestamp", "2025-01-31T09:05:00Z", '"2025-01-31T09:05:00Z"'),
        ("timestamp", "01/31/2025", '"01/31/2025"'),
    ],
)
def test_the_day_comes_first_where_the_contract_says_so(
    value_type: ValueType, text: str, encoded: str
) -> None:
    prop = Property("at", value_type, day_first=True)
    columns = Columns(Contract("row", "rows", "row", "1.0.0", "test", "", (prop,), None))
    assert columns.encoder(("at",))(text) == encoded
    assert written(columns.column_encoder(("at",))([text, text])) == [encoded, encoded]
