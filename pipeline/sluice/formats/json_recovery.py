"""What is left of a JSON document behind a break: a broken value costs itself, not all that follows.

Brackets no longer show where one value ends and the next begins, but what JSON excludes does:

- a line that begins exactly as the broken value's line began, with `{` behind the same indentation, is the next value;
- an object that ends with its line, and is JSON, is whole, whatever follows;
- outside an array, `}` and `{` with neither a comma, a colon nor a quote between them is the border of two objects,
  since neither an object nor an array may contain that outside a string. A part that is no JSON is joined to its
  neighbours that are none either, for such a border within a string is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from sluice.formats.json_lines import Records
from sluice.formats.json_syntax import end_of_brackets, is_json

MAX_ELEMENT_BYTES = 64 << 20
"""An element that has not ended after this many bytes counts as broken, since it has to fit into memory."""

BLANK = b" \t\n\r"
BETWEEN = BLANK + b",\x00\x1e\xef\xbb\xbf"
"""What may separate documents: blanks, commas, NUL, the record separator of RFC 7464, byte order marks."""

NOT_CLOSED = b"["
"""The record that reports an array which the end of the file cut between two elements: its opening bracket."""

_LINE = rb"\n(?>(?:[\x00\x1e]|\xef\xbb\xbf)*)"
_LEAD = re.compile(rb"(?>(?:[ \t\n\r,\x00\x1e]|\xef\xbb\xbf)*)(?=\{)")
_OPENS_OBJECT = rb'(?=\{[ \t]*+(?:["}]|\r?\n[ \t]))'
"""Not a brace that stands alone without an indented line below: with all lines at the margin, it may be nested."""

_ends_line = re.compile(rb"\}[ \t\r,\x00\x1e\xef\xbb\xbf]*+\n")
_border = re.compile(rb'(\}|\A)[^{}\[\]":,]*+(?=\{|\Z)')


class _Trimmed(NamedTuple):
    at: int
    record: bytes
    closed: bool
    """The bracket that closes the array stood behind it."""


def read_at_least(stream: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield chunks of more than `size` bytes: the scans of a long element then cost one pass in total."""
    for chunk in stream:
        yield chunk
        size -= len(chunk)
        if size < 0:
            return


def recover(rest: bytes, stream: Iterator[bytes], base: int, array: int | None) -> Iterator[Records]:
    """Yield the records of a document from a broken value on; all bytes but separators are in one of them.

    If an array ends with the file, behind a complete element, the last record is NOT_CLOSED.

    Args:
        rest: what was read and belongs to no record; the broken value begins in it.
        stream: the chunks that follow.
        base: offset of `rest` in the document.
        array: offset of the bracket of the array that the value is in; None outside arrays.

    """
    next_value = _next_value(rest, base, array is not None)
    buffer, unclosed, is_cut = rest, array is not None, False
    while True:
        more = b"".join(read_at_least(stream, len(buffer)))
        buffer += more
        first = len(buffer) - len(buffer.lstrip(BLANK))
        cuts = [match.start() for match in next_value.finditer(buffer, first)] if next_value else []
        stop = len(buffer) if not more else cuts[-1] if cuts else 0
        pieces: list[tuple[int, bytes]] = []
        for start, end in pairwise([0, *(cut for cut in cuts if cut < stop), stop]):
            for at, record, closed in _values(buffer[start:end], array is not None):
                pieces.append((base + start + at, record))
                unclosed = array is not None and not closed and not is_cut and is_json(record)
                is_cut = False
        base, buffer = base + stop, buffer[stop:]
        while len(buffer) > MAX_ELEMENT_BYTES:
            pieces.append((base, buffer[:MAX_ELEMENT_BYTES]))
            base, buffer, is_cut = base + MAX_ELEMENT_BYTES, buffer[MAX_ELEMENT_BYTES:], True
        if not more and unclosed and array is not None:
            pieces.append((array, NOT_CLOSED))
        if pieces:
            yield Records([record for _, record in pieces], [at for at, _ in pieces])
        if not more:
            return


def _next_value(rest: bytes, base: int, inside: bool) -> re.Pattern[bytes] | None:
    """Return how the line of the next value begins; None if the broken one does not begin its line."""
    if not inside:
        match = _LEAD.match(rest)
        lead = match[0] if match else b""
        margin = lead[len(lead.rstrip(b" \t")) :]
        return re.compile(_LINE + re.escape(margin) + _OPENS_OBJECT)
    blanks = rest[: len(rest) - len(rest.lstrip(BLANK))]
    _, line_feed, margin_in_line = blanks.rpartition(b"\n")
    if not line_feed and base:
        return None
    return re.compile(_LINE + re.escape(margin_in_line) + _OPENS_OBJECT)


def _values(piece: bytes, inside: bool) -> Iterator[_Trimmed]:
    """Yield the values between two lines that begin values."""
    end = _end_of_whole_object(piece, inside)
    if end:
        yield _trim(piece[:end], inside)
    for part in _parts(piece[end:], inside):
        yield _at(end, part)


def _end_of_whole_object(piece: bytes, inside: bool) -> int:
    """Return where the lines of the first object end if it is JSON, and more than the array's end follows; else 0."""
    begin = len(piece) - len(piece.lstrip(BETWEEN))
    may_end = piece[begin : begin + 1] == b"{" and _ends_line.search(piece)
    end = end_of_brackets(piece, begin) if may_end else None
    if end is None:
        return 0
    blanks, line_feed, rest = piece[end:].partition(b"\n")
    rest = rest.strip(BETWEEN)
    is_last = not rest or (inside and rest.startswith(b"]"))
    is_whole = line_feed and not is_last and not blanks.strip(BETWEEN) and is_json(piece[begin:end])
    return end + len(blanks) + 1 if is_whole else 0


def _parts(piece: bytes, inside: bool) -> Iterator[_Trimmed]:
    """Yield what the borders of objects separate."""
    matches = [] if inside else list(_border.finditer(piece))
    borders = [at for match in matches for at in (match.end(1), match.end())]
    begin: int | None = None  # of neighbouring parts that are no JSON
    for start, end in pairwise([0, *borders, len(piece)]):
        part = _trim(piece[start:end], inside)
        if not part.record:
            continue
        if borders and not is_json(part.record):
            begin = start if begin is None else begin
            continue
        if begin is not None:
            yield _at(begin, _trim(piece[begin:start], inside))
            begin = None
        yield _at(start, part)
    if begin is not None:
        yield _at(begin, _trim(piece[begin:], inside))


def _at(start: int, part: _Trimmed) -> _Trimmed:
    return part._replace(at=start + part.at)


def _trim(piece: bytes, inside: bool) -> _Trimmed:
    """Return the value in a piece without the separators around it, and without the bracket that closes the array."""
    lead = piece.lstrip(BLANK if inside else BETWEEN)
    record = lead.rstrip(BLANK)
    if not record.startswith(b"{"):
        return _Trimmed(len(piece) - len(lead), record, False)
    record = record.rstrip(BETWEEN)
    if inside and record.endswith(b"]") and is_json(record[:-1].rstrip(BETWEEN)):
        return _Trimmed(len(piece) - len(lead), record[:-1].rstrip(BETWEEN), True)
    return _Trimmed(len(piece) - len(lead), record, False)
