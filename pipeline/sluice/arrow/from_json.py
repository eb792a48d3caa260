"""Accepted lines of a segment -> one Arrow table, the form in which every warehouse loads them.

Five ways lead to the table, from fast to slow; the last three end in pyarrow's JSON reader, so they cannot differ in a
value:

1. Plain lines are read by the native core, if it is installed, also if they have members outside the contract that are
   scalars. What it does not take goes the other ways.
2. Lines that the decoder of this run has accepted, without unusual values, are read by `plain_lines`, if they have no
   other member. The note on a repaired line is put into `_extra` before this way and the next.
3. The reader takes the whole segment with the contract's schema. It rejects what it does not know (a member outside
   the contract, a repeated key, a seventh decimal of a second) rather than misread it.
4. Members outside the contract are collected line by line, and the reader ignores them.
5. Each line is rewritten in the canonical form that the reader takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.json

from sluice.arrow.canonicalizer import Canonicalizer
from sluice.arrow.json_structs import UnconvertibleLine, record_object
from sluice.arrow.native_lines import NativeReader, NativeRows
from sluice.arrow.plain_lines import PlainReader
from sluice.arrow.repaired_lines import may_have_notes, split_notes
from sluice.arrow.schema import (
    DECIMAL,
    TIMESTAMP,
    arrow_schema,
    event_fields,
    flatten,
    holds_forbidden_null,
    retype,
)
from sluice.arrow.unknown_members import UnknownMembers
from sluice.contracts import (
    DELIVERY_KEY,
    LEAF_TYPES,
    SOURCE_KEY,
    Contract,
    Identity,
    Property,
    ValueType,
    by_type,
    walk,
)
from sluice.elements import Segment
from sluice.formats.delivery import without_delivery
from sluice.formats.source_member import source_of, without_source

_DIGITS_OF_KEY = 32

RowError = tuple[int, str]
"""Index of a line in its segment, and why it cannot become a row."""


def event_ids_of(keys: bytes) -> pa.StringArray:
    """Return deduplication keys, of 16 bytes each, as `_event_id` has them: in hexadecimal digits."""
    digits = keys.hex().encode()
    offsets = np.arange(0, len(digits) + 1, _DIGITS_OF_KEY, dtype=np.int32)
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(digits))


def to_table(
    contract: Contract, segment: Segment, event_ids: Sequence[str] | pa.StringArray, appended_at: datetime
) -> tuple[pa.Table, list[RowError]]:
    """Return the rows of `segment` in the order of its lines, with the schema `arrow_schema(contract)`.

    `_extra` holds the properties that the contract does not know as compact JSON with the original text of
    their numbers, nested as they were: `{"metadata":{"foo":1.10}}`. Objects in arrays are named by their
    index, from 0: `{"items":{"0":{"foo":1}}}`. Of a repeated key the last value counts, as for the decoder.

    Args:
        contract: whose decoder accepted the lines.
        segment: the lines. The same table is made in less time if they are plain.
        event_ids: deduplication key of each line, for `_event_id`.
        appended_at: when the segment was created, with an offset. A row's `_ingested_at` is as many microseconds
            later as there are lines before its own, so that rows sorted by it are in the order of the log.

    Returns:
        The table of the rows that could be made, and the other lines in order, each with one sentence.

    """
    columns, extra, sources, errors = _read(contract, segment)
    rows: Sequence[int] = range(len(segment.lines))
    if errors:
        unconvertible = {index for index, _ in errors}
        rows = [index for index in rows if index not in unconvertible]
    if contract.identity == "export" and not sources:
        sources = _sources(segment.lines, rows)
    ids = pa.array(event_ids, pa.string())
    added = [
        extra,
        ids if not errors else ids.take(pa.array(rows, pa.int64())),
        pa.repeat(pa.scalar(segment.id, pa.string()), len(rows)),
        _ingestion_times(appended_at, len(segment.lines), rows),
        *sources,
    ]
    table = pa.Table.from_arrays([*flatten(contract, columns), *added], schema=arrow_schema(contract))
    return table, errors


def _ingestion_times(appended_at: datetime, lines: int, rows: Sequence[int]) -> pa.Array:
    """Return a time for each of `rows`, indexes of a segment with so many `lines`."""
    first = pa.scalar(appended_at, TIMESTAMP).value
    times = pyarrow.compute.cumulative_sum(pa.repeat(1, lines), start=first - 1).view(TIMESTAMP)
    return times if len(rows) == lines else times.take(pa.array(rows, pa.int64()))


def _sources(lines: Sequence[bytes], rows: Sequence[int]) -> list[pa.Array]:
    """Return the columns of `sluice.arrow.schema.SOURCE`."""
    sources = [source_of(lines[index]) for index in rows]
    return [
        pa.array([source.arrived_at for source in sources], TIMESTAMP),
        pa.array([source.uri for source in sources], pa.string()),
        pa.array([source.position for source in sources], pa.int64()),
    ]


def _without_notes(contract: Contract, lines: Sequence[bytes]) -> tuple[Sequence[bytes], pa.Array]:
    """Return lines without the notes of those that were repaired, and `_extra`, which has the notes."""
    reader = _reader(contract)
    noted = contract.repair and reader.takes_lines and not reader.as_received and may_have_notes(lines)
    split = split_notes(lines) if noted else None
    if split is None:
        return lines, pa.nulls(len(lines), pa.string())
    return split[0], pa.array(split[1], pa.string())


def _read(
    contract: Contract, segment: Segment
) -> tuple[list[pa.Array], pa.Array, list[pa.Array], list[RowError]]:
    """Return the contract's properties, `_extra`, the columns of `SOURCE` or none, and the lines that have no row."""
    lines, notes = _without_notes(contract, segment.lines)
    native = _read_native(contract, lines, notes)
    if native is not None:
        return _with_others(contract, segment, native)
    columns, extra, errors = _read_otherwise(contract, segment.lines, lines, notes, plain=segment.plain)
    return columns, extra, [], errors


