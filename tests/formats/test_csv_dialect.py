"""Dialects of CSV files, from how they begin."""

from __future__ import annotations

import pytest
from sluice.formats.csv_dialect import CsvLayout, detect_layout
from sluice.formats.csv_rows import RowSyntax
from sluice.provenance import CsvDialect


@pytest.mark.parametrize(
    ("head", "dialect"),
    [
        (b"a,b\n1,2\n", CsvDialect(("a", "b"), ",", "")),
        (b"a;b\n1,5;2,5\n", CsvDialect(("a", "b"), ";", "", ("a", "b"))),
        (b"a\tb,c\n1\t2\n", CsvDialect(("a", "b,c"), "\t", "")),
        (b"a|b|c\n1|2|3\n", CsvDialect(("a", "b", "c"), "|", "")),
        (b"name;note\nx;a,b\ny;c,d\n", CsvDialect(("name", "note"), ";", "")),
        (b'"a,b";c\n1;2\n', CsvDialect(("a,b", "c"), ";", "")),
        (b"a\n1\n", CsvDialect(("a",), ",", "")),
        (b"\xef\xbb\xbfa,b\n1,\xc3\xa9\n", CsvDialect(("a", "b"), ",", "utf-8")),
        (b"a,b\n1,caf\xe9\n", CsvDialect(("a", "b"), ",", "cp1252")),
        (b"pr\xe9nom;b\n1;2\n", CsvDialect(("pr\u00e9nom", "b"), ";", "cp1252")),
        (b" a , \n1,2\n", CsvDialect(("a", "column_2"), ",", "")),
        (b"", None),
        (b"\n\n", None),
    ],
)
def test_dialect_is_detected_from_the_head_of_a_file(head: bytes, dialect: CsvDialect | None) -> None:
    layout = detect_layout(head, True)
    assert (None if layout is None else layout.dialect) == dialect


def layout_of(head: bytes) -> CsvLayout:
    layout = detect_layout(head, True)
    assert layout is not None
    return layout


@pytest.mark.parametrize(
    ("head", "syntax"),
    [
        (b"a,b\r\n1,2\r\n", RowSyntax(",", b"\n", 1, b"a,b")),
        (b"a,b\r1,2\r3,4", RowSyntax(",", b"\r", 1, b"a,b")),
        (b'a,b\r"x\ny",2\r"\n\n\n",4\r', RowSyntax(",", b"\r", 1, b"a,b")),
        (b'a,b\n"x\r\r\ry",2\n', RowSyntax(",", b"\n", 1, b"a,b")),
        (b"a,b\n1,2\r3,4\n", RowSyntax(",", b"\n", 1, b"a,b")),
        (b"a,b\n1,2\r3,4\r", RowSyntax(",", b"\n", 1, b"a,b")),
        (b'"a\r",b\r\n1,2\r3,4\r5,6\r', RowSyntax(",", b"\n", 1, b'"a\r",b')),
        (b"a,b\rc\n1,2\n3,4\n", RowSyntax(",", b"\n", 1, b"a,b\rc")),
        (b"sep=;\r\na;b\r\n1;2\r\n", RowSyntax(";", b"\n", 2, b"a;b")),
        (b'\xef\xbb\xbf"SEP=^"\na^b\n1,1,1^2\n', RowSyntax("^", b"\n", 2, b"a^b")),
        (b"sep=\t\ra\tb\r1\t2\r", RowSyntax("\t", b"\r", 2, b"a\tb")),
        (b"sep=x,b\n1,2\n", RowSyntax(",", b"\n", 1, b"sep=x,b")),
    ],
)
def test_syntax_is_detected_from_the_head_of_a_file(head: bytes, syntax: RowSyntax) -> None:
    assert layout_of(head).syntax == syntax


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (b"1;2.50\n", ()),
        (b"1,5;2.50\n", ("a",)),
        (b"1;1.234,50\n2;1.234\n", ("b",)),
        (b"1;1.234.567\n", ("b",)),
        (b"1,234;1,234.50\n", ()),
        (b'1;"2,5"\n', ("b",)),
        (b"1;x1,5\n", ()),
        (b"1;1.234\n", ()),
        (b"1,5;1.234\n", ("a", "b")),
        (b"1.234;1.234.567\n", ("a", "b")),
        (b"1,5;1.234\n1,5;12.5\n", ("a",)),
        (b"1,5;1.234\n1,5;0.125\n", ("a",)),
        (b"1,5;1.234\n1,5;1,234.50\n", ("a",)),
        (b"1,5;31.12.2025\n", ("a",)),
        (b"1,5;12\n", ("a",)),
    ],
)
def test_decimal_commas_are_detected_by_column(rows: bytes, columns: tuple[str, ...]) -> None:
    assert layout_of(b"a;b\n" + rows).dialect.decimal_commas == columns
    assert layout_of(b"a,b\n1,2\n3,5\n").dialect.decimal_commas == ()
    assert layout_of(b'a,b\n1,"2,5"\n').dialect.decimal_commas == ("b",)


@pytest.mark.parametrize(
    ("rows", "encoding"),
    [
        (b"1;2", ""),
        (b"\xc3\xa9;1", "utf-8"),
        (b"\xe9;1", "cp1252"),
        (b"\xc3\xa9;1\n\xe9;1", "utf-8"),
        (b"\xc3\xa9;1\n\xe9\xe9;1", "cp1252"),
    ],
)
def test_encoding_is_that_of_most_characters_or_of_the_byte_order_mark(rows: bytes, encoding: str) -> None:
    assert layout_of(b"a;b\n" + rows).dialect.encoding == encoding
    assert layout_of(b"\xef\xbb\xbfa;b\n" + rows).dialect.encoding == "utf-8"


@pytest.mark.parametrize("head", [b"a,b" * 100, b'"a,b\n1,2\n', b""])
def test_header_that_does_not_end_in_the_head_is_no_layout(head: bytes) -> None:
    assert detect_layout(head, False) is None
