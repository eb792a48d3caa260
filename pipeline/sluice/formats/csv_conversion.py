"""CSV rows -> lines of JSON, whose texts are converted to the types that the contract declares."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from sluice.contracts import Contract, Path
from sluice.elements import Violation
from sluice.formats.csv_dialect import WINDOWS, count_characters
from sluice.formats.csv_rows import MAX_ROW_BYTES
from sluice.formats.plain_rows import PlainRows, parts_of
from sluice.formats.text_coercion import Columns, fold_column, nested
from sluice.provenance import CsvDialect

_MIN_HALVED_ROWS = 16
"""Fewer rows than this are read one by one, rather than in halves, when one of them is broken."""


_MAX_NAMES = 5
"""Columns that a message names."""


class RowConverter:
    """Converts the rows of one dialect for the contracts of a job."""

    def __init__(self, dialect: CsvDialect, contracts: Mapping[str, Contract], route_by: str | None) -> None:
        """Compile what the header means to each contract; several are routed by the column `route_by`."""
        self._dialect = dialect
        self._width = len(dialect.columns)
        self._route = _column(dialect.columns, str(route_by)) if len(contracts) > 1 else None
        self._writers = {name: _RowWriter(dialect, contract) for name, contract in contracts.items()}
        only = next(iter(contracts.values())) if len(contracts) == 1 else None
        self._writer = _RowWriter(dialect, only)
        writers = {"": self._writer} if self._route is None else self._writers
        layouts = [(name, writer.parts) for name, writer in writers.items() if writer.parts is not None]
        self._plain = PlainRows(dialect.delimiter, self._width, self._route, layouts)

    def convert(self, records: Sequence[bytes]) -> tuple[list[bytes], dict[int, Violation]]:
        """Return a line for each row, and by index what is wrong with broken rows; their lines are empty."""
        plain = self._plain.lines(records)
        if plain is None:
            return self._convert(records)
        lines, others = plain
        if not others:
            return lines, {}
        converted, violations = self._convert([records[index] for index in others])
        for index, line in zip(others, converted, strict=True):
            lines[index] = line
        return lines, {others[place]: violation for place, violation in violations.items()}

    def _convert(self, records: Sequence[bytes]) -> tuple[list[bytes], dict[int, Violation]]:
        violations: dict[int, Violation] = {}
        rows = list(self._rows(records, 0, violations))
        if self._route is None and not violations:
            return self._writer.lines(rows), violations
        return self._routed_lines(rows, violations), violations

    def _rows(
        self, records: Sequence[bytes], start: int, violations: dict[int, Violation]
    ) -> Iterable[Sequence[str]]:
        """Return the fields of consecutive rows, of which the first has the index `start`.

        All rows are parsed at once. Where that fails each half is tried, so that a broken row slows down only its
        neighbours; one with too few or too many fields not even those.
        """
        rows = self._parse(records) if self._writer.fault is None else None
        if rows is not None:
            if {*map(len, rows)} - {self._width}:
                for index, row in enumerate(rows):
                    if len(row) != self._width:
                        self._row(start + index, records[index], violations)
            return rows
        if self._writer.fault is None and len(records) > _MIN_HALVED_ROWS:
            half = len(records) // 2
            first = self._rows(records[:half], start, violations)
            return chain(first, self._rows(records[half:], start + half, violations))
        return [self._row(start + index, record, violations) for index, record in enumerate(records)]

    def _parse(self, records: Sequence[bytes]) -> list[list[str]] | None:
        """Return the fields of all rows; None if one of them is broken."""
        try:
            texts = self._texts(records)
            rows = list(csv.reader(texts, delimiter=self._dialect.delimiter, strict=True))
        except (UnicodeDecodeError, csv.Error):
            return None
        return rows if len(rows) == len(records) else None

    def _texts(self, records: Sequence[bytes]) -> list[str]:
        try:
            return [record.decode() for record in records]
        except UnicodeDecodeError:
            if self._dialect.encoding == "utf-8":
                raise
            return list(map(self._decode, records))

    def _routed_lines(self, rows: Sequence[Sequence[str]], violations: dict[int, Violation]) -> list[bytes]:
        """Return a line for each row by the contract that it is routed to; note rows whose header does not suit it."""
        lines = [b""] * len(rows)
        groups: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            if index not in violations:
                groups.setdefault("" if self._route is None else row[self._route], []).append(index)
        for name, indexes in groups.items():
            writer = self._writer if self._route is None else self._writers.get(name, self._writer)
            if writer.fault is not None:
                violations.update(dict.fromkeys(indexes, Violation("not_csv", "", *writer.fault)))
                continue
            written = writer.lines([rows[index] for index in indexes])
            for index, line in zip(indexes, written, strict=True):
                lines[index] = line
        return lines

    def _row(self, index: int, record: bytes, violations: dict[int, Violation]) -> list[str]:
        """Return the fields of one row; if it is broken, note its violation."""
        fault = self._writer.fault
        row: list[str] = []
        try:
            text = self._decode(record)
            row = next(csv.reader([text], delimiter=self._dialect.delimiter, strict=True), [])
        except UnicodeDecodeError as error:
            name = "Windows-1252" if error.encoding == "charmap" else "UTF-8"
            fault = fault or (f"text in {name}", f"byte 0x{record[error.start]:02x} (byte {error.start})")
        except csv.Error as error:
            fault = fault or _csv_fault(str(error))
        if fault is None and len(row) != self._width:
            fault = (f"{self._width} fields, as in the header", f"{len(row)}")
        if fault is not None:
            violations[index] = Violation("not_csv", "", *fault)
        return row

    def _decode(self, record: bytes) -> str:
        """Return the text of a row: what is UTF-8 is that, in every file, and a row is not in two encodings."""
        try:
            return record.decode()
        except UnicodeDecodeError:
            utf8, other = count_characters(record)
            if self._dialect.encoding == "utf-8" or utf8 >= other:
                raise
            return record.decode(WINDOWS)


def _column(columns: Sequence[str], name: str) -> int | None:
    """Return the index of the column of this name, or else of the only one that may mean it."""
    if name in columns:
        return columns.index(name) if columns.count(name) == 1 else None
    similar = [index for index, column in enumerate(columns) if fold_column(column) == fold_column(name)]
    return similar[0] if len(similar) == 1 else None


def _shared_column(shared: Path, paths: Sequence[Path], header: Sequence[str]) -> tuple[str, str]:
    """Return what was expected of a header, and which of its columns have one path."""
    names = [name for path, name in zip(paths, header, strict=True) if path[: len(shared)] == shared]
    more = ", …" if len(names) > _MAX_NAMES else ""
    return "a header with one column for each property", (
        f"{', '.join(names[:_MAX_NAMES])}{more} for {'.'.join(shared)}"
    )


def _csv_fault(error: str) -> tuple[str, str]:
    """Return what was expected of a row, and what it has, for an error of Python's CSV reader."""
    if error.startswith("new-line character"):
        return "fields with line breaks only in quotes", "a carriage return outside quotes"
    if error.startswith("field larger"):
        return f"fields of at most {MAX_ROW_BYTES} characters", "a longer one"
    return "fields whose quotes are closed, and doubled within", error


