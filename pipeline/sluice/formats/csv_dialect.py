"""Head of a CSV file -> its layout: names of the columns, delimiter, encoding, line ends, decimal commas."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sluice.formats.csv_rows import RowJoiner, RowSyntax
from sluice.formats.json_lines import BOM
from sluice.formats.text_coercion import decimal_mark
from sluice.provenance import CsvDialect

DELIMITERS = (",", ";", "\t", "|")
WINDOWS = "cp1252"
"""Windows-1252, the encoding of files that are not UTF-8."""

_SAMPLE_ROWS = 20


class CsvLayout(NamedTuple):
    """What the first rows of a CSV file tell: how its fields are read, and where its rows end."""

    dialect: CsvDialect
    syntax: RowSyntax


def detect_layout(head: bytes, whole: bool) -> CsvLayout | None:
    """Return the layout of a CSV file that begins with `head`; None if it has no header, or not all of it.

    Args:
        head: the first bytes of the file, decompressed.
        whole: `head` is the whole file.

    """
    text = head.removeprefix(BOM)
    line_end = _line_end(text)
    separator_line = _separator_line(text)
    if separator_line is not None:
        text = text[separator_line.end() :]
    delimiters = DELIMITERS if separator_line is None else (separator_line[1].decode(),)
    samples = {
        delimiter: _first_rows(text, whole, RowSyntax(delimiter, line_end)) for delimiter in delimiters
    }
    delimiter = max(delimiters, key=lambda candidate: _likelihood(samples[candidate], candidate))
    if not samples[delimiter]:
        return None
    header, *rows = samples[delimiter]
    encoding = "utf-8" if head.startswith(BOM) else _encoding(b"".join(samples[delimiter]))
    names = _fields(_decode_header(header), delimiter)
    columns = tuple(name.strip() or f"column_{index}" for index, name in enumerate(names, 1))
    dialect = CsvDialect(columns, delimiter, encoding, _decimal_commas(rows, columns, delimiter))
    leading_rows = 1 if separator_line is None else 2
    return CsvLayout(dialect, RowSyntax(delimiter, line_end, leading_rows, header.rstrip(b"\r")))


def stray_return(header: bytes) -> bool:
    """Tell whether a header has a carriage return outside quotes: its file has mixed line ends, or it is broken."""
    return b"\r" in header and b"\r" in _quoted.sub(b"", header)


def _line_end(text: bytes) -> bytes:
    """Return a carriage return if the header and most other lines end in one alone, outside quotes."""
    if b"\r" not in text:
        return b"\n"
    bare = _quoted.sub(b"", text)
    first = _line_break.search(bare)
    if first is None or first[0] != b"\r":
        return b"\n"
    return b"\r" if len(_lone_return.findall(bare)) > bare.count(b"\n") else b"\n"


def _first_rows(text: bytes, whole: bool, syntax: RowSyntax) -> Sequence[bytes]:
    lines = text.split(syntax.line_end)
    joiner = RowJoiner(syntax)
    rows = [*joiner.join(0, 1, lines if whole else lines[:-1]).records] if whole or len(lines) > 1 else []
    return rows + [*joiner.end().records] if whole else rows


def _likelihood(sample: Sequence[bytes], delimiter: str) -> tuple[int, int]:
    """Return how many of the first rows have as many fields as the header, if it has several, and how many."""
    sizes = [len(_fields(row.decode("latin-1"), delimiter)) for row in sample[:_SAMPLE_ROWS]]
    return (sum(size == sizes[0] for size in sizes), sizes[0]) if sizes and sizes[0] > 1 else (0, 0)


def _fields(row: str, delimiter: str) -> list[str]:
    """Return the fields of a row; one with a carriage return outside quotes is cut at the delimiters alone."""
    try:
        return next(csv.reader([row], delimiter=delimiter), [])
    except csv.Error:
        return row.split(delimiter)


def _decode_header(header: bytes) -> str:
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode(WINDOWS, "replace")


def _encoding(sample: bytes) -> str:
    """Return the encoding that most characters outside ASCII have; '' if there are none, so that each row decides."""
    if sample.isascii():
        return ""
    utf8, other = count_characters(sample)
    return "utf-8" if utf8 >= other else WINDOWS


def count_characters(text: bytes) -> tuple[int, int]:
    """Return how many characters outside ASCII are in UTF-8, and how many bytes outside ASCII are in none of them."""
    return len(_UTF8.findall(text)), len(_NOT_ASCII.findall(_UTF8.sub(b"", text)))


def _decimal_commas(rows: Iterable[bytes], columns: Sequence[str], delimiter: str) -> tuple[str, ...]:
    """Return the columns with a number that has a decimal comma.

    If there are any, the points of other columns may stand between thousands, too, unless one is certainly decimal.
    """
    texts = b"\n".join(rows)
    if _maybe_decimal_comma[delimiter == ","](texts) is None:
        return ()
    width = len(columns)
    marked: defaultdict[str, set[int]] = defaultdict(set)
    for row in rows:
        fields = _fields(row.decode("latin-1"), delimiter)
        if len(fields) == width:
            for index, field in enumerate(fields):
                marked[decimal_mark(field)].add(index)
    found = marked[","]
    if found:
        found |= marked["?"] - marked["."]
    return tuple(columns[index] for index in sorted(found))


_separator_line = re.compile(
    rb'"?sep=([\x01-\x09\x0b\x0c\x0e-!#-\x7e])"?[ \t]*(?:\r\n|\n|\r|\Z)', re.IGNORECASE
).match
"""The first line by which Excel tells the delimiter."""
_quoted = re.compile(rb'"[^"]*+"')
_line_break = re.compile(rb"\r\n|\r|\n")
_lone_return = re.compile(rb"\r(?!\n)")
_maybe_decimal_comma = (
    re.compile(rb"[0-9],[0-9]|[0-9]\.[0-9]{3}\.").search,
    re.compile(rb'"[^",]*[0-9],[0-9]{1,2}"|[0-9]\.[0-9]{3}\.').search,
)
"""Cheap tests of all rows at once; the second is for files whose delimiter is the comma."""
_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
