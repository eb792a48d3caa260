"""JSON lines: records end at a line feed and keep every other byte, whatever it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, compress, repeat
from typing import NamedTuple, overload

import numpy as np

from sluice.line_block import LineBlock

BOM = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8."""

_SEPARATORS = b"\r\x1e"
_AFTER_SEPARATORS = 0x1F
"""Greater than all separators, and than line feeds."""


MAX_LINE_BYTES = 64 << 20
"""A longer line is no record, since it has to fit into memory; its pieces become dead letters."""


class Records(NamedTuple):
    """Consecutive records of a file, in order, and the byte offset of each in the decompressed file."""

    records: Sequence[bytes]
    offsets: Sequence[int]


class LineOffsets(Sequence[int]):
    """Offset of each line that is a record, computed on demand: valid input needs one offset a block."""

    __slots__ = ("_known", "_lines", "_size", "_start")

    def __init__(self, start: int, lines: Sequence[bytes], size: int) -> None:
        """Take consecutive lines from offset `start`; `size` of them are records."""
        self._start = start
        self._lines = lines
        self._size = size
        self._known: list[int] | None = None

    def __len__(self) -> int:
        """Return the number of records."""
        return self._size

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...

    def __getitem__(self, index: int | slice) -> int | list[int]:
        """Return the offset of record `index`."""
        every = self._size == len(self._lines)
        if index == 0 and (every or _is_record(self._lines[0])):
            return self._start
        if every and isinstance(self._lines, LineBlock):
            offsets: int | list[int] = (self._lines.starts[index] + self._start).tolist()
            return offsets
        if self._known is None:
            starts = accumulate((len(line) + 1 for line in self._lines), initial=self._start)
            records = repeat(True, self._size) if every else map(_is_record, self._lines)
            self._known = list(compress(starts, records))
        return self._known[index]


def read_lines(chunks: Iterable[bytes], start: int = 0, stop: int | None = None) -> Iterator[Records]:
    r"""Cut the lines that begin at `start` or later, and before `stop`, into blocks of about a chunk each.

    Splits that touch therefore give every line exactly once. An empty line is no record, nor is one that has only
    `\r`, a byte order mark or the record separator of RFC 7464. Spaces, tabs and NUL are a malformed record: whoever
    wrote them, or a crash, may have left them in place of one.

    Args:
        chunks: consecutive bytes of the file from `max(start - 1, 0)` on; the byte before `start` shows whether a
            line begins there. No chunk after the end of the last line is read.
        start: offset at which the split begins.
        stop: offset at which the split ends; None is the end of the file.

    """
    for offset, data in _pieces(chunks, start, stop, b"\n"):
        lines = LineBlock(data)
        # Few blocks have a line without a record: it is empty, so that its line feed is what it begins with, or begins
        # with a separator or a byte order mark.
        first = np.frombuffer(data, np.uint8)[lines.starts]
        may_have_empty = first.min() < _AFTER_SEPARATORS or first.max() >= BOM[0]
        records = [line for line in lines if _is_record(line)] if may_have_empty else lines
        if records:
            yield Records(records, LineOffsets(offset, lines, len(records)))


def _is_record(line: bytes) -> bool:
    return line.strip(_SEPARATORS) not in (b"", BOM)


def line_blocks(
    chunks: Iterable[bytes], start: int = 0, stop: int | None = None, line_end: bytes = b"\n"
) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the lines that end in each chunk, with the offset of the first of them; `line_end` is one byte.

    See `_pieces`.
    """
    for offset, data in _pieces(chunks, start, stop, line_end):
        yield offset, data[:-1].split(line_end)


def _pieces(
    chunks: Iterable[bytes], start: int, stop: int | None, line_end: bytes
) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that end in each chunk as they are, with their ends, and the offset of the first of them.

    A split begins after the first line feed at `start - 1` or later, and the same rule ends it. A line longer than
    `MAX_LINE_BYTES` comes in pieces of about that many, each as a line of its own.
    """
    at = max(start - 1, 0)
    offset = 0 if start == 0 else None  # of the unfinished line; None until the first line has begun
    unfinished: list[bytes] = []  # joined once: a line of 20 MB that grows by each chunk takes quadratic time
    for chunk in chunks:
        body, last = chunk, 0
        if offset is None:
            first = chunk.find(line_end) + 1
            if stop is not None and at + (first or len(chunk)) >= stop:
                return
            if not first:
                at += len(chunk)
                continue
            body, offset, at = chunk[first:], at + first, at + first
        if stop is not None and at + len(body) >= stop:
            last = body.find(line_end, max(stop - 1 - at, 0)) + 1
            body = body[: last or len(body)]
        at += len(body)
        end = body.rfind(line_end) + 1
        if not end:
            unfinished.append(body)
            if at - offset > MAX_LINE_BYTES:
                yield offset, b"".join((*unfinished, line_end))
                unfinished, offset = [], at
            continue
        whole = b"".join((*unfinished, memoryview(body)[:end]))
        unfinished = [body[end:]]
        yield offset, whole
        offset = at - len(unfinished[0])
        if last:
            return
    if offset is not None and any(unfinished):
        yield offset, b"".join((*unfinished, line_end))