class _RowWriter:
    """Writes rows as the JSON of one contract; without a contract every value is a string.

    `fault` is what was expected of the header and what it has, if two columns belong in one place.
    `parts` are what the native core puts a line together from; None if it cannot.
    """

    def __init__(self, dialect: CsvDialect, contract: Contract | None) -> None:
        header, columns = dialect.columns, Columns(contract)
        paths = columns.place(header)
        self.fault: tuple[str, str] | None = None
        columns_of = Counter(paths)
        parents = {path[:1] for path in columns_of if len(path) > 1}
        shared = [path for path, number in columns_of.items() if number > 1 or path in parents]
        if shared:
            self.fault = _shared_column(shared[0], paths, header)
        places = [(path, name in dialect.decimal_commas) for path, name in zip(paths, header, strict=True)]
        self._encoders = [columns.column_encoder(path, decimal_comma=comma) for path, comma in places]
        skeleton = nested({path: f"\0{index}\0" for index, path in enumerate(paths)})
        types = [columns.plain_type(path, decimal_comma=comma) for path, comma in places]
        self.parts = None if self.fault is not None else parts_of(_SLOT.split(skeleton), types)
        self._skeleton = skeleton.replace("%", "%%")
        self._order = [int(index) for index in _SLOT.findall(self._skeleton)]
        self._templates: dict[tuple[bool, ...], str] = {}

    def lines(self, rows: Sequence[Sequence[str]]) -> list[bytes]:
        """Return rows, each as wide as the header, as lines of JSON."""
        texts, width = list(chain.from_iterable(rows)), len(self._encoders)
        columns = [encode(texts[index::width]) for index, encode in enumerate(self._encoders)]
        template = self._template(tuple(column.unquoted for column in columns))
        ordered = [columns[index].texts for index in self._order]
        return [(template % row).encode() for row in zip(*ordered, strict=True)]

    def _template(self, unquoted: tuple[bool, ...]) -> str:
        """Return the format of a line; it supplies the quotes of columns whose texts come without."""
        if unquoted not in self._templates:
            fields = ['"%s"' if is_unquoted else "%s" for is_unquoted in unquoted]
            self._templates[unquoted] = _SLOT.sub(lambda slot: fields[int(slot[1])], self._skeleton)
        return self._templates[unquoted]


_SLOT = re.compile("\0([0-9]+)\0")
"""Where the value of a column belongs, by its index; JSON text cannot contain this character."""
