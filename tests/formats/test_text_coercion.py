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
