"""CSV: a header, then rows whose quoted fields may hold line breaks. A broken row never takes others with it.

A quoted field may run over several lines only if it ends in a quote with a delimiter or the end of the line
behind it; otherwise the line in which it began is a broken row by itself, and the next line is a row again.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from sluice.contracts import Contract
from sluice.elements import CsvDialect, Violation
from sluice.formats.json_lines import LineOffsets, line_blocks
from sluice.formats.text_coercion import Columns, nested

MAX_ROW_BYTES = 1 << 20
MAX_ROW_LINES = 10_000
"""A row longer than this is broken: its quote was never meant to be closed."""

DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_ROWS = 20
_BOM = b"\xef\xbb\xbf"
WINDOWS = "cp1252"
"""Windows-1252, the encoding of files that are not UTF-8."""

csv.field_size_limit(MAX_ROW_BYTES)


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows: their bytes without the last line feed, the byte offset and the line of each, from 1."""

    records: Sequence[bytes]
    offsets: Sequence[int]
    lines: Sequence[int]


class Cut(NamedTuple):
    """A place where a row begins: its byte offset and its line."""

    offset: int
    line: int


BEGIN = Cut(0, 1)


def detect_layout(head: bytes, whole: bool) -> CsvDialect | None:
    """Return the layout of a CSV file that begins with `head`; None if it has no header.

    Args:
        head: how the file begins.
        whole: `head` is all of it.

    """
    samples = {delimiter: _first_rows(head, whole, delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda each: _likelihood(samples[each], each))
    if not samples[delimiter]:
        return None
    encoding = _encoding(b"".join(samples[delimiter]))
    header = samples[delimiter][0].decode("cp1252" if encoding == WINDOWS else "utf-8", "replace")
    names = next(csv.reader([header], delimiter=delimiter), [])
    columns = tuple(name.strip() or f"column_{index}" for index, name in enumerate(names, 1))
    return CsvDialect(columns, delimiter, encoding)


def read_rows(
    chunks: Iterable[bytes], delimiter: str, start: Cut = BEGIN, stop: int | None = None
) -> Iterator[Rows]:
    """Yield the rows from `start` up to the offset `stop`, in blocks of about a chunk each.

    The first row of a file is its header, and no record; nor is an empty line.

    Args:
        chunks: as for `read_lines`.
        delimiter: between fields.
        start: where a row begins, as `find_cuts` found it; by default the file does.
        stop: another such offset, None for the end of the file.

    """
    joiner = _Joiner(delimiter)
    line = start.line
    header = start.offset == 0
    for offset, lines in line_blocks(chunks, start.offset, stop):
        marked = len(_BOM) if offset == 0 and lines[0].startswith(_BOM) else 0
        lines[0] = lines[0][marked:]
        rows = joiner.join(offset + marked, line, lines)
        line += len(lines)
        if header and rows.records:
            rows, header = _without_first(rows), False
        if rows.records:
            yield rows
    rows = joiner.end()
    if header:
        rows = _without_first(rows)
    if rows.records:
        yield rows


def _without_first(rows: Rows) -> Rows:
    return Rows(rows.records[1:], rows.offsets[1:], rows.lines[1:])


def find_cuts(chunks: Iterable[bytes], delimiter: str, target: int) -> list[Cut]:
    """Return where a whole file can be cut, about every `target` bytes, between two rows."""
    joiner = _Joiner(delimiter)
    cuts = [Cut(0, 1)]
    line = 1
    for offset, lines in line_blocks(chunks):
        if offset and offset - cuts[-1].offset >= target and not joiner.held:
            cuts.append(Cut(offset, line))
        joiner.join(offset, line, lines)
        line += len(lines)
    return cuts


class _Line(NamedTuple):
    offset: int
    number: int
    record: bytes


_NO_ROWS = (b"", b"\r")


class _GrowingRows:
    def __init__(self) -> None:
        self._records: list[bytes] = []
        self._offsets: list[int] = []
        self._numbers: list[int] = []

    def add(self, offset: int, number: int, record: bytes) -> None:
        self._records.append(record)
        self._offsets.append(offset)
        self._numbers.append(number)

    def rows(self) -> Rows:
        return Rows(self._records, self._offsets, self._numbers)


class _Joiner:
    """Joins lines to rows. `held` are the lines of a quoted field that has not ended."""

    def __init__(self, delimiter: str) -> None:
        mark = re.escape(delimiter.encode())
        text = rb'(?:[^"]|"")*+'
        field = rb'(?:"' + text + rb'"(?=' + mark + rb'|\r?\Z)|(?!")[^' + mark + rb"]*+)"
        more = rb"(?:" + mark + field + rb")*+"
        opened = rb"(?:" + field + mark + rb')*+"' + text + rb"\Z"
        self._complete = re.compile(field + more + rb"\r?\Z").match
        self._opens = re.compile(opened).match
        self._stays = re.compile(text + rb'(?:"' + mark + opened + rb"|\Z)").match
        self._closes = re.compile(text + rb'"' + more + rb"\r?\Z").match
        self.held: list[_Line] = []
        self._size = 0

    def join(self, offset: int, line: int, lines: Sequence[bytes]) -> Rows:
        """Return the rows that end in these lines, which follow each other from `offset` on."""
        if (
            not self.held
            and b"" not in lines
            and b"\r" not in lines
            and not any(b'"' in each for each in lines)
        ):
            return Rows(lines, LineOffsets(offset, lines, len(lines)), range(line, line + len(lines)))
        rows = _GrowingRows()
        add = rows.add
        for number, each in enumerate(lines, line):
            if self.held or b'"' in each or each in _NO_ROWS:
                self._take(_Line(offset, number, each), rows)
            else:
                add(offset, number, each)
            offset += len(each) + 1
        return rows.rows()

    def end(self) -> Rows:
        """Return what is left at the end of the file: a quote that never closes is one line's fault."""
        rows = _GrowingRows()
        while self.held:
            first, *others = self.held
            rows.add(*first)
            self.held, self._size = [], 0
            for line in others:
                self._take(line, rows)
        return rows.rows()

    def _take(self, line: _Line, rows: _GrowingRows) -> None:
        todo = deque([line])
        while todo:
            line = todo.popleft()
            record = line.record
            if not self.held:
                if b'"' in record and not self._complete(record) and self._opens(record):
                    self._hold(line)
                elif record not in _NO_ROWS:
                    rows.add(*line)
            elif self._closes(record):
                first = self.held[0]
                rows.add(
                    first.offset, first.number, b"\n".join([*(each.record for each in self.held), record])
                )
                self.held, self._size = [], 0
            elif self._stays(record) and self._size < MAX_ROW_BYTES and len(self.held) < MAX_ROW_LINES:
                self._hold(line)
            else:
                rows.add(*self.held[0])
                todo.extendleft(reversed([*self.held[1:], line]))
                self.held, self._size = [], 0

    def _hold(self, line: _Line) -> None:
        self.held.append(line)
        self._size += len(line.record) + 1


def _first_rows(head: bytes, whole: bool, delimiter: str) -> Sequence[bytes]:
    lines = head.removeprefix(_BOM).split(b"\n")
    joiner = _Joiner(delimiter)
    rows = [*joiner.join(0, 1, lines if whole or len(lines) == 1 else lines[:-1]).records]
    return rows + [*joiner.end().records] if whole else rows


def _likelihood(sample: Sequence[bytes], delimiter: str) -> tuple[int, int]:
    """Return how many of the first rows have as many fields as the header, if it has several, and how many."""
    texts = (row.decode("latin-1") for row in sample[:_SAMPLE_ROWS])
    sizes = [len(next(csv.reader([text], delimiter=delimiter), [])) for text in texts]
    return (sum(size == sizes[0] for size in sizes), sizes[0]) if sizes and sizes[0] > 1 else (0, 0)


def _encoding(sample: bytes) -> str:
    """Tell by what is not ASCII: a sample that has nothing such leaves it to each row."""
    if sample.isascii():
        return ""
    good = len(_UTF8.findall(sample))
    bad = len(_NOT_ASCII.findall(_UTF8.sub(b"", sample)))
    return "utf-8" if good > bad else WINDOWS


_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


_FEW_ROWS = 16
"""So many rows are read one by one rather than tried in halves."""


class RowConverter:
    """Rows of one layout -> JSON lines, their texts coerced to what the contract says."""

    def __init__(self, dialect: CsvDialect, contracts: Mapping[str, Contract], route_by: str | None) -> None:
        """Compile what the layout means to each contract; `route_by` is the column that tells them apart."""
        self._layout = dialect
        self._width = len(dialect.columns)
        self._route: int | None = None
        if len(contracts) > 1:
            plain = [name.casefold() for name in dialect.columns]
            self._route = plain.index(str(route_by).casefold()) if str(route_by).casefold() in plain else None
        self._shapes = {name: _Shape(dialect.columns, contract) for name, contract in contracts.items()}
        only = next(iter(contracts.values())) if len(contracts) == 1 else None
        self._shape = _Shape(dialect.columns, only)

    def convert(self, records: Sequence[bytes]) -> tuple[list[bytes], dict[int, Violation]]:
        """Return the line of each row, and what is wrong with those, by index, that are none: they are empty."""
        broken: dict[int, Violation] = {}
        rows = list(self._rows(records, 0, broken))
        if self._route is None and not broken:
            return self._shape.lines(rows), broken
        return self._by_shape(rows, broken), broken

    def _rows(
        self, records: Sequence[bytes], start: int, broken: dict[int, Violation]
    ) -> Iterable[Sequence[str]]:
        """Return the fields of consecutive rows, of which the first is the one numbered `start`.

        They are read at once. Where that fails each half is tried, so that a broken row slows down its neighbours
        alone; one with too few or too many fields does not even do that.
        """
        if self._shape.fault is None:
            try:
                encoding = self._layout.encoding or "utf-8"
                texts = [record.decode(encoding) for record in records]
                rows = list(csv.reader(texts, delimiter=self._layout.delimiter, strict=True))
            except (UnicodeDecodeError, csv.Error):
                rows = []
            if len(rows) == len(records):
                if {*map(len, rows)} - {self._width}:
                    for index, row in enumerate(rows):
                        if len(row) != self._width:
                            self._row(start + index, records[index], broken)
                return rows
            if len(records) > _FEW_ROWS:
                half = len(records) // 2
                first = self._rows(records[:half], start, broken)
                return chain(first, self._rows(records[half:], start + half, broken))
        return [self._row(start + index, record, broken) for index, record in enumerate(records)]

    def _by_shape(self, rows: Sequence[Sequence[str]], broken: Mapping[int, Violation]) -> list[bytes]:
        lines = [b""] * len(rows)
        groups: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            if index not in broken:
                groups.setdefault("" if self._route is None else row[self._route], []).append(index)
        for name, indexes in groups.items():
            shape = self._shapes.get(name, self._shape) if self._route is not None else self._shape
            for index, line in zip(indexes, shape.lines([rows[each] for each in indexes]), strict=True):
                lines[index] = line
        return lines

    def _row(self, index: int, record: bytes, broken: dict[int, Violation]) -> list[str]:
        fault = self._shape.fault
        row: list[str] = []
        try:
            row = next(csv.reader([self._text(record)], delimiter=self._layout.delimiter, strict=True), [])
        except UnicodeDecodeError as error:
            name = "Windows-1252" if error.encoding == "charmap" else "UTF-8"
            fault = fault or (f"text in {name}", f"byte 0x{record[error.start]:02x} (byte {error.start})")
        except csv.Error as error:
            fault = fault or ("fields whose quotes are closed, and doubled within", str(error))
        if fault is None and len(row) != self._width:
            fault = (f"{self._width} fields, as in the header", f"{len(row)}")
        if fault is not None:
            broken[index] = Violation("not_csv", "", *fault)
        return row

    def _text(self, record: bytes) -> str:
        if self._layout.encoding == WINDOWS:
            return record.decode(WINDOWS)
        try:
            return record.decode()
        except UnicodeDecodeError:
            if self._layout.encoding:
                raise
            return record.decode(WINDOWS)


class _Shape:
    """Where the columns of a header belong in the JSON of one contract. `fault`: expected and got, if they clash."""

    def __init__(self, header: Sequence[str], contract: Contract | None) -> None:
        columns = Columns(contract)
        places = columns.place(header)
        self.fault: tuple[str, str] | None = None
        for place, name in zip(places, header, strict=True):
            if places.count(place) > 1 or any(place == other[:1] != other for other in places):
                self.fault = ("a header that names each column once", f"{name} several times")
        self._encoders = [columns.column_encoder(place) for place in places]
        marked = nested({place: f"\0{index}\0" for index, place in enumerate(places)})
        self._marked = marked.replace("%", "%%")
        self._order = [int(index) for index in _MARK.findall(self._marked)]
        self._templates: dict[tuple[bool, ...], str] = {}

    def lines(self, rows: Sequence[Sequence[str]]) -> list[bytes]:
        """Return rows, each as wide as the header, as JSON lines."""
        texts, width = list(chain.from_iterable(rows)), len(self._encoders)
        columns = [encode(texts[index::width]) for index, encode in enumerate(self._encoders)]
        template = self._template(tuple(column.quoted for column in columns))
        ordered = [columns[index].texts for index in self._order]
        return [(template % row).encode() for row in zip(*ordered, strict=True)]

    def _template(self, quoted: tuple[bool, ...]) -> str:
        if quoted not in self._templates:
            marks = [f'"{_PLACE}"' if each else _PLACE for each in quoted]
            self._templates[quoted] = _MARK.sub(lambda mark: marks[int(mark[1])], self._marked)
        return self._templates[quoted]


_PLACE = "%s"
_MARK = re.compile("\0([0-9]+)\0")
