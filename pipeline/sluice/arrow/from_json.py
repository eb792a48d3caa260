"""Accepted lines of a segment -> one Arrow table, the form in which every warehouse takes them.

The fast way hands the whole segment to pyarrow's JSON reader with the contract's schema. The reader refuses
what it does not know (a property outside the contract, a repeated key, a seventh decimal of a second) rather
than misread it. Then properties outside the contract are collected line by line, and the reader passes over them.
Where it still refuses, each line is rewritten by msgspec as a canonical line that the reader takes, so all ways end
in the same conversion and cannot differ in a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.json

from sluice.arrow.schema import (
    TIMESTAMP,
    arrow_schema,
    event_fields,
    flatten,
    holds_forbidden_null,
    retype,
)
from sluice.contracts import Contract, Property, ValueType
from sluice.elements import Segment
from sluice.validation.batch_checks import PLAIN_DECIMAL

DELIVERY_KEY = "_id"
"""Key of the delivery identity that the log splices into a line; it becomes `_event_id`, not `_extra`."""

RowError = tuple[int, str]
"""Index of a line in its segment, and why it cannot become a row."""


def to_table(
    contract: Contract, segment: Segment, identities: Sequence[str], ingested_at: datetime
) -> tuple[pa.Table, list[RowError]]:
    """Return the rows of `segment` in the order of its lines, with the schema `arrow_schema(contract)`.

    `_extra` holds the properties that the contract does not know as compact JSON with the original text of
    their numbers, nested as they were: `{"metadata":{"foo":1.10}}`. Objects in arrays are named by their
    index, from 0: `{"items":{"0":{"foo":1}}}`. Of a repeated key the last value counts, as for the decoder.

    Args:
        contract: whose decoder accepted the lines.
        segment: the lines.
        identities: identity of each line, for `_event_id`.
        ingested_at: the clock, for `_ingested_at`; must have an offset.

    Returns:
        The table of the rows that could be made, and the refused lines in order, each with one sentence.

    """
    schema = arrow_schema(contract)
    kept: Sequence[int] = range(len(segment.lines))
    row_errors: list[RowError] = []
    extra = pa.nulls(len(segment.lines), pa.string())
    columns = read_lines(contract, segment.lines) if compiled(contract).readable else None
    if columns is None:
        columns, extra, row_errors = separate_lines(contract, segment.lines)
        gone = {index for index, _ in row_errors}
        kept = [index for index in kept if index not in gone]
    rows = len(kept)
    ids = identities if not row_errors else [identities[index] for index in kept]
    added = [
        extra,
        pa.array(ids, pa.string()),
        pa.repeat(pa.scalar(segment.id, pa.string()), rows),
        pa.repeat(pa.scalar(ingested_at, TIMESTAMP), rows),
    ]
    return pa.Table.from_arrays([*flatten(contract, columns), *added], schema=schema), row_errors


def read_lines(
    contract: Contract, lines: Sequence[bytes], *, pass_over_unknown: bool = False
) -> list[pa.Array] | None:
    """Return the contract's properties of `lines`, read in one go; None if the reader refuses any of them."""
    target = event_fields(contract)
    if not lines:
        return [pa.array([], field.type) for field in target]
    data = b"\n".join(lines)
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(data),
            # One block, since a line must not be cut; one thread, since Beam's workers fill the cores.
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=compiled(contract).reader_schema,
                unexpected_field_behavior="ignore" if pass_over_unknown else "error",
            ),
        )
        if table.num_rows != len(lines):
            return None
        columns = [column.combine_chunks() for column in table.columns[: len(target)]]
        if holds_forbidden_null(columns, target):
            return None
        return [retype(column, field.type) for column, field in zip(columns, target, strict=True)]
    except pa.ArrowInvalid:
        return None


def separate_lines(
    contract: Contract, lines: Sequence[bytes]
) -> tuple[list[pa.Array], pa.Array, list[RowError]]:
    """Return the contract's columns, and `_extra`, of lines of which the reader would not take some as they are."""
    found = find_extras(contract, lines)
    columns = None
    if compiled(contract).readable:
        columns = read_lines(contract, found.lines, pass_over_unknown=True)
    return (columns, *found.rest()) if columns is not None else rewrite_lines(contract, found)


