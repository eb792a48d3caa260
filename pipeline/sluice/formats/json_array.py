"""JSON documents: an array's elements, or objects printed over several lines, one after the other.

Only brackets and strings delimit elements, so a malformed element is one record and the elements beside it stay whole.
Whether a record is JSON is checked when it is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec

from sluice.formats.json_lines import Records

MAX_ELEMENT_BYTES = 64 << 20
"""An element that has not ended after this many bytes counts as broken, since it has to fit into memory."""

_DEPTH = 16
"""Nesting that the fast pattern follows; deeper elements are found by counting brackets, half as fast."""

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\n\r"
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_SPACE = rb"[ \t\n\r]*+"
_STRING = rb'"(?:[^"\\]++|\\.)*+"'


def _bracketed(depth: int) -> bytes:
    """Return a pattern for a balanced object or array; possessive, so a failure costs one pass, too."""
    plain = rb'[^"{}\[\]]*+'
    pattern = rb"(?!)"
    for _ in range(depth):
        pattern = rb"[{\[]" + plain + rb"(?:(?:" + _STRING + rb"|" + pattern + rb")" + plain + rb")*+[}\]]"
    return pattern


_VALUE = rb"(" + _bracketed(_DEPTH) + rb"|" + _STRING + rb'|[^ \t\n\r,\[\]{}"]++)'
_SEPARATOR = rb"(?:,|(?=\]))"
_spaces = re.compile(_SPACE)
_value = re.compile(_VALUE, re.DOTALL)
_element = re.compile(_SPACE + _VALUE + _SPACE + _SEPARATOR, re.DOTALL)
_object = re.compile(_SPACE + rb"(?=\{)" + _VALUE, re.DOTALL)
_separator = re.compile(_SPACE + _SEPARATOR)
_opening = re.compile(_SPACE + rb"\[")
_closing = re.compile(_SPACE + rb"\]")
_tokens = re.compile(_STRING + rb'|[{}\[\]"]', re.DOTALL)
_only_opens = re.compile(rb"\{|\[[ \t]*\{?")
_array_of_objects = re.compile(rb"\[[ \t\r]*\{")


@dataclass(slots=True)
class _Scan:
    """State of the scan of a document. The scan of the buffer is complete up to `at`."""

    inside: bool = False
    """Within a top-level array."""
    at: int = 0
    broken: bool = False
    records: list[bytes] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def take(self, buffer: bytes) -> None:
        """Read the values of `buffer` that end within it, and where the arrays begin and end."""
        while not self.broken:
            scanner = (_element if self.inside else _object).scanner(buffer, self.at)  # type: ignore[attr-defined]
            while (match := scanner.match()) is not None:
                self.records.append(match[1])
                self.starts.append(match.start(1))
                self.at = match.end()
            bracket = (_closing if self.inside else _opening).match(buffer, self.at)
            if bracket is not None:
                self.inside = not self.inside
                self.at = bracket.end()
            elif not self._take_deep_value(buffer):
                return

    def _take_deep_value(self, buffer: bytes) -> bool:
        """Take a value that is too deep for the pattern; return False if it needs more bytes, or is broken."""
        spaces = _spaces.match(buffer, self.at)
        self.at = spaces.end() if spaces is not None else self.at
        if self.at == len(buffer):
            return False
        end = _end_of_value(buffer, self.at, self.inside)
        if end is None:
            return False
        if end == self.at:  # no value begins here
            self.broken = True
            return False
        separator = _separator.match(buffer, end) if self.inside else _spaces.match(buffer, end)
        if separator is None and not buffer[end:].strip(_BLANK):
            return False
        self.records.append(buffer[self.at : end])
        self.starts.append(self.at)
        self.at = separator.end() if separator is not None else end
        self.broken = separator is None
        return True


def _end_of_value(buffer: bytes, at: int, inside: bool) -> int | None:
    """Return where the value at `at` ends; None: not within `buffer`; `at` itself: no value begins there."""
    if buffer[at] not in b"{[":
        match = _value.match(buffer, at) if inside else None
        if match is None and inside and buffer[at] == ord('"'):
            return None
        return at if match is None else match.end()
    depth = 0
    for token in _tokens.finditer(buffer, at):
        character = buffer[token.start()]
        if character == ord('"') and token.end() == token.start() + 1:
            return None  # a string that does not end
        depth += (character in b"{[") - (character in b"}]")
        if depth == 0:
            return token.end()
    return None


def read_document(chunks: Iterable[bytes], start: int = 0, stop: int | None = None) -> Iterator[Records]:
    """Yield the elements of the arrays, and the objects, that follow each other; each record's bytes exactly.

    Where the structure breaks, the elements before it are records and the rest of the file is one more record,
    cut only if it is longer than MAX_ELEMENT_BYTES. Memory holds about two chunks, or the longest element.

    Args:
        chunks: the whole document, in pieces of any size.
        start: always 0, a document cannot be split.
        stop: not used.

    """
    scan, base, rest = _Scan(), start, b""
    stream = iter(chunks)
    while buffer := b"".join((rest, *_at_least(stream, max(len(rest), len(_BOM))))):
        if len(buffer) == len(rest):
            scan.broken = True  # the file ended within a value
        if base == 0 and buffer.startswith(_BOM) and scan.at == 0:
            scan.at = len(_BOM)
        scan.take(buffer)
        if scan.records:
            yield Records(scan.records, [base + begin for begin in scan.starts])
        base, rest = base + scan.at, buffer[scan.at :]
        if scan.broken or len(rest) > MAX_ELEMENT_BYTES:
            yield from _remainder(rest, stream, base)
            return
        scan = _Scan(inside=scan.inside)


def _at_least(stream: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield chunks of more than `size` bytes: the scans of a long element then cost one pass in total."""
    for chunk in stream:
        yield chunk
        size -= len(chunk)
        if size < 0:
            return


