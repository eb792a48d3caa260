"""Stored line -> the same values in the one form that pyarrow's JSON reader takes exactly."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import msgspec

from sluice.arrow.json_structs import NULL, UnconvertibleLine, attribute, struct_of
from sluice.arrow.unknown_members import compact
from sluice.contracts import DECIMAL_PRECISION, DECIMAL_SCALE, Property, path_text
from sluice.contracts.patterns import DECIMAL_PATTERN
from sluice.contracts.walk import ITEM, Path
from sluice.formats.json_syntax import NOT_JSON

_Convert = Callable[[Any], Any]
"""Decoded value -> the value that is encoded."""


class Canonicalizer:
    """Rewrites lines one by one; members outside the contract are left out."""

    def __init__(self, root: Property) -> None:
        """Compile `root`, the object that a line is."""
        self._decode = msgspec.json.Decoder(struct_of(root, strict=False)).decode
        self._convert = _converter(root, ())
        self._encode = msgspec.json.Encoder().encode

    def rewrite(self, line: bytes) -> bytes:
        """Return the line with timestamps in UTC, decimals in plain digits and values of type `json` as strings.

        Raises:
            UnconvertibleLine: the line cannot become a row.

        """
        try:
            event = self._decode(line)
        except NOT_JSON as error:
            raise UnconvertibleLine.from_error(error) from error
        return self._encode(event if self._convert is None else self._convert(event))


def _converter(prop: Property, path: Path) -> _Convert | None:
    """Return how a decoded value of `prop` is converted before it is encoded; None: it is not."""
    if prop.type == "decimal":
        return lambda raw: _plain_decimal(raw, path)
    if prop.type == "json":
        return lambda raw: _json_text(raw, path)
    if prop.type == "object":
        return _object_converter(prop, path)
    convert = None if prop.items is None else _converter(prop.items, (*path, ITEM))
    if convert is None:
        return None
    return lambda items: items and [value if value is None else convert(value) for value in items]


def _object_converter(prop: Property, path: Path) -> _Convert | None:
    converters = [
        (attribute(index), convert)
        for index, member in enumerate(prop.properties)
        if (convert := _converter(member, (*path, member.name))) is not None
    ]

    def convert_members(event: Any) -> Any:
        for name, convert in converters:
            value = getattr(event, name)
            if value is not None:
                setattr(event, name, convert(value))
        return event

    return convert_members if converters else None


_is_plain_decimal = re.compile(DECIMAL_PATTERN.encode()).fullmatch
_exact = Context(prec=DECIMAL_PRECISION, traps=[Inexact, InvalidOperation])
_unit = Decimal(1).scaleb(-DECIMAL_SCALE)


def _plain_decimal(raw: msgspec.Raw, path: Path) -> msgspec.Raw:
    """Return the number without an exponent, as pyarrow's reader takes most exponents, but not all."""
    if _is_plain_decimal(raw) or raw == NULL:
        return raw
    text = bytes(raw).decode()
    try:
        number = _exact.quantize(Decimal(text), _unit)
    except (Inexact, InvalidOperation) as error:
        decimal = f"DECIMAL({DECIMAL_PRECISION},{DECIMAL_SCALE})"
        message = f"{path_text(path)}: expected a number that {decimal} holds exactly, got {text[:60]}"
        raise UnconvertibleLine(message) from error
    return msgspec.Raw(f"{number:f}".encode())


def _json_text(raw: msgspec.Raw, path: Path) -> str | None:
    if raw == NULL:
        return None
    try:
        return compact(raw).decode()
    except UnicodeDecodeError as error:
        message = f"{path_text(path)}: expected UTF-8, got byte {error.object[error.start]:#x}"
        raise UnconvertibleLine(message) from error
    except RecursionError as error:
        message = f"{path_text(path)}: expected JSON that is nested less deeply"
        raise UnconvertibleLine(message) from error
