"""Avro object container files -> a canonical line of JSON for each row."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import fastavro
from fastavro.read import LOGICAL_READERS
from msgspec import Raw

from sluice.formats.avro_container import (
    Block,
    ByteReader,
    Header,
    avro_error,
    read_blocks,
    read_header,
    unpack,
)
from sluice.formats.canonical_rows import (
    base64_text,
    date_text,
    decimal_number,
    float_or_text,
    lines_of,
    numbered,
    time_text,
    timestamp_text,
)
from sluice.formats.json_lines import Records

_MOST_EMPTY_ROWS = 1_000_000
"""Rows without fields take no bytes, so that a damaged count would make as many as it says."""

_DAMAGED = (EOFError, ValueError, IndexError, OverflowError, TypeError, struct.error)
"""What fastavro raises for damaged rows, by their types; it has no errors of its own."""

_SCALED = fastavro.parse_schema(
    {
        "type": "record",
        "name": "sluice.big_decimal",
        "fields": [{"name": "unscaled", "type": "bytes"}, {"name": "scale", "type": "int"}],
    }
)


def read_avro(chunks: Iterable[bytes], name: str) -> Iterator[Records]:
    """Yield the rows of a whole file as lines of JSON. The offset of a record is the number of its row, from 0.

    Raises:
        SourceError: the file is cut off or damaged, or its codec or schema is not known; names `name`.

    """
    reader = ByteReader(chunks)
    header = read_header(reader, name)
    return read_avro_blocks(reader, header, name)


def read_avro_blocks(
    reader: ByteReader, header: Header, name: str, stop: int | None = None, row: int = 0
) -> Iterator[Records]:
    """Yield the rows of the blocks from the reader's place up to byte `stop`, of which the first is number `row`.

    Raises:
        SourceError: as `read_avro`.

    """
    return numbered(_lines(reader, header, stop, name, row), row)


def _lines(reader: ByteReader, header: Header, stop: int | None, name: str, row: int) -> Iterator[bytes]:
    schema = _rows_schema(header, name)
    for block in read_blocks(reader, header, stop, name):
        rows = _rows(block, unpack(block, header.codec, name), schema, name, row)
        row += len(rows)
        yield from lines_of(rows)


def _rows(block: Block, data: bytes, schema: Any, name: str, row: int) -> list[Any]:
    """Return the rows of a block. They are read as one array, whose encoding they have: their count, they, and 0."""
    if block.rows > len(data) + _MOST_EMPTY_ROWS:
        raise avro_error(name, block.at, f"the block is damaged: {block.rows} rows in {len(data)} bytes")
    stream = io.BytesIO(_zigzag(block.rows) + data + (b"\0" if block.rows else b""))
    try:
        rows: list[Any] = fastavro.schemaless_reader(stream, schema)
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        message = f"the block, whose first row is {row + 1}, is damaged: {reason}"
        raise avro_error(name, block.at, message) from error
    if stream.read(1) or len(rows) != block.rows:
        reason = (
            f"the block is damaged: expected {block.rows} rows in {len(data)} bytes, got rows of another size"
        )
        raise avro_error(name, block.at, reason)
    return rows


def _zigzag(count: int) -> bytes:
    value, encoded = count << 1, b""
    while value > 0x7F:  # noqa: PLR2004  seven bits a byte
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def _rows_schema(header: Header, name: str) -> Any:
    """Return the schema of an array of rows, whose values are converted to what `lines_of` takes."""
    try:
        schema = json.loads(header.metadata["avro.schema"])
        return fastavro.parse_schema({"type": "array", "items": _converting(schema)})
    except KeyError as error:
        raise avro_error(name, 0, "its header has no schema") from error
    except (
        ValueError,
        TypeError,
        RecursionError,
        AttributeError,
        fastavro.schema.SchemaParseException,
    ) as error:
        raise avro_error(name, 0, f"its schema is not valid: {error}") from error


def _converting(schema: Any) -> Any:
    """Return a schema in which every type that needs it has a logical type of Sluice's own, which converts its values.

    So the conversion is chosen where fastavro knows the branch of a union. Logical types that Avro does not know mean
    nothing, as its specification says.
    """
    if isinstance(schema, list):
        return [_converting(branch) for branch in schema]
    if not isinstance(schema, dict):
        return {"type": schema, "logicalType": _PLAIN[schema]} if schema in _PLAIN else schema
    inner = schema["type"]
    if isinstance(inner, list):
        return _converting(inner)
    if isinstance(inner, dict):
        return _converting({**schema, **inner})
    converted = {key: value for key, value in schema.items() if key != "logicalType"}
    for key in ("items", "values"):
        if key in schema:
            converted[key] = _converting(schema[key])
    if _is_empty(schema.get("items")):
        message = "an array of values without bytes, whose length nothing bounds"
        raise ValueError(message)
    if inner in ("record", "error"):
        converted["fields"] = [
            {"name": member["name"], "type": _converting(member["type"])} for member in schema["fields"]
        ]
    logical = f"sluice-{schema.get('logicalType')}"
    known = f"{inner}-{logical}" in LOGICAL_READERS
    if known or inner in _PLAIN:
        converted["logicalType"] = logical if known else _PLAIN[inner]
    return converted


def _is_empty(schema: Any) -> bool:
    if isinstance(schema, dict):
        return schema.get("fields") == [] or _is_empty(schema.get("type"))
    return bool(schema == "null")


_PLAIN: Mapping[str, str] = {
    "float": "sluice-float",
    "double": "sluice-float",
    "bytes": "sluice-bytes",
    "fixed": "sluice-bytes",
}
"""Types whose values JSON does not have, without a logical type."""


def _instant(value: int, per_second: int) -> str:
    return timestamp_text(value, per_second, "Z")


def _local(value: int, per_second: int) -> str:
    return timestamp_text(value, per_second, "")


def _decimal(value: bytes, schema: Mapping[str, Any]) -> Raw:
    unscaled = int.from_bytes(value, "big", signed=True)
    return _scaled(unscaled, schema.get("scale", 0))


def _scaled(unscaled: int, scale: int) -> Raw:
    digits = tuple(map(int, str(abs(unscaled))))
    return decimal_number(Decimal((int(unscaled < 0), digits, -scale)))


def _big_decimal(value: bytes) -> Raw:
    parts: Any = fastavro.schemaless_reader(io.BytesIO(value), _SCALED)
    return _scaled(int.from_bytes(parts["unscaled"], "big", signed=True), parts["scale"])


def _months_days_milliseconds(value: bytes) -> str:
    months, days, milliseconds = (int.from_bytes(value[at : at + 4], "little") for at in (0, 4, 8))
    return f"P{months}M{days}DT{milliseconds // 1000}.{milliseconds % 1000:03}S"


def _register() -> None:
    """Tell fastavro how values of Sluice's own logical types are read; it looks them up by type and name."""
    units = {"millis": 10**3, "micros": 10**6, "nanos": 10**9}
    timed: Mapping[str, Callable[..., str]] = {
        "timestamp": _instant,
        "local-timestamp": _local,
        "time": time_text,
    }
    plain: dict[str, Callable[[Any], Any]] = {
        "int-sluice-date": date_text,
        "int-sluice-time-millis": partial(time_text, per_second=10**3),
        "float-sluice-float": float_or_text,
        "double-sluice-float": float_or_text,
        "bytes-sluice-bytes": base64_text,
        "fixed-sluice-bytes": base64_text,
        "bytes-sluice-big-decimal": _big_decimal,
        "fixed-sluice-uuid": lambda value: str(UUID(bytes=value)),
        "fixed-sluice-duration": _months_days_milliseconds,
    }
    for kind, convert in timed.items():
        for unit, per_second in units.items():
            plain[f"long-sluice-{kind}-{unit}"] = partial(convert, per_second=per_second)
    for key, function in plain.items():
        LOGICAL_READERS[key] = lambda value, *_, function=function: function(value)
    for key in ("bytes-sluice-decimal", "fixed-sluice-decimal"):
        LOGICAL_READERS[key] = lambda value, schema, *_: _decimal(value, schema)


_register()
