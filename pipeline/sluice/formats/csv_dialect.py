"""Head of a CSV file -> its dialect: names of the columns, delimiter, encoding."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from sluice.formats.csv_rows import BOM, RowJoiner
from sluice.provenance import CsvDialect

DELIMITERS = (",", ";", "\t", "|")
WINDOWS = "cp1252"
"""Windows-1252, the encoding of files that are not UTF-8."""

_SAMPLE_ROWS = 20


def detect_dialect(head: bytes, whole: bool) -> CsvDialect | None:
    """Return the dialect of a CSV file that begins with `head`; None if it has no header.

    Args:
        head: the first bytes of the file, decompressed.
        whole: `head` is the whole file.

    """
    samples = {delimiter: _first_rows(head, whole, delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda candidate: _likelihood(samples[candidate], candidate))
    if not samples[delimiter]:
        return None
    encoding = _encoding(b"".join(samples[delimiter]))
    header = samples[delimiter][0].decode(encoding or "utf-8", "replace")
    names = next(csv.reader([header], delimiter=delimiter), [])
    columns = tuple(name.strip() or f"column_{index}" for index, name in enumerate(names, 1))
    return CsvDialect(columns, delimiter, encoding)


def _first_rows(head: bytes, whole: bool, delimiter: str) -> Sequence[bytes]:
    lines = head.removeprefix(BOM).split(b"\n")
    joiner = RowJoiner(delimiter)
    rows = [*joiner.join(0, 1, lines if whole or len(lines) == 1 else lines[:-1]).records]
    return rows + [*joiner.end().records] if whole else rows


def _likelihood(sample: Sequence[bytes], delimiter: str) -> tuple[int, int]:
    """Return how many of the first rows have as many fields as the header, if it has several, and how many."""
    texts = (row.decode("latin-1") for row in sample[:_SAMPLE_ROWS])
    sizes = [len(next(csv.reader([text], delimiter=delimiter), [])) for text in texts]
    return (sum(size == sizes[0] for size in sizes), sizes[0]) if sizes and sizes[0] > 1 else (0, 0)


def _encoding(sample: bytes) -> str:
    """Return the encoding that most characters outside ASCII have; '' if there are none, so that each row decides."""
    if sample.isascii():
        return ""
    utf8 = len(_UTF8.findall(sample))
    other = len(_NOT_ASCII.findall(_UTF8.sub(b"", sample)))
    return "utf-8" if utf8 > other else WINDOWS


_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
