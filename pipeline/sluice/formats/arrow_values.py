"""Arrow arrays -> values for canonical lines of JSON; the functions are compiled once for each column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sluice.formats.canonical_rows import (
    base64_text,
    date_text,
    decimal_number,
    duration_text,
    float_or_text,
    time_text,
    timestamp_text,
)

Values = Callable[[pa.Array], list[Any]]
"""An array -> a value for each of its elements, None where it is null."""

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_MILLISECONDS = 86_400_000


def compile_rows(schema: pa.Schema) -> Callable[[pa.RecordBatch], list[dict[str, Any]]]:
    """Return the function from a batch to its rows.

    Raises:
        ValueError: a column has a type that is not supported, or the name of another column.

    """
    names, columns = _members(schema)

    def rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
        if not columns:
            return [{} for _ in range(batch.num_rows)]
        values = [convert(column) for convert, column in zip(columns, batch.columns, strict=True)]
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]

    return rows


def _members(fields: Any) -> tuple[list[str], list[Values]]:
    names = [field.name for field in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        message = f"two columns are named {twice!r}"
        raise ValueError(message)
    return names, [_compile(field.type, field.name) for field in fields]


def _compile(kind: pa.DataType, name: str) -> Values:
    for is_kind, compile_kind in _KINDS:
        if is_kind(kind):
            return compile_kind(kind, name)
    message = f"column {name!r} has the type {kind}, which is not supported"
    raise ValueError(message)


def _plain(kind: pa.DataType, name: str) -> Values:
    del kind, name
    return lambda array: list(array.to_pylist())


def _each(function: Callable[[Any], Any], array: pa.Array) -> list[Any]:
    return [None if value is None else function(value) for value in array.to_pylist()]


def _using(function: Callable[[Any], Any]) -> Callable[[pa.DataType, str], Values]:
    def compile_kind(kind: pa.DataType, name: str) -> Values:
        del kind, name
        return partial(_each, function)

    return compile_kind


def _floats(kind: pa.DataType, name: str) -> Values:
    del kind, name

    def values(array: pa.Array) -> list[Any]:
        if pc.all(pc.is_finite(array)).as_py() in (True, None):
            return list(array.to_pylist())
        return _each(float_or_text, array)

    return values


def _integers(function: Callable[[int], Any]) -> Callable[[pa.DataType, str], Values]:
    def compile_kind(kind: pa.DataType, name: str) -> Values:
        del name
        integer = pa.int32() if kind.bit_width == pa.int32().bit_width else pa.int64()
        return lambda array: _each(function, array.view(integer))

    return compile_kind


def _timed(kind: pa.DataType, name: str) -> Values:
    per_second = _PER_SECOND[kind.unit]
    if pa.types.is_timestamp(kind):
        function = partial(timestamp_text, per_second=per_second, zone="Z" if kind.tz else "")
    elif pa.types.is_duration(kind):
        function = partial(duration_text, per_second=per_second)
    else:
        function = partial(time_text, per_second=per_second)
    return _integers(function)(kind, name)


def _struct(kind: pa.DataType, name: str) -> Values:
    del name
    names, members = _members(list(kind))

    def values(array: pa.Array) -> list[Any]:
        columns = [convert(column) for convert, column in zip(members, array.flatten(), strict=True)]
        rows = zip(*columns, strict=True) if columns else ((),) * len(array)
        return [
            dict(zip(names, row, strict=True)) if valid else None
            for valid, row in zip(array.is_valid().to_pylist(), rows, strict=True)
        ]

    return values


def _list(kind: pa.DataType, name: str) -> Values:
    items = _compile(kind.value_type, name)
    return lambda array: _grouped(items(array.flatten()), pc.list_value_length(array).to_pylist())


def _grouped(items: Sequence[Any], lengths: Sequence[int | None]) -> list[Any]:
    groups: list[Any] = []
    at = 0
    for length in lengths:
        groups.append(None if length is None else items[at : at + length])
        at += length or 0
    return groups


def _map(kind: pa.DataType, name: str) -> Values:
    """Return objects if keys are texts and differ, else lists of `{"key": …, "value": …}`."""
    is_text = _any(*_TEXTS)(kind.key_type)
    convert_key, convert_value = _compile(kind.key_type, name), _compile(kind.item_type, name)

    def entries(pairs: Sequence[tuple[Any, Any]]) -> Any:
        if is_text and len(members := dict(pairs)) == len(pairs):
            return members
        return [{"key": key, "value": value} for key, value in pairs]

    def values(array: pa.Array) -> list[Any]:
        offsets = array.offsets.to_pylist()
        first, size = offsets[0], offsets[-1] - offsets[0]
        keys = convert_key(array.keys.slice(first, size))
        pairs = list(zip(keys, convert_value(array.items.slice(first, size)), strict=True))
        bounds = zip(array.is_valid().to_pylist(), pairwise(offsets), strict=True)
        return [
            entries(pairs[start - first : end - first]) if valid else None for valid, (start, end) in bounds
        ]

    return values


def _dictionary(kind: pa.DataType, name: str) -> Values:
    values = _compile(kind.value_type, name)
    return lambda array: values(array.dictionary_decode())


def _extension(kind: pa.DataType, name: str) -> Values:
    if kind.extension_name == "arrow.uuid":
        return partial(_each, str)
    storage = _compile(kind.storage_type, name)
    if kind.extension_name == "arrow.json":
        return lambda array: [value if value is None else _json(value) for value in storage(array.storage)]
    return lambda array: storage(array.storage)


def _json(text: str) -> Any:
    """Return a JSON text as the value that it is, to the digit; what is no JSON as a text."""
    try:
        return msgspec.Raw(msgspec.json.format(text.encode(), indent=-1))
    except msgspec.DecodeError:
        return text


def _any(*names: str) -> Callable[[pa.DataType], bool]:
    checks = [getattr(pa.types, f"is_{name}") for name in names]
    return lambda kind: any(check(kind) for check in checks)


_TEXTS = ("string", "large_string", "string_view")
_BYTES = ("binary", "large_binary", "fixed_size_binary", "binary_view")

_KINDS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType, str], Values]], ...] = (
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _extension),
    (_any("null", "boolean", "integer", *_TEXTS), _plain),
    (_any("decimal"), _using(decimal_number)),
    (_any("floating"), _floats),
    (_any("timestamp", "time", "duration"), _timed),
    (_any("date32"), _integers(date_text)),
    (_any("date64"), _integers(lambda value: date_text(value // _DAY_MILLISECONDS))),
    (_any(*_BYTES), _using(base64_text)),
    (_any("struct"), _struct),
    (_any("map"), _map),
    (_any("list", "large_list", "fixed_size_list"), _list),
    (_any("dictionary"), _dictionary),
)
