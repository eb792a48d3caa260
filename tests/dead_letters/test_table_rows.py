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
    assert table_line(ordinary, len(ordinary)) is ordinary
    assert table_line(ordinary, None) is ordinary


def test_line_whose_row_fits_exactly_is_not_cut() -> None:
    compact = line(payload="x" * 10_000)
    spaced = compact.replace(b":", b": ")
    assert table_line(spaced, len(compact)) == compact
    assert json.loads(table_line(spaced, len(compact) - 1))["cut"] == ["payload"]


def test_line_with_zero_characters_that_is_not_long_is_not_cut() -> None:
    escaped = json.loads(table_line(line(payload="\0" + "x" * 5_000), 10_000))
    assert escaped == {"letter_id": "0", "payload": "\\u0000" + "x" * 5_000, "escaped": ["payload"]}


def test_long_texts_share_the_room_that_short_ones_leave() -> None:
    texts = {"payload": "x" * 50_000, "job": "🐎" * 50_000, "event_type": "ž" * 50_000, "code": "y" * 5_000}
    stored = table_line(line(**texts), 40_000)
    row = json.loads(stored)
    assert row["cut"] == ["event_type", "job", "payload"]
    sizes = {name: len(row[name].encode()) for name in texts}
    limit = sizes["payload"]  # whose characters have one byte, so that it fills its share
    assert limit - 4 < sizes["job"] <= limit
    assert limit - 2 < sizes["event_type"] <= limit
    assert 40_000 - 4096 < len(stored) <= 40_000
    for name in row["cut"]:
        assert row[name] == texts[name][: len(row[name]) - 1] + "…"


@pytest.mark.parametrize("max_bytes", [20_000, 20_001])
def test_one_long_text_fills_the_row_but_for_four_kibibytes(max_bytes: int) -> None:
    row = json.loads(table_line(line(payload="x" * 50_000), max_bytes))
    texts = ("letter_id", row["letter_id"], "payload", row["payload"])
    assert sum(len(msgspec.json.encode(text)) for text in texts) == max_bytes - 4096
    assert row["cut"] == ["payload"]


def test_text_for_which_there_is_no_room_is_its_mark() -> None:
    stored = json.loads(table_line(line(payload="x" * 5_000, job="ab"), 100))
    assert stored == {"letter_id": "0", "payload": "…", "job": "…", "cut": ["job", "payload"]}


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
            {"attributes": {"\0": "1", "\\u0000": "2", "\\u0000#2": "3", "\\u0000#2#2": "4"}},
            {
                "attributes": {"\\u0000": "1", "\\u0000#2": "2", "\\u0000#2#2": "3", "\\u0000#2#2#2": "4"},
                "escaped": ["attributes"],
            },
        ),
        (
            {"attributes": {"\0": "1", "\\u0000#2": "2", "\\u0000": "3"}},
            {
                "attributes": {"\\u0000": "1", "\\u0000#2": "2", "\\u0000#3": "3"},
                "escaped": ["attributes"],
            },
        ),
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