def _read_otherwise(
    contract: Contract, lines: Sequence[bytes], bare: Sequence[bytes], notes: pa.Array, *, plain: bool
) -> tuple[list[pa.Array], pa.Array, list[RowError]]:
    """Return the contract's properties, `_extra` and the errors of lines, without the core.

    `bare` and `notes` are of `_without_notes`.
    """
    columns = _read_known(contract, bare, plain=plain)
    return read_with_unknown(contract, lines) if columns is None else (columns, notes, [])


def _read_native(contract: Contract, lines: Sequence[bytes], notes: pa.Array) -> NativeRows | None:
    """Return the columns of plain lines, if none has a note; None: read all in other ways."""
    read = _reader(contract).native.read(lines) if notes.null_count == len(lines) else None
    columns = None if read is None else _typed(read.properties, event_fields(contract))
    return None if read is None or columns is None else read._replace(properties=columns)


def _with_others(
    contract: Contract, segment: Segment, native: NativeRows
) -> tuple[list[pa.Array], pa.Array, list[pa.Array], list[RowError]]:
    """Return what `_read` does: the rows of plain lines, and among them those of the others, read in other ways."""
    if not native.others:
        return native.properties, native.extra, native.sources, []
    lines = segment.lines
    rest = [lines[index] for index in native.others]
    notes = pa.nulls(len(rest), pa.string())  # the core was given no line with a note
    columns, extra, errors = _read_otherwise(contract, rest, rest, notes, plain=segment.plain)
    failed = {place for place, _ in errors}
    read = [index for place, index in enumerate(native.others) if place not in failed]
    plain = np.delete(np.arange(len(lines)), native.others)
    order = pa.array(np.argsort(np.concatenate([plain, np.array(read, np.int64)]), kind="stable"))
    mine = [*native.properties, native.extra, *native.sources]
    others = [*columns, extra, *(_sources(lines, read) if native.sources else ())]
    merged = [pa.concat_arrays(pair).take(order) for pair in zip(mine, others, strict=True)]
    known = len(native.properties)
    indexed = [(native.others[place], reason) for place, reason in errors]
    return merged[:known], merged[known], merged[known + 1 :], indexed


