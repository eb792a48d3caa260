"""Dialects of CSV files, from how they begin."""

from __future__ import annotations

import pytest
from sluice.formats.csv_dialect import detect_dialect
from sluice.provenance import CsvDialect


@pytest.mark.parametrize(
    ("head", "dialect"),
    [
        (b"a,b\n1,2\n", CsvDialect(("a", "b"), ",", "")),
        (b"a;b\n1,5;2,5\n", CsvDialect(("a", "b"), ";", "")),
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
    assert detect_dialect(head, True) == dialect
