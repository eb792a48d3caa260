"""JSON lines: any bytes, cut anywhere, give the records of `content.split`."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sluice.formats.json_lines import BOM, Records, read_lines


def chunked(data: bytes, size: int, start: int = 0) -> Iterator[bytes]:
    """Yield what a reader gives to a split that begins at `start`."""
    for at in range(max(start - 1, 0), len(data), size):
        yield data[at : at + size]


def flat(blocks: Iterator[Records]) -> list[tuple[int, bytes]]:
    return [pair for block in blocks for pair in zip(block.offsets, block.records, strict=True)]


def expected(data: bytes) -> list[tuple[int, bytes]]:
    records, at = [], 0
    for line in data.split(b"\n"):
        if line.strip(b"\r\x1e") not in (b"", BOM):
            records.append((at, line))
        at += len(line) + 1
    return records


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b"", []),
        (b"\n", []),
        (b"a", [(0, b"a")]),
        (b"a\n", [(0, b"a")]),
        (b"a\n\nb", [(0, b"a"), (3, b"b")]),
        (b"\n\r\n a \r\n\xff\x00\xfe\n", [(3, b" a \r"), (8, b"\xff\x00\xfe")]),
        (b"\r\r\n\r", []),
        (b" \t\r\n\x1e\r\na\n\x00", [(0, b" \t\r"), (7, b"a"), (9, b"\x00")]),
        (b"\xef\xbb\xbf\r\na\n\xef\xbb\xbf\nb\n", [(5, b"a"), (11, b"b")]),
        (b"a\n\xef\xbb\xbf\r\r\n", [(0, b"a")]),
        (b"\xef\xbb\xbf\x1e\r\na\n\r\xef\xbb\xbf\n", [(6, b"a")]),
        (b"\xef\xbb\xbf \r\n", [(0, b"\xef\xbb\xbf \r")]),
        (b" a\n \n\tb \n", [(0, b" a"), (3, b" "), (5, b"\tb ")]),
        (b"a\x0bb\x0cc\x85d\xe2\x80\xa8e\n", [(0, b"a\x0bb\x0cc\x85d\xe2\x80\xa8e")]),
    ],
)
def test_line_keeps_its_bytes_and_offset(data: bytes, records: list[tuple[int, bytes]]) -> None:
    assert flat(read_lines(chunked(data, 1 << 20))) == records


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_splits_at_any_boundaries_give_every_line_once(size: int) -> None:
    data = b"one\n\ntwo\r\n\r\n\xff\n3\n\n\nfour"
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            bounds = [0, first, second, len(data)]
            records = [
                record
                for start, stop in zip(bounds, bounds[1:], strict=False)
                if start < stop
                for record in flat(read_lines(chunked(data, size, start), start, stop))
            ]
            assert records == expected(data), bounds


@given(
    data=st.lists(
        st.sampled_from([b"\n", b"\r", b"\x1e", b" ", b"a", b"{}", b"\xff", b"\x00", b"long line", BOM])
    ).map(b"".join)
    | st.binary(),
    split=st.integers(1, 40),
    chunk=st.integers(1, 40),
)
@example(data=b"a\nb", split=2, chunk=1)
def test_bytes_in_splits_of_any_size_give_every_line_once(data: bytes, split: int, chunk: int) -> None:
    records = [
        record
        for start in range(0, len(data), split)
        for record in flat(read_lines(chunked(data, chunk, start), start, min(start + split, len(data))))
    ]
    assert records == expected(data)


def test_line_of_20_megabytes_is_one_record() -> None:
    line = b'{"a":"' + b"x" * 20_000_000 + b'"}'
    blocks = list(read_lines(chunked(b"1\n" + line + b"\n2\n", 1 << 20)))
    assert [len(block.records) for block in blocks] == [1, 2]
    assert [list(block.offsets) for block in blocks] == [[0], [2, 3 + len(line)]]
    assert blocks[1].records == [line, b"2"]


def test_split_reads_no_further_than_its_last_line() -> None:
    chunks = iter([b"a\nb", b"b\nc\n", b"never read"])
    assert flat(read_lines(chunks, 0, 3)) == [(0, b"a"), (2, b"bb")]
    assert next(chunks) == b"never read"


def test_offsets_are_a_sequence_that_can_be_pickled() -> None:
    block = next(read_lines([b"a\n\nbb\nc\n"]))
    offsets = pickle.loads(pickle.dumps(block.offsets))
    assert (offsets[0], offsets[-1], offsets[1:], len(offsets)) == (0, 6, [3, 6], 3)
    late = next(read_lines([b"\n\na\n"]))
    assert (late.offsets[0], len(late.offsets)) == (2, 1)


def test_line_of_any_length_is_read_in_pieces_that_fit_into_memory() -> None:
    chunks = (b"x" * (1 << 20) for _ in range(140))
    blocks = list(read_lines(chain(chunks, [b"x\n{}\n"])))
    mib = 1 << 20
    assert [[len(record) for record in block.records] for block in blocks] == [
        [65 * mib],
        [65 * mib],
        [10 * mib + 1, 2],
    ]
    assert [list(block.offsets) for block in blocks] == [[0], [65 * mib], [130 * mib, 140 * mib + 2]]