def _remainder(rest: bytes, stream: Iterator[bytes], base: int) -> Iterator[Records]:
    pieces = [rest.lstrip(_BLANK)]
    size = len(pieces[0])
    base += len(rest) - size
    for chunk in stream:
        pieces.append(chunk)
        size += len(chunk)
        if size > MAX_ELEMENT_BYTES:
            piece = b"".join(pieces)
            yield Records([piece[:MAX_ELEMENT_BYTES]], [base])
            base += MAX_ELEMENT_BYTES
            pieces, size = [piece[MAX_ELEMENT_BYTES:]], size - MAX_ELEMENT_BYTES
    last = b"".join(pieces).rstrip(_BLANK)
    if last:
        yield Records([last], [base])


def is_document(head: bytes, whole: bool) -> bool:
    """Tell from the first bytes of a file whether it is a document; if not, it is JSON lines.

    If it could be both, it is lines: a broken line is one dead letter, but so is all that follows in a broken document.

    Args:
        head: first bytes of the file.
        whole: whether `head` is the whole file.

    """
    text = head.removeprefix(_BOM).lstrip(_BLANK)
    first, ended, rest = text.partition(b"\n")
    first = first.rstrip(_BLANK)
    if not first.startswith((b"{", b"[")):
        return False
    if not ended and not whole:
        return _array_of_objects.match(first) is not None
    if _is_json(first):  # a whole array on one line is a document, several of them are lines
        return first.startswith(b"[") and not rest.strip(_BLANK)
    end = _end_of_value(text, 0, False)
    if end is not None and (end <= len(first) or _is_json(text[:end])):
        return end > len(first)  # else it is a line with something behind its value
    lines = [line.rstrip(_BLANK) for line in rest.split(b"\n")[: None if whole else -1] if line.strip(_BLANK)]
    opens = _only_opens.fullmatch(first) is not None
    if first.startswith(b"{"):
        return opens and not any(map(_is_object, lines))
    element = _array_of_objects.match(text) and _element.match(text, 1)
    return (bool(element) or opens) and not _cannot_be_in_an_array([first, *lines], whole)


def _cannot_be_in_an_array(lines: list[bytes], whole: bool) -> bool:
    """Tell whether an object ends a line, without a comma, and another one or the end of the file follows."""
    objects = [_is_object(line) for line in lines]
    if whole and objects[-1] and not lines[-2].endswith(b","):
        return True
    return any(current and following for current, following in pairwise(objects))


def _is_object(line: bytes) -> bool:
    return line.startswith(b"{") and _is_json(line)


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except _NOT_JSON:
        return False
    return True
