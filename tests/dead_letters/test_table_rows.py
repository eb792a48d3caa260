from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.dead_letters.table_rows import table_line


def line(**fields: Any) -> bytes:
    return msgspec.json.encode({"letter_id": "0", **fields})


def test_ordinary_line_is_the_same_object() -> None:
    ordinary = line(payload='{"a":1}', attributes={"key": "ž"})
    assert table_line(ordinary, 1000) is ordinary


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        (
            {"attributes": {"a\0": "b\0c"}},
            {"attributes": {"a\\u0000": "b\\u0000c"}, "escaped": ["attributes"]},
        ),
        ({"source": {"uri": "\0"}}, {"source": {"uri": "\\u0000"}, "escaped": ["source"]}),
        (
            {"violations": [{"got": "\0", "path": "a.\0"}], "payload": "x"},
            {
                "violations": [{"got": "\\u0000", "path": "a.\\u0000"}],
                "payload": "x",
                "escaped": ["violations"],
            },
        ),
        ({"payload": '{"a":"\\u0000"}'}, {"payload": '{"a":"\\u0000"}'}),
        (
            {"attributes": {"\0": "1", "\\u0000": "2"}},
            {"attributes": {"\\u0000": "1", "\\u0000#2": "2"}, "escaped": ["attributes"]},
        ),
    ],
)
def test_zero_characters_are_escaped_and_the_fields_named(
    fields: dict[str, Any], row: dict[str, Any]
) -> None:
    assert json.loads(table_line(line(**fields), None)) == {"letter_id": "0", **row}


@pytest.mark.parametrize("text", ["x", "\0", '"', "\x01", "ž", "🐎"])
@pytest.mark.parametrize("size", [9_000, 100_000])
def test_long_texts_are_cut_until_the_row_fits_and_short_ones_stay(text: str, size: int) -> None:
    fields = {
        "payload": text * size,
        "job": "short",
        "attributes": {"key": text * size, text * size: "value"},
    }
    stored = table_line(line(**fields), 20_000)
    row = json.loads(stored)
    assert len(stored) <= 20_000
    assert (row["letter_id"], row["job"]) == ("0", "short")
    assert row["cut"] == ["attributes", "payload"]
    assert row["payload"].endswith("…")
    assert len(msgspec.json.encode(row["payload"])) > 2_000


@given(
    st.dictionaries(
        st.sampled_from(["payload", "job", "event_type"]), st.text(st.characters(codec="utf-8"), max_size=200)
    ),
    st.integers(5_000, 6_000),
)
def test_texts_without_zero_characters_are_unchanged(fields: dict[str, str], limit: int) -> None:
    row = json.loads(table_line(line(**fields), limit))
    escaped = {name: text.replace("\0", "\\u0000") for name, text in fields.items()}
    assert {name: row[name] for name in fields} == escaped
    assert row.get("escaped", []) == sorted(name for name, text in fields.items() if "\0" in text)