def _read_known(contract: Contract, lines: Sequence[bytes], *, plain: bool) -> list[pa.Array] | None:
    """Return the contract's properties of lines that have no others; None: read them in other ways."""
    if not _reader(contract).takes_lines:
        return None
    columns = read_plain(contract, lines) if plain else None
    return read_lines(contract, lines) if columns is None else columns


def read_plain(contract: Contract, lines: Sequence[bytes]) -> list[pa.Array] | None:
    """Return the contract's properties of plain lines, see `OrderedLines`; None if they may have others."""
    columns = _reader(contract).plain.read(lines) if lines else None
    return None if columns is None else _typed(columns, event_fields(contract))


def read_lines(
    contract: Contract, lines: Sequence[bytes], *, ignore_unknown: bool = False
) -> list[pa.Array] | None:
    """Return the contract's properties of `lines`, read at once; None if the reader rejects any of them."""
    target = event_fields(contract)
    if not lines:
        return [pa.array([], field.type) for field in target]
    data = b"\n".join(lines)
    reader = _reader(contract)
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(data),
            # One block, since a line must not be cut; one thread, since Beam's workers use all cores.
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=reader.record_schema if ignore_unknown else reader.line_schema,
                unexpected_field_behavior="ignore" if ignore_unknown else "error",
            ),
        )
        if table.num_rows != len(lines):
            return None
    except pa.ArrowInvalid:
        return None
    return _typed([column.combine_chunks() for column in table.columns], target)


def _typed(columns: Sequence[pa.Array], target: Sequence[pa.Field]) -> list[pa.Array] | None:
    """Return the first of `columns` as the fields of `target`; None if a value is none of its field's."""
    columns = columns[: len(target)]
    if holds_forbidden_null(columns, target):
        return None
    try:
        return [retype(column, field.type) for column, field in zip(columns, target, strict=True)]
    except pa.ArrowInvalid:
        return None


class _Rows(NamedTuple):
    """Lines that may become rows, with the `_extra` and the index of each, and the errors of other lines."""

    lines: list[bytes]
    extras: list[str | None]
    indexes: list[int]
    errors: list[RowError]

    def add(self, line: bytes, extra: str | None, index: int) -> None:
        self.lines.append(line)
        self.extras.append(extra)
        self.indexes.append(index)

    def result(self, columns: list[pa.Array]) -> tuple[list[pa.Array], pa.Array, list[RowError]]:
        return columns, pa.array(self.extras, pa.string()), sorted(self.errors)


def read_with_unknown(
    contract: Contract, lines: Sequence[bytes]
) -> tuple[list[pa.Array], pa.Array, list[RowError]]:
    """Return the contract's columns, `_extra` and the errors of lines that the reader does not take as they are."""
    rows, reader = find_unknown(contract, lines), _reader(contract)
    columns = read_lines(contract, rows.lines, ignore_unknown=True) if reader.takes_lines else None
    return rewrite_lines(contract, rows) if columns is None else rows.result(columns)


def find_unknown(contract: Contract, lines: Sequence[bytes]) -> _Rows:
    """Return the lines as their records came, each with its members outside the contract."""
    rows = _Rows([], [], [], [])
    reader, likely = _reader(contract), False
    find = reader.unknown.find
    for index, line in enumerate(map(reader.as_received, lines) if reader.as_received else lines):
        try:
            extra = find(line, likely=likely)
        except UnconvertibleLine as error:
            rows.errors.append((index, str(error)))
            continue
        rows.add(line, extra, index)
        likely = extra is not None  # producers repeat themselves
    return rows


