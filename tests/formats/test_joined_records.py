"""Records that share a line, or have separators around them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.elements import RecordBatch
from sluice.formats.joined_records import separate, separate_records
from sluice.provenance import FileProvenance, MessageProvenance

from tests.origins import offsets_of

SEPARATORS = [
    b"",
    b" ",
    b"\t",
    b"\r",
    b",",
    b", ",
    b"\x00",
    b"\x1e",
    b"\r\x1e",
    b"\xef\xbb\xbf",
    b"\x00\xef\xbb\xbf",
]


@pytest.mark.parametrize("separator", SEPARATORS)
def test_objects_with_any_separator_are_separated(separator: bytes) -> None:
    line = separator + b'{"a":1}' + separator + b'{"b":"}{"}' + separator
    size = len(separator)
    assert separate(line) == [(size, b'{"a":1}'), (2 * size + 7, b'{"b":"}{"}')]


@pytest.mark.parametrize("separator", [text for text in SEPARATORS[4:] if b"\0" not in text])
def test_object_with_any_separator_is_freed_of_it(separator: bytes) -> None:
    assert separate(separator + b'{"a":1}' + separator) == [(len(separator), b'{"a":1}')]


@pytest.mark.parametrize(
    ("line", "records"),
    [
        (b'{"a":1}{"b":oops}{"c":3}', [b'{"a":1}', b'{"b":oops}', b'{"c":3}']),
        (b'{"a":1}{"b":', [b'{"a":1}', b'{"b":']),
        (b'{"a":1}oops{"b":2}', [b'{"a":1}', b"oops", b'{"b":2}']),
        (b'[{"a":1}][{"b":2}]', [b'{"a":1}', b'{"b":2}']),
        (b'[{"a":1},{"b":2}', [b'{"a":1}', b'{"b":2}', b"["]),
    ],
)
def test_broken_object_costs_only_itself(line: bytes, records: list[bytes]) -> None:
    assert [record for _, record in separate(line)] == records


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":1}',
        b' {"a":1} \r',
        b'{"a":1} oops',
        b'{"a":1}}',
        b'{"a":"}{"}',
        b'{"a":"}{"',
        b"{a}{b}",
        b"[1,2]",
        b"[]",
        b'[{"a":1},{"b":2}]',
        b'{"a":1}\0',
        b"1 2",
        b"oops",
        b"",
        b'2025-01-10 INFO {"a":1} {"b":2}',
        b'"{}{}"',
    ],
)
def test_line_that_is_one_record_or_in_doubt_stays_whole(line: bytes) -> None:
    assert separate(line) == [(0, line)]


values = st.dictionaries(
    st.text(max_size=4), st.recursive(st.none() | st.text(max_size=6), st.lists), max_size=3
)


@given(st.lists(values, min_size=1, max_size=6), st.sampled_from(SEPARATORS), st.booleans())
def test_joined_objects_are_those_that_were_joined(
    objects: list[object], separator: bytes, escaped: bool
) -> None:
    records = [json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass") for value in objects]
    if all(record.isascii() for record in records):
        assert [record for _, record in separate(separator.join(records))] == records


PARTS = [
    *SEPARATORS,
    b"{",
    b"}",
    b'"',
    b":",
    b"[",
    b"]",
    b"\\",
    b"x",
    b"{}",
    b'{"a":1}',
    b'"b":',
    b'"}"',
    b"[{}]",
]


@given(st.lists(st.sampled_from(PARTS), max_size=12).map(b"".join))
def test_line_that_begins_with_its_brace_is_separated_like_one_behind_a_blank(rest: bytes) -> None:
    line = b"{" + rest
    behind = separate(b" " + line)
    is_whole = behind == [(0, b" " + line)]
    assert separate(line) == ([(0, line)] if is_whole else [(at - 1, record) for at, record in behind])


def test_batch_of_a_file_has_the_offset_of_each_record() -> None:
    batch = RecordBatch([b"1", b'{"a":1}{"b":2}', b"oops"], FileProvenance("x", 0.0, [5, 10, 30]))
    separated = separate_records(batch, [1, 2])
    assert separated is not None
    assert separated.records == [b"1", b'{"a":1}', b'{"b":2}', b"oops"]
    assert list(offsets_of(separated)) == [5, 10, 17, 30]
    assert separate_records(batch, [2]) is None


def test_message_of_a_broker_stays_one_record() -> None:
    batch = RecordBatch([b"{}{}"], MessageProvenance("topic", 0.0, ["id"], [0.0]))
    assert separate_records(batch, [0]) is None
