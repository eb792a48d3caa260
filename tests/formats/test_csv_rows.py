"""CSV rows: their bytes, offsets and lines."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.formats.csv_rows import MAX_ROW_LINES, RowSyntax, find_row_starts, read_rows


def rows(data: bytes, size: int = 7, delimiter: str = ",") -> list[tuple[bytes, int, int]]:
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    return [
        row
        for block in read_rows(chunks, RowSyntax(delimiter))
        for row in zip(block.records, block.offsets, block.lines, strict=True)
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"h\n1\n2\n", [(b"1", 2, 2), (b"2", 4, 3)]),
        (b"h\r\n1\r\n\r\n2", [(b"1\r", 3, 2), (b"2", 8, 4)]),
        (b"\xef\xbb\xbfh\n1\n", [(b"1", 5, 2)]),
        (b'\xef\xbb\xbf"h\nh"\n1\n', [(b"1", 9, 3)]),
        (b'h\n"a\nb",1\n2\n', [(b'"a\nb",1', 2, 2), (b"2", 10, 4)]),
        (b'h\n"a\r\n""b""\n",1\n2\n', [(b'"a\r\n""b""\n",1', 2, 2), (b"2", 16, 5)]),
        (b'h\n1,"a\n",2,"b\nc"\n3\n', [(b'1,"a\n",2,"b\nc"', 2, 2), (b"3", 17, 5)]),
        (b'h\n1,"a\n2,b\n3,c\n', [(b'1,"a', 2, 2), (b"2,b", 7, 3), (b"3,c", 11, 4)]),
        (b'h\n1,"a\n2,"b"\n3,"c\nd"\n', [(b'1,"a', 2, 2), (b'2,"b"', 7, 3), (b'3,"c\nd"', 13, 4)]),
        (b'h\n1,12" TV\n2,b\n', [(b'1,12" TV', 2, 2), (b"2,b", 11, 3)]),
        (b'h\n1,"a"b\n2,b\n', [(b'1,"a"b', 2, 2), (b"2,b", 9, 3)]),
        (b"h\n", []),
        (b"", []),
        (b"h", []),
    ],
)
def test_row_keeps_its_bytes_offset_and_line(data: bytes, expected: list[tuple[bytes, int, int]]) -> None:
    for size in (1, 2, 3, 7, 100):
        assert rows(data, size) == expected


def syntax_rows(data: bytes, syntax: RowSyntax) -> list[tuple[bytes, int, int]]:
    return [
        row
        for size in (1, 3, 100)
        for block in read_rows([data[at : at + size] for at in range(0, len(data), size)], syntax)
        for row in zip(block.records, block.offsets, block.lines, strict=True)
    ]


@pytest.mark.parametrize(
    ("data", "syntax", "expected"),
    [
        (b'h\r1\r"a\n\rb"\r\r2', RowSyntax(",", b"\r"), [(b"1", 2, 2), (b'"a\n\rb"', 4, 3), (b"2", 12, 6)]),
        (b"sep=;\r\nh;i\r\n1;2\r\n", RowSyntax(";", b"\n", 2), [(b"1;2\r", 12, 3)]),
        (
            b"\xef\xbb\xbfh\n1\n\xef\xbb\xbfh\r\n2\n",
            RowSyntax(",", header=b"h"),
            [(b"1", 5, 2), (b"2", 13, 4)],
        ),
        (b"h\n\xef\xbb\xbf1\nh\n", RowSyntax(",", header=b"h"), [(b"1", 5, 2), (b"h", 7, 3)]),
        (b'h\n"\n\xef\xbb\xbf"\n', RowSyntax(",", header=b"h"), [(b'"\n\xef\xbb\xbf"', 2, 2)]),
        (b"h\n \n\r\r\n1\n", RowSyntax(","), [(b" ", 2, 2), (b"\r\r", 4, 3), (b"1", 7, 4)]),
    ],
    ids=["carriage returns", "sep line", "joined files", "header as a row", "mark in quotes", "blanks"],
)
def test_rows_of_each_syntax_keep_their_places(
    data: bytes, syntax: RowSyntax, expected: list[tuple[bytes, int, int]]
) -> None:
    assert syntax_rows(data, syntax) == expected * 3


def test_quote_that_never_closes_breaks_only_its_own_line() -> None:
    data = b'h\n"a\n' + b"x\n" * (MAX_ROW_LINES + 5)
    parsed = rows(data, 4096)
    assert [record for record, _, _ in parsed[:2]] == [b'"a', b"x"]
    assert len(parsed) == MAX_ROW_LINES + 6


FIELDS = st.text(st.sampled_from('ab,;"\n\r '), max_size=6)


@given(st.lists(st.lists(FIELDS, min_size=2, max_size=2), min_size=1, max_size=8), st.integers(1, 9))
def test_rows_of_a_csv_writer_are_read_back(table: list[list[str]], size: int) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([["h", "i"], *table])
    parsed = rows(text.getvalue().encode(), size)
    assert [next(csv.reader([record.decode()])) for record, _, _ in parsed] == table
    assert [text.getvalue().encode()[at : at + len(record)] for record, at, _ in parsed] == [
        r for r, _, _ in parsed
    ]


@given(
    st.lists(st.sampled_from([b'"', b",", b"a", b"\n", b"\r", b'""', b'",', b'"\n']), max_size=30),
    st.integers(1, 9),
)
def test_every_line_of_any_bytes_is_in_a_row(pieces: list[bytes], size: int) -> None:
    data = b"h\n" + b"".join(pieces)
    joined = b"\n".join(record for record, _, _ in rows(data, size))
    nonempty = [line for line in data.split(b"\n")[1:] if line not in (b"", b"\r")]
    assert [line for line in joined.split(b"\n") if line not in (b"", b"\r")] == nonempty
    assert rows(data, size) == rows(data, 1000)


def test_splits_at_row_starts_give_every_row_once() -> None:
    body = b"".join(b'%d,"a\nb"\n%d,c\n' % (number, number) for number in range(300))
    data = b"h,i\n" + body
    chunks = [data[at : at + 50] for at in range(0, len(data), 50)]
    starts = find_row_starts(chunks, RowSyntax(","), 500)
    assert len(starts) > 5
    stops = [*(start.offset for start in starts[1:]), len(data)]
    records = []
    for start, stop in zip(starts, stops, strict=True):
        tail = [data[max(start.offset - 1, 0) :]]
        for block in read_rows(tail, RowSyntax(","), start, stop):
            records += list(zip(block.records, block.offsets, block.lines, strict=True))
    assert records == rows(data)
