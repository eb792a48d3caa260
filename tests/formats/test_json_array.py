"""JSON documents: elements byte for byte, however the file is cut into chunks; malformed ones lose no bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.formats import FORMATS, detect_format, json_array, json_recovery
from sluice.formats.json_array import read_document
from sluice.formats.json_recovery import NOT_CLOSED

DEEP = b"[" * 40 + b"1" + b"]" * 40


def read(data: bytes, size: int = 1 << 20) -> list[tuple[int, bytes]]:
    chunks: Iterator[bytes] = (data[at : at + size] for at in range(0, len(data), size))
    blocks = read_document(chunks)
    return [pair for block in blocks for pair in zip(block.offsets, block.records, strict=True)]


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b"", []),
        (b"[]", []),
        (b" \n[ \r\n]\t\n", []),
        (b"[1]", [(1, b"1")]),
        (b'[{"a":1},{"b":[2]}]', [(1, b'{"a":1}'), (9, b'{"b":[2]}')]),
        (b'\xef\xbb\xbf[\n  {\n    "a": 1.10\n  },\n  2\n]\n', [(7, b'{\n    "a": 1.10\n  }'), (30, b"2")]),
        (rb'["]\"[", "\\", {"}":"{"}]', [(1, rb'"]\"["'), (9, rb'"\\"'), (15, b'{"}":"{"}')]),
        (b'[{"a":1,"a":1e5,"b":\xff\x00}]', [(1, b'{"a":1,"a":1e5,"b":\xff\x00}')]),
        (b"[" + DEEP + b", " + DEEP + b" ]", [(1, DEEP), (84, DEEP)]),
        (b'{\n "a": 1\n}\n{"b":2}{"c":3}\n', [(0, b'{\n "a": 1\n}'), (12, b'{"b":2}'), (19, b'{"c":3}')]),
        (b'[1][2]\n{"a":3}', [(1, b"1"), (4, b"2"), (7, b'{"a":3}')]),
        (b"[1,2,]", [(1, b"1"), (3, b"2")]),
        (b"[true,null,-1.5e+3,oops]", [(1, b"true"), (6, b"null"), (11, b"-1.5e+3"), (19, b"oops")]),
    ],
)
def test_element_keeps_its_bytes_and_offset(data: bytes, records: list[tuple[int, bytes]], size: int) -> None:
    assert read(data, size) == records


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b'[{"a":oops},{"b":1}]', [(1, b'{"a":oops}'), (12, b'{"b":1}')]),
        (b'[{"a":1},{"b":{},{"c":1}]\n', [(1, b'{"a":1}'), (9, b'{"b":{},{"c":1}]')]),
        (b'[{"a":1} {"b":2},3]', [(1, b'{"a":1}'), (9, b'{"b":2}'), (17, b"3")]),
        (b"[1 2]", [(1, b"1"), (3, b"2]")]),
        (b"[1,,2]", [(1, b"1"), (3, b",2]")]),
        (b"[1}, 2]", [(1, b"1"), (2, b"}, 2]")]),
        (b'[1,"abc', [(1, b"1"), (3, b'"abc')]),
        (b"[1,2", [(1, b"1"), (3, b"2"), (0, b"[")]),
        (b"[1, tru", [(1, b"1"), (4, b"tru")]),
        (b"[1] oops\n ", [(1, b"1"), (4, b"oops")]),
        (b'{\n"a":1', [(0, b'{\n"a":1')]),
        (b"[" + DEEP + b" oops]", [(1, DEEP), (83, b"oops]")]),
        (b"[" * 1000, [(1, b"[" * 999)]),
        (b'[{"a":1},', [(1, b'{"a":1}'), (0, b"[")]),
        (b'[{"a":1}', [(1, b'{"a":1}'), (0, b"[")]),
        (b"[", [(0, b"[")]),
        (b" [ \n", [(1, b"[")]),
        (b'[{"a":1}] [{"b":2},', [(1, b'{"a":1}'), (11, b'{"b":2}'), (10, b"[")]),
        (b'[{"a":1}]{"b":2}oops', [(1, b'{"a":1}'), (9, b'{"b":2}'), (16, b"oops")]),
        (b'[{"a":1},{"b":', [(1, b'{"a":1}'), (9, b'{"b":')]),
    ],
)
def test_broken_document_loses_no_bytes(data: bytes, records: list[tuple[int, bytes]], size: int) -> None:
    assert read(data, size) == records


def test_remainder_over_the_limit_is_cut_into_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "MAX_ELEMENT_BYTES", 8)
    monkeypatch.setattr(json_recovery, "MAX_ELEMENT_BYTES", 8)
    data = b'[1,{"a":"0123456789012345678\n '
    records = read(data, 3)
    assert b"".join(record for _, record in records[1:]) == data[3:].rstrip()
    assert records[0] == (1, b"1")
    assert [offset for offset, _ in records] == [1, 3, *range(3 + len(records[1][1]), len(data) - 2, 8)]


def test_element_of_20_megabytes_is_one_record() -> None:
    element = b'{"a":"' + b"x" * 20_000_000 + b'"}'
    assert read(b"[" + element + b"," + element + b"]") == [(1, element), (len(element) + 2, element)]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(
    elements=st.lists(values, max_size=6),
    indent=st.sampled_from([None, 0, 2]),
    escaped=st.booleans(),
    size=st.integers(1, 60),
)
def test_array_cut_into_any_chunks_gives_its_elements(
    elements: list[object], indent: int | None, escaped: bool, size: int
) -> None:
    data = json.dumps(elements, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    records = read(data, size)
    assert [json.loads(record.decode("utf-8", "surrogatepass")) for _, record in records] == elements
    assert all(data[offset : offset + len(record)] == record for offset, record in records)


@given(
    data=st.lists(st.sampled_from([*(bytes([byte]) for byte in b'[]{},:" \\\n1a'), b"\xff"])).map(b"".join),
    size=st.integers(1, 20),
)
def test_bytes_cut_into_any_chunks_give_the_same_records(data: bytes, size: int) -> None:
    records = read(data, size)
    assert records == read(data)
    assert all(data[offset : offset + len(record)] == record for offset, record in records)
    end = 0
    if records and records[-1][1] == NOT_CLOSED:  # reported behind the elements
        assert data[: records.pop()[0]].count(b"[") < data.count(b"[")
    for offset, record in records:  # only punctuation of arrays is between records
        assert data[end:offset].strip(b"[], \n") == b""
        end = offset + len(record)
    assert data[end:].strip(b"[], \n") == b""


EVENT = b'{"event_type":"order"}'


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("json_lines", b""),
        ("json_lines", b"\n\n"),
        ("json_lines", EVENT),
        ("json_lines", EVENT + b"\n" + EVENT + b"\n"),
        ("json_lines", b'{"a":oops\n' + EVENT + b"\n"),
        ("json_lines", b'{"a":\n{"b":\n{"c":'),
        ("json_lines", b"{\n" + EVENT),
        ("json_lines", b"[1,2]\n" + EVENT),
        ("json_lines", b"[1,2\n" + EVENT),
        ("json_lines", b"[1,2]\n[3,4]\n"),
        ("json_lines", b"[" * 100_000 + b"\n" + EVENT),
        ("json_lines", b"[" * 100_000),
        ("json_lines", b"[oops\n" + EVENT + b"\n" + EVENT + b"\noops"),
        ("json_lines", b'"a"\n1\n'),
        ("json_lines", EVENT + b" oops\n"),
        ("json_lines", EVENT + EVENT + b"\n" + EVENT),
        ("json_lines", b"\xff\xfe[\n"),
        ("json_array", b"[" + EVENT + b"] oops\n"),
        ("json_array", EVENT + b'\n{\n "a": 1\n}\n'),
        ("json_array", EVENT + EVENT + b'\n{\n "a": 1\n}\n'),
        ("json_lines", EVENT + b'\n{\n "a": oops\n}\n'),
        ("json_array", b"[" + EVENT + b"]\n[" + EVENT + b"]\n"),
        ("json_array", b"[" + EVENT + b"]\n" + EVENT),
        ("json_array", b"\xef\xbb\xbf"),
        ("json_array", b"\xef\xbb\xbf \n[" + EVENT + b"]"),
        ("json_array", b'\x1e{\n "a": 1\n}\n\x1e{\n "a": 2\n}\n'),
        ("json_lines", b"\x1e" + EVENT + b"\n\x1e" + EVENT + b"\n"),
        ("json_lines", EVENT + b"\r" + EVENT + b"\r"),
        ("json_lines", EVENT + b",\n" + EVENT + b"\n"),
        ("json_array", b"[]"),
        ("json_array", b"[\n]"),
        ("json_array", b"[" + EVENT + b"]"),
        ("json_array", b"\xef\xbb\xbf[" + EVENT + b"]\n"),
        ("json_array", b"[" + EVENT + b",\n" + EVENT + b"\n]\n"),
        ("json_array", b"[\n" + EVENT + b"\n]\n"),
        ("json_array", b"[\n" + EVENT + b",\n" + EVENT),
        ("json_array", b"[\n  {\n    "),
        ("json_array", b'[{"a":oops},\n{"b":1}\n]'),
        ("json_array", b"[1,\n 2]"),
        ("json_array", b'{\n  "a": 1\n}\n'),
        ("json_array", b'{\n  "a": 1\n}\n{\n  "a": 1,\n  b'),
        ("json_array", b'{\n"a": 1\n}\n' + EVENT + b"\n" + EVENT),
        ("json_array", b'{\n  "a": 1'),
    ],
)
def test_format_is_detected_from_a_whole_file(name: str, head: bytes) -> None:
    assert detect_format(head, whole=True) is FORMATS[name]


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("json_lines", EVENT + b"\n" + EVENT[:9]),
        ("json_lines", b'{"long": "line'),
        ("json_lines", b"[" * 1000),
        ("json_lines", b"[oops\n" + EVENT + b"\n" + EVENT + b"\n" + EVENT[:5]),
        ("json_array", EVENT + EVENT + EVENT[:9]),
        ("json_array", EVENT + b" \r" + EVENT[:9]),
        ("json_array", EVENT + b"," + EVENT[:9]),
        ("json_array", EVENT + b"\x00" + EVENT[:9]),
        ("json_array", EVENT + b"\xef\xbb\xbf" + EVENT[:9]),
        ("json_lines", EVENT + b" oops" + EVENT[:9]),
        ("json_array", b"[" + EVENT + b"," + EVENT[:9]),
        ("json_array", b'[{"long": "element'),
        ("json_array", b"[\n" + EVENT + b",\n" + EVENT + b",\n" + EVENT[:5]),
        ("json_array", b'[\n  {\n    "a": 1,\n   '),
        ("json_array", b'{\n    "a": 1,\n   '),
    ],
)
def test_format_is_detected_from_the_head_of_a_file(name: str, head: bytes) -> None:
    assert detect_format(head, whole=False) is FORMATS[name]
