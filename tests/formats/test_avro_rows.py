"""Avro container files: every value survives exactly, in every codec and split; damage is one line."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sluice.errors import SourceError
from sluice.formats.avro_container import MAGIC, ByteReader, find_block_starts, read_header
from sluice.formats.avro_rows import read_avro, read_avro_blocks

from tests.formats.avro_fixture import avro_file, container

CODECS = ["null", "deflate", "bzip2", "xz", "zstandard", "snappy"]


def rows_of(data: bytes, size: int = 1 << 20) -> list[Any]:
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    return [record for block in read_avro(chunks, "x") for record in block.records]


def error_of(data: bytes) -> str:
    with pytest.raises(SourceError) as caught:
        rows_of(data)
    return str(caught.value)


def typed(kind: Any, logical: str, **others: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": logical, **others}


def record(name: str, **members: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": key, "type": kind} for key, kind in members.items()],
    }


VALUES: dict[str, tuple[Any, st.SearchStrategy[Any], Callable[[Any], Any]]] = {
    "decimal": (
        typed("bytes", "decimal", precision=38, scale=9),
        st.decimals(-(10**28), 10**28, places=9),
        lambda value: value,
    ),
    "fixed": (
        {"type": "fixed", "name": "f", "size": 3},
        st.binary(min_size=3, max_size=3),
        lambda value: base64.b64encode(value).decode(),
    ),
    "micros": (
        typed("long", "timestamp-micros"),
        st.datetimes(timezones=st.just(UTC)),
        lambda value: value.isoformat(),
    ),
    "date": (typed("int", "date"), st.dates(), date.isoformat),
    "time": (typed("long", "time-micros"), st.times(), time.isoformat),
    "uuid": (typed("string", "uuid"), st.uuids(), str),
    "text": ("string", st.text(st.characters(codec="utf-8"), max_size=9), str),
    "long": ("long", st.integers(-(2**63), 2**63 - 1), int),
    "double": ("double", st.floats(allow_nan=False, allow_infinity=False), float),
}
SCHEMA = record(
    "row",
    **{key: kind for key, (kind, _, _) in VALUES.items()},
    lists={"type": "array", "items": ["null", "long"]},
    maps={"type": "map", "values": record("member", at=typed("long", "local-timestamp-millis"))},
)


def expected(row: dict[str, Any]) -> dict[str, Any]:
    values = {key: write(row[key]) for key, (_, _, write) in VALUES.items()}
    maps = {key: {"at": member["at"].isoformat()} for key, member in row["maps"].items()}
    return {**values, "lists": row["lists"], "maps": maps}


def as_written(line: bytes) -> dict[str, Any]:
    """Return a row with its times in the spelling of Python, whose fraction has six digits or none."""
    row: dict[str, Any] = json.loads(line, parse_float=str)
    row["decimal"], row["double"] = Decimal(row["decimal"]), float(row["double"])
    row["micros"] = datetime.fromisoformat(row["micros"]).isoformat()
    row["time"] = time.fromisoformat(row["time"]).isoformat()
    for member in row["maps"].values():
        member["at"] = datetime.fromisoformat(member["at"]).isoformat()
    return row


@settings(max_examples=30)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                **{key: values for key, (_, values, _) in VALUES.items()},
                "lists": st.lists(st.none() | st.integers(0, 9), max_size=3),
                "maps": st.dictionaries(
                    st.text(st.characters(codec="utf-8"), max_size=3),
                    st.fixed_dictionaries(
                        {"at": st.datetimes().map(lambda at: at.replace(microsecond=5000))}
                    ),
                    max_size=2,
                ),
            }
        ),
        max_size=8,
    ),
    codec=st.sampled_from(CODECS[:4]),
    size=st.sampled_from([1, 7, 1 << 20]),
)
def test_every_value_survives(rows: list[dict[str, Any]], codec: str, size: int) -> None:
    data = avro_file(SCHEMA, rows, codec=codec, sync_interval=100)
    assert [as_written(line) for line in rows_of(data, size)] == list(map(expected, rows))


SAMPLE = record(
    "row",
    nan="double",
    half=["null", "float"],
    nanos=typed("long", "timestamp-nanos"),
    local=typed("long", "local-timestamp-micros"),
    union=["null", "int", typed("long", "timestamp-millis"), "string", "bytes"],
    kind={"type": "enum", "name": "k", "symbols": ["A", "B"]},
    id=typed("fixed", "uuid", name="u", size=16),
    took=typed("fixed", "duration", name="d", size=12),
    unknown=typed("int", "my-own"),
    next=["null", "row"],
)


def test_every_kind_of_value_has_its_spelling() -> None:
    # Without logical types, since fastavro writes fewer of them than Avro has.
    plain = json.loads(json.dumps(SAMPLE).replace("logicalType", "was"))
    row = {
        "nan": float("nan"),
        "half": 0.1,
        "nanos": 1_736_330_400_123_456_789,
        "local": 253_402_300_800_000_000,
        "union": ("long", 1500),
        "kind": "B",
        "id": UUID(int=7).bytes,
        "took": bytes([1, 0, 0, 0, 2, 0, 0, 0, 0xDC, 5, 0, 0]),
        "unknown": 5,
        "next": None,
    }
    inner = {**row, "nan": float("-inf"), "half": None, "union": b"\xff"}
    data = container(SAMPLE, plain, [{**row, "next": inner}])
    text = (
        b'{"nan":"%s","half":%s,"nanos":"2025-01-08T10:00:00.123456789Z","local":"+10000-01-01T00:00:00","union":"%s",'
        b'"kind":"B","id":"00000000-0000-0000-0000-000000000007","took":"P1M2DT1.500S","unknown":5,"next":%s}'
    )
    last = text % (b"-Infinity", b"null", b"/w==", b"null")
    assert rows_of(data) == [text % (b"NaN", b"0.10000000149011612", b"1970-01-01T00:00:01.500Z", last)]


def test_rows_that_are_no_records_are_values() -> None:
    assert rows_of(avro_file("long", [1, 2])) == [b"1", b"2"]


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read_and_its_damage_is_an_error(codec: str) -> None:
    rows = [{"a": "x" * 50} for _ in range(10)]
    schema = record("row", a="string")
    data = container(schema, schema, rows, codec)
    assert rows_of(data) == [b'{"a":"%s"}' % (b"x" * 50)] * 10
    if codec == "null":
        return
    at = len(data) - 16 - 6
    damaged = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
    assert error_of(damaged).startswith(
        f"x: cannot read Avro at byte {read_header(ByteReader([data]), 'x').end}: "
    )


def test_unknown_codec_is_an_error() -> None:
    schema = record("row", a="string")
    data = container(schema, schema, [], "null").replace(b"avro.codec\x08null", b"avro.codec\x06lz4")
    assert error_of(data) == (
        "x: cannot read Avro at byte 0: expected the codec bzip2, deflate, null, snappy, xz or zstandard, got 'lz4'; "
        "write the file with one of these"
    )


ROWS = [{"a": f"row {number}"} for number in range(500)]
BLOCKS = avro_file(record("row", a="string"), ROWS, sync_interval=200)
HEADER = read_header(ByteReader([BLOCKS]), "x")
LINES = [b'{"a":"row %d"}' % number for number in range(500)]


def parts(target: int) -> Iterator[tuple[int, list[bytes]]]:
    starts = find_block_starts(io.BytesIO(BLOCKS), HEADER, len(BLOCKS), target)
    for start, stop in zip(starts, [*(start.offset for start in starts[1:]), None], strict=True):
        reader = ByteReader([BLOCKS[start.offset :]], start.offset)
        if not start.offset:
            read_header(reader, "x")
        for block in read_avro_blocks(reader, HEADER, "x", stop, start.line - 1):
            yield block.offsets[0], list(block.records)


@pytest.mark.parametrize("target", [1, 1000, 1 << 20])
def test_parts_have_the_rows_of_the_whole_file(target: int) -> None:
    found = list(parts(target))
    assert len(found) == {1: 20, 1000: 5, 1 << 20: 1}[target]
    at = 0
    for first, lines in found:
        assert (first, lines) == (at, LINES[at : at + len(lines)])
        at += len(lines)
    assert at == len(LINES)


def test_file_that_is_cut_off_anywhere_is_an_error_or_ends_with_a_block() -> None:
    ends = {start.offset for start in find_block_starts(io.BytesIO(BLOCKS), HEADER, len(BLOCKS), 1)} - {0}
    for size in range(len(MAGIC), len(BLOCKS), 3):
        if size in ends or size == HEADER.end:
            assert rows_of(BLOCKS[:size]) == LINES[: len(rows_of(BLOCKS[:size]))]
        else:
            assert "the file is cut off in" in error_of(BLOCKS[:size])


@settings(max_examples=150)
@given(at=st.integers(0, len(BLOCKS) - 1), byte=st.integers(1, 255))
def test_any_damage_is_one_line_or_other_values(at: int, byte: int) -> None:
    data = BLOCKS[:at] + bytes([BLOCKS[at] ^ byte]) + BLOCKS[at + 1 :]
    try:
        assert len(rows_of(data)) == len(ROWS)
    except SourceError as error:
        assert str(error).startswith("x: cannot read Avro at byte ")
        assert "\n" not in str(error)


def test_errors_name_the_block() -> None:
    end = HEADER.end
    assert (
        error_of(BLOCKS[: end + 20])
        == f"x: cannot read Avro at byte {end}: the file is cut off in this block"
    )
    sync = BLOCKS[:end] + BLOCKS[end:].replace(HEADER.sync, bytes(16), 1)
    assert error_of(sync) == (
        f"x: cannot read Avro at byte {end}: the block is damaged: the marker behind it is not that of the file"
    )
    assert error_of(b"Obj\x01\x00" + bytes(16)) == "x: cannot read Avro at byte 0: its header has no schema"
    huge = BLOCKS[:end] + b"\x02\x80\x80\x80\x80\x08"
    assert error_of(huge) == (
        f"x: cannot read Avro at byte {end}: the block is damaged: expected at most 67108864 bytes, "
        "got 1 rows in 1073741824 bytes"
    )


def test_block_that_unpacks_to_too_much_is_an_error() -> None:
    schema = record("row", a="bytes")
    data = container(schema, schema, [{"a": bytes(65 << 20)}], "deflate")
    assert error_of(data) == (
        f"x: cannot read Avro at byte {read_header(ByteReader([data]), 'x').end}: expected a block of at most "
        "67108864 bytes unpacked, got more; write smaller blocks"
    )


def test_array_whose_items_take_no_bytes_is_an_error() -> None:
    data = avro_file(record("row", a={"type": "array", "items": "null"}), [])
    assert error_of(data) == (
        "x: cannot read Avro at byte 0: its schema is not valid: an array of values without bytes, whose length "
        "nothing bounds"
    )


def test_container_of_the_fixture_is_what_fastavro_reads() -> None:
    schema = record("row", a="long")
    assert list(fastavro.reader(io.BytesIO(container(schema, schema, [{"a": 1}])))) == [{"a": 1}]


def test_type_within_a_type_is_read() -> None:
    """Some writers nest the type of a field once more."""
    schema = record("row", a={"type": {"type": "long"}, "logicalType": "timestamp-millis"})
    assert rows_of(container(schema, record("row", a="long"), [{"a": 0}])) == [
        b'{"a":"1970-01-01T00:00:00Z"}'
    ]