def rewrite_lines(contract: Contract, found: Extras) -> tuple[list[pa.Array], pa.Array, list[RowError]]:
    """Return the contract's columns, and `_extra`, of lines that are rewritten one by one."""
    canonical, rewrite = Extras([], [], [], found.row_errors), compiled(contract).rewrite
    for line, extra, index in zip(found.lines, found.extras, found.indexes, strict=True):
        try:
            canonical.add(rewrite(line), extra, index)
        except RefusedRow as refusal:
            canonical.row_errors.append((index, str(refusal)))
    columns = read_lines(contract, canonical.lines)
    if columns is None:
        good = _readable(contract, canonical.lines)
        message = "the row cannot be converted to the contract's columns"
        row_errors = [each for place, each in enumerate(canonical.indexes) if place not in good]
        canonical.row_errors.extend((index, message) for index in row_errors)
        kept = Extras([], [], [], canonical.row_errors)
        for place in sorted(good):
            kept.add(canonical.lines[place], canonical.extras[place], canonical.indexes[place])
        canonical, columns = kept, read_lines(contract, kept.lines) or []
    return (columns, *canonical.rest())


class Extras(NamedTuple):
    """Lines with the `_extra` and the index of each, and those that were refused."""

    lines: list[bytes]
    extras: list[str | None]
    indexes: list[int]
    row_errors: list[RowError]

    def add(self, line: bytes, extra: str | None, index: int) -> None:
        """Add a line."""
        self.lines.append(line)
        self.extras.append(extra)
        self.indexes.append(index)

    def rest(self) -> tuple[pa.Array, list[RowError]]:
        """Return the column `_extra`, and the refused lines in order."""
        return pa.array(self.extras, pa.string()), sorted(self.row_errors)


def find_extras(contract: Contract, lines: Sequence[bytes]) -> Extras:
    """Return the lines as they are, each with what it holds beyond the contract."""
    found = Extras([], [], [], [])
    find, likely = compiled(contract).extra, False
    for index, line in enumerate(lines):
        try:
            extra = find(line, likely=likely)
        except RefusedRow as refusal:
            found.row_errors.append((index, str(refusal)))
            continue
        found.add(line, extra, index)
        likely = extra is not None
    return found


def _holds_json(prop: Property) -> bool:
    inner = (*prop.properties, *([prop.items] if prop.items is not None else []))
    return prop.type == "json" or any(_holds_json(each) for each in inner)


def _readable(contract: Contract, lines: Sequence[bytes], start: int = 0) -> set[int]:
    """Return the places of the lines that the reader takes, found by halving."""
    if read_lines(contract, lines) is not None:
        return set(range(start, start + len(lines)))
    if len(lines) == 1:
        return set()
    middle = len(lines) // 2
    return _readable(contract, lines[:middle], start) | _readable(contract, lines[middle:], start + middle)


class RefusedRow(ValueError):
    """An accepted line that cannot become a row; the message says expected, got and where."""


class Compiled:
    """What reads the lines of one contract; built once in each process, see `compiled`."""

    def __init__(self, contract: Contract) -> None:
        """Compile `contract`."""
        hidden = contract.identity == "delivery" and all(p.name != DELIVERY_KEY for p in contract.properties)
        delivery = (Property(DELIVERY_KEY, "string"),) if hidden else ()
        self.root = Property("", "object", required=True, properties=(*contract.properties, *delivery))
        self.reader_schema = pa.schema([pa.field(p.name, _reader_type(p)) for p in self.root.properties])
        self._strict = msgspec.json.Decoder(_struct(self.root, strict=True))
        self._lenient = msgspec.json.Decoder(_struct(self.root, strict=False))
        self._unknown = _object_finder(self.root)
        self._mend = _mender(self.root, "")
        # Of a property of any JSON the reader would take a text for its content, and nothing else.
        self.readable = not _holds_json(self.root)
        self._encode = msgspec.json.Encoder().encode

    def extra(self, line: bytes, *, likely: bool) -> str | None:
        """Return what a line holds beyond the contract, as `_extra` does; `likely`: that there is such a thing.

        Raises:
            RefusedRow: it cannot be told.

        """
        try:
            if not likely and self._knows_all(line):
                return None
            text = self._unknown(line)
            return None if text is None else text.decode()
        except _UNREADABLE as error:
            raise _refusal(error) from error

    def _knows_all(self, line: bytes) -> bool:
        try:
            self._strict.decode(line)
        except msgspec.ValidationError:  # usually a property that the contract does not know
            return False
        return True

    def rewrite(self, line: bytes) -> bytes:
        """Return the line with the contract's properties alone, as the reader takes them.

        Raises:
            RefusedRow: the line cannot become a row.

        """
        try:
            event = self._lenient.decode(line)
        except _UNREADABLE as error:
            raise _refusal(error) from error
        return self._encode(event if self._mend is None else self._mend(event))


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _refusal(error: Exception) -> RefusedRow:
    if isinstance(error, UnicodeDecodeError):
        byte = error.object[error.start]
        return RefusedRow(f"expected UTF-8 in properties outside the contract, got byte {byte:#x}")
    if isinstance(error, RecursionError):
        return RefusedRow("expected properties outside the contract to be nested less deeply")
    return RefusedRow(str(error))


