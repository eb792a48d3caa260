"""JSON documents: an array's elements, or objects one after the other with blanks, commas or nothing between them.

Only brackets and strings delimit elements, so a malformed element is one record and the elements beside it stay whole.
Whether a record is JSON is checked when it is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from sluice.formats.json_lines import BOM, Records
from sluice.formats.json_recovery import (
    BETWEEN,
    BLANK,
    MAX_ELEMENT_BYTES,
    NOT_CLOSED,
    read_at_least,
    recover,
)
from sluice.formats.json_syntax import STRING, end_of_brackets, is_json

_DEPTH = 16
"""Nesting that the fast pattern follows; deeper elements are found by counting brackets, half as fast."""

_SPACE = rb"[ \t\n\r]*+"
_BETWEEN = rb"[ \t\n\r,\x00\x1e]*+(?>(?:\xef\xbb\xbf[ \t\n\r,\x00\x1e]*+)*)"
"""What separates documents: blanks, commas, NUL, the record separator of RFC 7464, byte order marks of joined files."""


def _bracketed(depth: int) -> bytes:
    """Return a pattern for a balanced object or array; possessive, as that of strings."""
    plain = rb'[^"{}\[\]]*+'
    pattern = rb"(?!)"
    for _ in range(depth):
        pattern = rb"[{\[]" + plain + rb"(?>(?:(?:" + STRING + rb"|" + pattern + rb")" + plain + rb")*)[}\]]"
    return pattern


_VALUE = rb"(" + _bracketed(_DEPTH) + rb"|" + STRING + rb'|[^ \t\n\r,\[\]{}"]++)'
_SEPARATOR = rb"(?:,|(?=\]))"
_spaces = re.compile(_SPACE)
_between = re.compile(_BETWEEN)
_value = re.compile(_VALUE, re.DOTALL)
_element = re.compile(_SPACE + _VALUE + _SPACE + _SEPARATOR, re.DOTALL)
_object = re.compile(_BETWEEN + rb"(?=\{)" + _VALUE, re.DOTALL)
_separator = re.compile(_SPACE + _SEPARATOR)
_next_object = re.compile(_SPACE + rb"(?=\{)")
_opening = re.compile(_BETWEEN + rb"\[")
_closing = re.compile(_SPACE + rb"\]")
_only_opens = re.compile(rb"\{|\[[ \t]*\{?")
_array_of_objects = re.compile(rb"\[[ \t\r]*\{")
_followed = re.compile(_BETWEEN + rb"[\[{]")


@dataclass(slots=True)
class _Scan:
    """State of the scan of a document. The scan of the buffer is complete up to `at`."""

    base: int
    """Offset of the buffer in the document."""
    array: int | None = None
    """Offset of the bracket that opened the top-level array in which the scan is."""
    at: int = 0
    broken: bool = False
    records: list[bytes] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def take(self, buffer: bytes) -> None:
        """Read the values of `buffer` that end within it, and where the arrays begin and end."""
        while not self.broken:
            pattern = _object if self.array is None else _element
            scanner = pattern.scanner(buffer, self.at)  # type: ignore[attr-defined]  # typeshed lacks it
            while (match := scanner.match()) is not None:
                self.records.append(match[1])
                self.starts.append(match.start(1))
                self.at = match.end()
            bracket = (_opening if self.array is None else _closing).match(buffer, self.at)
            if bracket is not None:
                self.array = self.base + bracket.end() - 1 if self.array is None else None
                self.at = bracket.end()
            elif not self._take_value(buffer):
                return

    def _take_value(self, buffer: bytes) -> bool:
        """Take a value that the patterns do not match; return False if it needs more bytes, or is broken.

        It is too deep for them, or has no comma behind it.
        """
        inside = self.array is not None
        spaces = (_spaces if inside else _between).match(buffer, self.at)
        at = spaces.end() if spaces is not None else self.at
        if at == len(buffer):
            return False
        end = _end_of_value(buffer, at, inside)
        if end is None:
            return False
        if end == at:  # no value begins here
            self.broken = True
            return False
        self.records.append(buffer[at:end])
        self.starts.append(at)
        if inside:
            separator = _separator.match(buffer, end)
            if separator is None and _spaces.fullmatch(buffer, end):
                self.records.pop()
                self.starts.pop()
                return False
            is_next = buffer[at] == ord("{") and _next_object.match(buffer, end) is not None
            self.broken = separator is None and not is_next
            end = separator.end() if separator is not None else end
        self.at = end
        return True


def _end_of_value(buffer: bytes, at: int, inside: bool) -> int | None:
    """Return where the value at `at` ends; None: not within `buffer`; `at` itself: no value begins there."""
    if buffer[at] not in b"{[":
        match = _value.match(buffer, at) if inside else None
        if match is None and inside and buffer[at] == ord('"'):
            return None
        return at if match is None else match.end()
    return end_of_brackets(buffer, at)


def read_document(chunks: Iterable[bytes], start: int = 0, stop: int | None = None) -> Iterator[Records]:
    """Yield the elements of the arrays, and the objects, that follow each other; each record's bytes exactly.

    A value that does not end is a broken record; see `json_recovery` for what follows it. An array that ends with the
    file, between two elements, is one more record: its opening bracket. Memory holds about two chunks, or the longest
    element.

    Args:
        chunks: the whole document, in pieces of any size.
        start: always 0, a document cannot be split.
        stop: not used.

    """
    scan, rest = _Scan(start), b""
    stream = iter(chunks)
    while buffer := b"".join((rest, *read_at_least(stream, max(len(rest), len(BOM))))):
        scan.broken = len(buffer) == len(rest)  # the file ended within a value
        scan.take(buffer)
        if scan.records:
            yield Records(scan.records, [scan.base + begin for begin in scan.starts])
        base, rest = scan.base + scan.at, buffer[scan.at :]
        if scan.broken or len(rest) > MAX_ELEMENT_BYTES:
            yield from recover(rest, stream, base, scan.array)
            return
        scan = _Scan(base, scan.array)
    if scan.array is not None:
        yield Records([NOT_CLOSED], [scan.array])


def is_document(head: bytes, whole: bool) -> bool:
    """Tell from the first bytes of a file whether it is a document; if not, it is JSON lines.

    If it could be both, it is lines: a broken line is one dead letter, but so is all that follows in a broken document.

    Args:
        head: first bytes of the file.
        whole: whether `head` is the whole file.

    """
    text = head.lstrip(BETWEEN)
    first, ended, rest = text.partition(b"\n")
    first = first.rstrip(BETWEEN)
    if not first.startswith((b"{", b"[")):
        return whole and not text and head.startswith(BOM)
    array_of_objects = _array_of_objects.match(first) is not None
    if not ended and not whole:
        return array_of_objects or _is_followed(text)
    if is_json(first):  # an array is a document, but several arrays of anything but objects are lines
        is_array = first.startswith(b"[") and not rest.strip(BETWEEN)
        return array_of_objects or is_array or (whole and _is_partly_printed(text))
    end = _end_of_value(text, 0, False)
    if end is not None and (end <= len(first) or is_json(text[:end])):
        # If not, it is a line with something behind its value.
        return end > len(first) or array_of_objects or (whole and _is_partly_printed(text))
    lines = [line.rstrip(BLANK) for line in rest.split(b"\n")[: None if whole else -1] if line.strip(BLANK)]
    opens = _only_opens.fullmatch(first) is not None
    if first.startswith(b"{"):
        return opens and not any(map(_is_object, lines))
    element = _array_of_objects.match(text) and _element.match(text, 1)
    return (bool(element) or opens) and not _cannot_be_in_an_array([first, *lines], whole)


def _is_partly_printed(text: bytes) -> bool:
    """Tell whether all of a file are objects, of which the first is on a line, and others are on several."""
    if b"\n}" not in text:
        return False
    records = [record for block in read_document([text]) for record in block.records]
    return all(record.startswith(b"{") and is_json(record) for record in records)


def _is_followed(text: bytes) -> bool:
    """Tell whether another value begins behind the first one, with nothing that ends a line between them."""
    end = _end_of_value(text, 0, False)
    return end is not None and _followed.match(text, end) is not None


def _cannot_be_in_an_array(lines: list[bytes], whole: bool) -> bool:
    """Tell whether an object ends a line, without a comma, and another one or the end of the file follows."""
    objects = [_is_object(line) for line in lines]
    if whole and objects[-1] and not lines[-2].endswith(b","):
        return True
    return any(current and following for current, following in pairwise(objects))


def _is_object(line: bytes) -> bool:
    return line.startswith(b"{") and is_json(line)
