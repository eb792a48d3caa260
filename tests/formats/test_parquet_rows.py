"""Parquet files: every value survives exactly, row groups are parts, damage is one line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sluice.errors import SourceError
from sluice.formats.arrow_values import compile_rows
from sluice.formats.canonical_rows import lines_of
from sluice.formats.parquet_rows import find_row_groups, read_parquet


def parquet(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def rows_of(data: bytes, start: int = 0, stop: int | None = None) -> list[bytes]:
    return [record for block in read_parquet(io.BytesIO(data), "x", start, stop) for record in block.records]


def error_of(data: bytes) -> str:
    with pytest.raises(SourceError) as caught:
        rows_of(data)
    return str(caught.value)


ARRAYS: dict[str, tuple[pa.Array, list[str]]] = {
    "decimal": (
        pa.array([Decimal("1.10"), Decimal("-12345678901234567890.12"), None]),
        ["1.10", "-12345678901234567890.12", "null"],
    ),
    "decimal256": (pa.array([Decimal(10**60 + 1)], pa.decimal256(76, 2)), [f"{10**60 + 1}.00"]),
    "nanos": (
        pa.array([1_736_330_400_123_456_789, None], pa.timestamp("ns", "UTC")),
        ['"2025-01-08T10:00:00.123456789Z"', "null"],
    ),
    "zone": (
        pa.array([1_736_330_400_123_456], pa.timestamp("us", "Europe/Berlin")),
        ['"2025-01-08T10:00:00.123456Z"'],
    ),
    "local": (pa.array([1_736_330_400_123], pa.timestamp("ms")), ['"2025-01-08T10:00:00.123"']),
    "far": (pa.array([253_402_300_800_000_000], pa.timestamp("us")), ['"+10000-01-01T00:00:00"']),
    "date": (pa.array([date(2025, 1, 8), None]), ['"2025-01-08"', "null"]),
    "far_date": (pa.array([3_000_000], pa.date32()), ['"+10183-09-21"']),
    "date64": (pa.array([86_400_000], pa.date64()), ['"1970-01-02"']),
    "time32": (pa.array([1001], pa.time32("ms")), ['"00:00:01.001"']),
    "time64": (pa.array([1], pa.time64("ns")), ['"00:00:00.000000001"']),
    "duration": (pa.array([timedelta(seconds=90)]), ['"PT90S"']),
    "double": (pa.array([float("nan"), float("inf"), -0.0, None]), ['"NaN"', '"Infinity"', "-0.0", "null"]),
    "float": (pa.array([0.1], pa.float32()), ["0.10000000149011612"]),
    "half": (pa.array([1.5], pa.float16()), ["1.5"]),
    "uint64": (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
    "bool": (pa.array([True, None]), ["true", "null"]),
    "text": (pa.array(["é\n", None], pa.large_string()), ['"é\\n"', "null"]),
    "bytes": (pa.array([b"\x00\xff", None]), ['"AP8="', "null"]),
    "fixed": (pa.array([b"abc"], pa.binary(3)), ['"YWJj"']),
    "uuid": (pa.array([UUID(int=7).bytes, None], pa.uuid()), [f'"{UUID(int=7)}"', "null"]),
    "json": (
        pa.array(['{ "a": 1.10,\n "a": [ ] }', "{", None], pa.json_()),
        ['{"a":1.10,"a":[]}', '"{"', "null"],
    ),
    "dictionary": (pa.array(["a", "b", "a"]).dictionary_encode(), ['"a"', '"b"', '"a"']),
    "nothing": (pa.nulls(2), ["null", "null"]),
    "list": (pa.array([[1, None], None, [], [2]]), ["[1,null]", "null", "[]", "[2]"]),
    "pairs": (pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)), ["[1,2]", "[3,4]"]),
    "struct": (
        pa.array([{"at": date(2025, 1, 8), "b": [{"c": b"x"}]}, None, {"at": None, "b": None}]),
        ['{"at":"2025-01-08","b":[{"c":"eA=="}]}', "null", '{"at":null,"b":null}'],
    ),
    "map": (
        pa.array([[("a", 1), ("b", None)], None, [], [("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64())),
        ['{"a":1,"b":null}', "null", "{}", '[{"key":"a","value":1},{"key":"a","value":2}]'],
    ),
    "numbered": (
        pa.array([[(1, date(2025, 1, 8))]], pa.map_(pa.int32(), pa.date32())),
        ['[{"key":1,"value":"2025-01-08"}]'],
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_value_of_every_type_is_exact(name: str) -> None:
    array, texts = ARRAYS[name]
    expected = [f'{{"v":{text}}}'.encode() for text in texts]
    table = pa.table({"v": array})
    assert rows_of(parquet(table)) == expected
    rows = compile_rows(table.schema)
    batch = pa.record_batch({"v": pa.concat_arrays([array, array])})
    for start in range(len(array)):  # what is cut out of a batch has the same values
        assert lines_of(rows(batch.slice(start, len(array)))) == expected[start:] + expected[:start]


TYPES: dict[str, tuple[Any, st.SearchStrategy[Any], Callable[[Any], Any]]] = {
    "a": (pa.int64(), st.integers(-(2**63), 2**63 - 1), lambda value: value),
    "b": (pa.decimal128(38, 9), st.decimals(-(10**28), 10**28, places=9), "{:f}".format),
    "c": (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC)), datetime.isoformat),
    "d": (pa.timestamp("us"), st.datetimes(), datetime.isoformat),
    "e": (pa.date32(), st.dates(), date.isoformat),
    "f": (pa.time64("us"), st.times(), time.isoformat),
    "g": (pa.string(), st.text(st.characters(codec="utf-8"), max_size=9), str),
    "h": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False), float),
    "i": (
        pa.list_(pa.struct({"j": pa.bool_()})),
        st.lists(st.fixed_dictionaries({"j": st.none() | st.booleans()}), max_size=2),
        list,
    ),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, values, _) in TYPES.items()}), max_size=8
)


def normal(name: str, value: Any) -> Any:
    """Return a value of a line in the spelling of Python."""
    read: dict[str, Callable[[Any], Any]] = {
        "b": str,
        "c": datetime.fromisoformat,
        "d": datetime.fromisoformat,
        "f": time.fromisoformat,
        "h": float,
    }
    if value is None or name not in read:
        return value
    value = read[name](value)
    return value if isinstance(value, str | float) else value.isoformat()


@settings(max_examples=25)
@given(
    rows=ROWS, groups=st.sampled_from([1, 3, 100]), codec=st.sampled_from(["none", "snappy", "zstd", "gzip"])
)
def test_every_row_survives(rows: list[dict[str, Any]], groups: int, codec: str) -> None:
    table = pa.Table.from_pylist(rows, pa.schema({name: kind for name, (kind, _, _) in TYPES.items()}))
    read = [
        json.loads(line, parse_float=str)
        for line in rows_of(parquet(table, row_group_size=groups, compression=codec))
    ]
    expected = [
        {name: None if row[name] is None else write(row[name]) for name, (_, _, write) in TYPES.items()}
        for row in rows
    ]
    assert [{name: normal(name, value) for name, value in row.items()} for row in read] == expected


MANY = parquet(pa.table({"a": range(1000)}), row_group_size=100)
LINES = [b'{"a":%d}' % number for number in range(1000)]


def test_row_groups_are_parts() -> None:
    starts = find_row_groups(io.BytesIO(MANY), "x", 1)
    assert [start.line for start in starts] == [1, *range(101, 1000, 100)]
    read: list[bytes] = []
    for start, stop in pairwise([*(start.offset for start in starts), len(MANY)]):
        (block,) = read_parquet(io.BytesIO(MANY), "x", start, stop)
        assert list(block.offsets) == list(range(len(read), len(read) + 100))
        read += block.records
    assert read == LINES
    assert [start.line for start in find_row_groups(io.BytesIO(MANY), "x", len(MANY))] == [1]


def test_old_timestamps_keep_their_years() -> None:
    """Spark wrote INT96; with nanoseconds in 64 bits the year 1 would be another one."""
    table = pa.table({"v": pa.array([datetime(1, 1, 1), datetime(2025, 1, 8, 10)])})  # noqa: DTZ001  INT96 has no zone
    data = parquet(table, use_deprecated_int96_timestamps=True)
    assert rows_of(data) == [b'{"v":"0001-01-01T00:00:00"}', b'{"v":"2025-01-08T10:00:00"}']


def test_file_without_rows_has_no_records() -> None:
    assert rows_of(parquet(pa.table({"a": pa.array([], pa.int64())}))) == []


def test_columns_of_one_name_are_an_error() -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert error_of(parquet(table)) == "x: cannot read Parquet in row group 1: two columns are named 'a'"


@pytest.mark.parametrize("size", [8, 100, len(MANY) - 1])
def test_file_that_is_cut_off_is_an_error(size: int) -> None:
    assert error_of(MANY[:size]).startswith("x: cannot read Parquet: ")


@settings(max_examples=100)
@given(at=st.integers(4, len(MANY) - 1), byte=st.integers(1, 255))
def test_any_damage_is_one_line_or_other_values(at: int, byte: int) -> None:
    data = MANY[:at] + bytes([MANY[at] ^ byte]) + MANY[at + 1 :]
    try:
        rows_of(data)
    except SourceError as error:
        assert str(error).startswith("x: cannot read Parquet")
        assert "\n" not in str(error)
