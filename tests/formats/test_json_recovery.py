"""What is read behind a broken value of a JSON document: it costs itself, and no byte is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.formats.json_array import read_document

from tests.growth import LINEAR, growth_of_cpu_time


def read(data: bytes, size: int = 1 << 20) -> list[tuple[int, bytes]]:
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    return [
        record for block in read_document(chunks) for record in zip(block.offsets, block.records, strict=True)
    ]


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b'{"a":1}{"b":{"c":3}{"d":4}', [b'{"a":1}', b'{"b":{"c":3}', b'{"d":4}']),
        (b'{"a":1}{"b":"unt}{"c":3}{"d":4}', [b'{"a":1}', b'{"b":"unt}', b'{"c":3}', b'{"d":4}']),
        (b'{"a":1}{"b":[{"c":"}{"}{"d":4}', [b'{"a":1}', b'{"b":[{"c":"}{"}', b'{"d":4}']),
        (b'{"a":1}oops{"b":2} oops\n', [b'{"a":1}', b"oops", b'{"b":2}', b"oops"]),
        (b'{"a":1}}{"b":2}', [b'{"a":1}', b"}", b'{"b":2}']),
        (b'{"a":{}},"b":{"c":1}}', [b'{"a":{}}', b'"b":{"c":1}}']),
        (b'{"a":[}\n{"b":2}\n{"c":3}\n', [b'{"a":[}', b'{"b":2}', b'{"c":3}']),
        (b'\x1e{"a":[}\n\x1e{"b":2}\n\x1e{"c":3}\n', [b'{"a":[}', b'{"b":2}', b'{"c":3}']),
        (b'[{"a":1}]\noops\n{"b":2}\n"x"\n{"c":3}\n', [b'{"a":1}', b"oops", b'{"b":2}', b'"x"', b'{"c":3}']),
        (b'[\n{"a":[},\n{"b":2},\n"x",\n{"c":3}\n]', [b'{"a":[}', b'{"b":2}', b'"x",', b'{"c":3}']),
        (b'[\n{"a":1},\n{"b":"x},\n{"c":3}\n]\n', [b'{"a":1}', b'{"b":"x}', b'{"c":3}']),
        (b'[\n{"a":1},\n{"b":{},\n{"c":3},\n', [b'{"a":1}', b'{"b":{}', b'{"c":3}', b"["]),
        (
            b'[\n  {\n    "a": [\n      {\n        "n": 1\n      }\n  },\n  {\n    "b": 2\n  }\n]',
            [b'{\n    "a": [\n      {\n        "n": 1\n      }\n  }', b'{\n    "b": 2\n  }'],
        ),
        (
            b'{\n  "a": {\n    "n": 1\n}\n{\n  "b": 2\n}\n',
            [b'{\n  "a": {\n    "n": 1\n}', b'{\n  "b": 2\n}'],
        ),
        (
            b'[\n{\n"a": {,\n"n": [\n{\n"p": 1\n}\n]\n},\n{\n"b": 2\n}\n]',
            [b'{\n"a": {,\n"n": [\n{\n"p": 1\n}\n]\n},\n{\n"b": 2\n}\n]'],
        ),
    ],
    ids=[
        "cut object",
        "cut string",
        "border in a string",
        "text between objects",
        "brace too many",
        "object closed too early",
        "lines",
        "JSON text sequence",
        "string on a line",
        "string in an array",
        "array of lines",
        "array of lines that is cut",
        "pretty-printed array",
        "pretty-printed objects",
        "objects that may be nested",
    ],
)
def test_broken_value_costs_only_itself(data: bytes, records: list[bytes], size: int) -> None:
    found = read(data, size)
    assert [record for _, record in found] == records
    assert all(data[at : at + len(record)] == record for at, record in found)


objects = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), min_size=1, max_size=2)
broken = st.sampled_from([b'{"a":', b'{"a":[1', b"}", b"oops", b'{"a":{"b":1}'])


@given(before=st.lists(objects, max_size=3), breach=broken, after=st.lists(objects, min_size=1, max_size=4))
def test_objects_on_lines_behind_a_broken_one_are_read(
    before: list[object], breach: bytes, after: list[object]
) -> None:
    lines = [*map(json.dumps, before), breach.decode(), *map(json.dumps, after)]
    found = [record.decode() for _, record in read("\n".join(lines).encode())]
    assert found[: len(before)] == lines[: len(before)]
    assert found[-len(after) :] == lines[-len(after) :]


garbage = st.sampled_from([b"oops", b"}", b'"text"', b"[1]", b"null", b'{"a":1} "b"', b"\xff", b"{'a':1}"])
"""None opens a bracket or a string: what it opens may be closed by a later line, and all between is one value then."""


@given(
    lines=st.lists(objects.map(lambda value: json.dumps(value).encode()) | garbage, min_size=1, max_size=9)
)
def test_no_object_on_a_line_is_lost_among_broken_lines(lines: list[bytes]) -> None:
    found = [record for _, record in read(b"\n".join((b'[{"first":1}]', *lines)))]
    whole = [line for line in lines if is_object(line)]
    assert [record for record in found if record in whole] == whole


def is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@pytest.mark.parametrize(
    "unit",
    [
        b'{"a":{"b":1}',
        b'{"a":"}{"',
        b'{"a":[}\n',
        b'[{"a":1,\n',
        b"} {",
        b'  {\n    "a": [\n',
        b'{"a":1}\n"b\n',
    ],
    ids=["cut object", "cut string", "lines", "arrays", "borders", "pretty", "cut strings"],
)
def test_recovery_costs_linear_time(unit: bytes) -> None:
    assert growth_of_cpu_time(lambda size: read(unit * size, 1 << 16), 20_000) < LINEAR