def rewrite_lines(contract: Contract, rows: _Rows) -> tuple[list[pa.Array], pa.Array, list[RowError]]:
    """Return the contract's columns, `_extra` and the errors of lines that are rewritten one by one."""
    canonical = _Rows([], [], [], rows.errors)
    rewrite = _reader(contract).canonicalizer.rewrite
    for line, extra, index in zip(rows.lines, rows.extras, rows.indexes, strict=True):
        try:
            canonical.add(rewrite(line), extra, index)
        except UnconvertibleLine as error:
            canonical.errors.append((index, str(error)))
    columns = read_lines(contract, canonical.lines)
    if columns is not None:
        return canonical.result(columns)
    readable = _readable(contract, canonical.lines)
    message = "the row cannot be converted to the contract's columns"
    errors = [(index, message) for place, index in enumerate(canonical.indexes) if place not in readable]
    rest = _Rows([], [], [], [*canonical.errors, *errors])
    for place in sorted(readable):
        rest.add(canonical.lines[place], canonical.extras[place], canonical.indexes[place])
    return rest.result(read_lines(contract, rest.lines) or [])


def _readable(contract: Contract, lines: Sequence[bytes], start: int = 0) -> set[int]:
    """Return the places, from `start`, of the lines that the reader accepts; it is asked by bisection."""
    if read_lines(contract, lines) is not None:
        return set(range(start, start + len(lines)))
    if len(lines) == 1:
        return set()
    middle = len(lines) // 2
    return _readable(contract, lines[:middle], start) | _readable(contract, lines[middle:], start + middle)


_SOURCE_TYPE = pa.struct({"uri": pa.string(), "arrived_at": pa.string(), "position": pa.int64()})
_OriginMember = tuple[Sequence[pa.Field], Callable[[bytes], bytes] | None]
_ORIGINS: Mapping[Identity, _OriginMember] = {
    "delivery": ([pa.field(DELIVERY_KEY, pa.string())], without_delivery),
    "export": ([pa.field(SOURCE_KEY, _SOURCE_TYPE)], without_source),
}
"""Identity -> the last member of stored lines, which was added to the record, and what removes it."""


class _LineReader:
    """What reads the lines of one contract."""

    def __init__(self, contract: Contract) -> None:
        root = record_object(contract)
        fields = [pa.field(prop.name, _reader_type(prop)) for prop in root.properties]
        self.record_schema = pa.schema(fields)
        no_origin: _OriginMember = ((), None)
        origin, self.as_received = _ORIGINS.get(contract.identity, no_origin)
        self.line_schema = pa.schema([*fields, *origin])
        self.plain = PlainReader(self.line_schema)
        self.native = NativeReader(contract)
        self.unknown = UnknownMembers(root)
        self.canonicalizer = Canonicalizer(root)
        # Of a value of type `json` the reader would take only a string, and that for the JSON text.
        self.takes_lines = all(prop.type != "json" for _, prop in walk(contract.properties))


@lru_cache(maxsize=256)
def _reader(contract: Contract) -> _LineReader:
    """Return what reads the lines of `contract`, built once in a process."""
    return _LineReader(contract)


_READER_TYPES: Mapping[ValueType, pa.DataType] = by_type(
    {
        "string": pa.string(),
        "uuid": pa.string(),
        "integer": pa.int64(),
        "float": pa.float64(),
        "decimal": DECIMAL,
        "boolean": pa.bool_(),
        "timestamp": TIMESTAMP,
        "date": pa.timestamp("s"),  # the reader takes no dates from text, but midnights
        "json": pa.string(),
    },
    LEAF_TYPES,
)


def _reader_type(prop: Property) -> pa.DataType:
    """Return the type that the reader is asked for: all nullable, since it checks nulls in absent objects, too."""
    if prop.type == "object":
        return pa.struct([pa.field(member.name, _reader_type(member)) for member in prop.properties])
    if prop.items is not None:
        return pa.list_(_reader_type(prop.items))
    return _READER_TYPES[prop.type]