@lru_cache(maxsize=256)
def compiled(contract: Contract) -> Compiled:
    """Return what reads the lines of `contract`, kept for the life of the process."""
    return Compiled(contract)


Finder = Callable[[bytes | msgspec.Raw], bytes | None]
"""JSON text -> what it holds beyond the contract, as compact JSON; None if nothing."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_elements = msgspec.json.Decoder(list[msgspec.Raw] | None)


def _object_finder(prop: Property) -> Finder:
    known = frozenset(inner.name for inner in prop.properties)
    deeper = [(inner.name, look) for inner in prop.properties if (look := _unless_plain(inner)) is not None]

    def find(raw: bytes | msgspec.Raw) -> bytes | None:
        members = _members.decode(raw) or {}
        within = [(name, look(members[name])) for name, look in deeper if name in members]
        found = {name: text for name, text in within if text is not None}
        return _object(
            [
                _key(name) + (found[name] if name in found else _compact(value))
                for name, value in members.items()
                if name not in known or name in found
            ]
        )

    return find


def _array_finder(items: Property) -> Finder | None:
    look = _finder(items)
    if look is None:
        return None

    def find(raw: bytes | msgspec.Raw) -> bytes | None:
        found = ((at, look(value)) for at, value in enumerate(_elements.decode(raw) or []))
        return _object([b'"%d":%b' % (at, text) for at, text in found if text is not None])

    return find


def _finder(prop: Property) -> Finder | None:
    """Return what finds unknown properties in a value of `prop`; None if the kind cannot have any."""
    if prop.type == "object":
        return _object_finder(prop)
    return None if prop.items is None else _array_finder(prop.items)


def _unless_plain(prop: Property) -> Finder | None:
    """Like `_finder`, but looks closer only where a strict decoder meets something unknown."""
    find = _finder(prop)
    if find is None:
        return None
    strict = msgspec.json.Decoder(_decoded_type(prop, strict=True))

    def look(raw: bytes | msgspec.Raw) -> bytes | None:
        try:
            strict.decode(raw)
        except msgspec.ValidationError:
            return find(raw)
        return None

    return look


def _object(members: list[bytes]) -> bytes | None:
    return b"{" + b",".join(members) + b"}" if members else None


@lru_cache(maxsize=4096)
def _key(name: str) -> bytes:
    return msgspec.json.encode(name) + b":"


def _compact(raw: bytes | msgspec.Raw) -> bytes:
    """Remove white space between tokens; numbers, strings and order stay as they were."""
    text = bytes(raw)
    return msgspec.json.format(text, indent=-1) if text[:1] in _BRACKETS else text


_BRACKETS = (b"{", b"[")


def _reader_type(prop: Property) -> pa.DataType:
    """Return what the JSON reader is asked for: all nullable, as it checks nulls in absent objects too."""
    if prop.type == "object":
        return pa.struct([pa.field(inner.name, _reader_type(inner)) for inner in prop.properties])
    if prop.items is not None:
        return pa.list_(_reader_type(prop.items))
    return READER_TYPES[prop.type]


READER_TYPES: dict[ValueType, pa.DataType] = {
    "string": pa.string(),
    "uuid": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "decimal": pa.decimal128(38, 9),
    "boolean": pa.bool_(),
    "timestamp": TIMESTAMP,
    "date": pa.timestamp("s"),  # the reader takes no dates from text, but midnights
    "json": pa.string(),
}

DECODED_TYPES: dict[ValueType, Any] = {
    "string": str,
    "uuid": str,
    "integer": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    "float": float,
    "decimal": msgspec.Raw,
    "boolean": bool,
    "timestamp": datetime,
    "date": date,
    "json": msgspec.Raw,
}


def _decoded_type(prop: Property, *, strict: bool) -> Any:
    decoded: Any
    if prop.type in RAW:  # not in a union with None: msgspec would take Raw for no type at all
        return msgspec.Raw
    if prop.type == "object":
        decoded = _struct(prop, strict=strict)
    elif prop.items is not None:
        decoded = list[_decoded_type(prop.items, strict=strict)]  # type: ignore[misc]
    else:
        decoded = DECODED_TYPES[prop.type]
    return decoded if prop.required else decoded | None


def _struct(prop: Property, *, strict: bool) -> type[msgspec.Struct]:
    """Return a struct with the attributes `p0`, `p1` and so on, as a JSON key can be any text."""
    fields: list[Any] = []
    for index, inner in enumerate(prop.properties):
        decoded = _decoded_type(inner, strict=strict)
        absent = NULL if inner.type in RAW else None
        fields.append((f"p{index}", decoded) if inner.required else (f"p{index}", decoded, absent))
    return msgspec.defstruct(
        "Row",
        fields,
        rename={f"p{index}": inner.name for index, inner in enumerate(prop.properties)},
        forbid_unknown_fields=strict,
        kw_only=True,
        gc=False,
    )


NULL = msgspec.Raw(b"null")
RAW: frozenset[ValueType] = frozenset({"decimal", "json"})
"""Kinds whose text is kept as it stands, null included."""

Mender = Callable[[Any], Any]
"""Turns a decoded value into one whose JSON the reader takes."""


def _mender(prop: Property, path: str) -> Mender | None:
    """Return what has to be done to a decoded value of `prop` before it is written again; None: nothing."""
    if prop.type == "decimal":
        return lambda raw: _plain_decimal(raw, path)
    if prop.type == "json":
        return lambda raw: _json_text(raw, path)
    if prop.items is not None:
        each = _mender(prop.items, f"{path}[]")
        return None if each is None else lambda items: items and [v if v is None else each(v) for v in items]
    if prop.type != "object":
        return None
    menders = [
        (f"p{index}", mender)
        for index, inner in enumerate(prop.properties)
        if (mender := _mender(inner, f"{path}.{inner.name}" if path else inner.name)) is not None
    ]

    def mend(event: Any) -> Any:
        for name, mender in menders:
            value = getattr(event, name)
            if value is not None:
                setattr(event, name, mender(value))
        return event

    return mend if menders else None


_fits = re.compile(PLAIN_DECIMAL.encode()).fullmatch
_exact = Context(prec=38, traps=[Inexact, InvalidOperation])
_scale = Decimal("1e-9")


def _plain_decimal(raw: msgspec.Raw, path: str) -> msgspec.Raw:
    """Write the number in plain digits: the reader takes most exponents, but not all."""
    if _fits(raw) or raw == NULL:
        return raw
    text = bytes(raw).decode()
    try:
        number = _exact.quantize(Decimal(text), _scale)
    except (Inexact, InvalidOperation) as error:
        message = f"{path}: expected a number that DECIMAL(38,9) holds exactly, got {text[:60]}"
        raise RefusedRow(message) from error
    return msgspec.Raw(f"{number:f}".encode())


def _json_text(raw: msgspec.Raw, path: str) -> str | None:
    if raw == NULL:
        return None
    try:
        return _compact(raw).decode()
    except UnicodeDecodeError as error:
        message = f"{path}: expected UTF-8, got byte {error.object[error.start]:#x}"
        raise RefusedRow(message) from error
    except RecursionError as error:
        message = f"{path}: expected JSON that is nested less deeply"
        raise RefusedRow(message) from error
