"""Contract -> content of a stored line: what its row says, in whatever way the line spells it.

Two lines with the same deduplication key are the same event if their content is equal. Otherwise they conflict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
import xxhash

from sluice.contracts import REPAIRED_KEY, Contract, Property
from sluice.validation.value_checks import Number, instant

ContentFunction = Callable[[bytes], bytes]
"""A line of the event log -> the hash of its content, 16 bytes."""

_Canonical = Callable[[Any], Any]

_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_MAX_EXPONENT_DIGITS = 18


def compile_content(contract: Contract) -> ContentFunction:
    """Compile the function that hashes the content of a stored event of `contract`: 128-bit xxh3.

    No part of the content are: the order of members, white space, escapes, trailing zeros of numbers, the case of a
    UUID, the offset of a timestamp, null in place of an absent property, and how a malformed line was repaired. An
    event time that may be the arrival (`eventTimeDefault`) is none either. Masked values are compared as they are
    stored. Members outside the contract count. The time is linear in the line's length.
    """
    canonical_members = _members(contract.properties)
    ignored = [REPAIRED_KEY]
    if contract.event_time is not None and contract.event_time_from_arrival:
        ignored.append(contract.event_time)

    def content_of(line: bytes) -> bytes:
        try:
            event = json.loads(line, parse_float=_number, parse_int=_number)
            for name in ignored:
                event.pop(name, None)
            text = msgspec.json.encode(canonical_members(event), enc_hook=_number_text, order="sorted")
        except (ValueError, RecursionError):  # what Python cannot read is compared as it is written
            text = line
        return xxhash.xxh3_128_digest(text)

    return content_of


def _members(properties: tuple[Property, ...]) -> _Canonical:
    names = frozenset(prop.name for prop in properties)
    canonical = {prop.name: function for prop in properties if (function := _canonical(prop)) is not None}

    def canonical_members(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            name: canonical[name](member) if name in canonical else member
            for name, member in value.items()
            if member is not None or name not in names
        }

    return canonical_members


def _canonical(prop: Property) -> _Canonical | None:
    """Return what gives a value its one spelling; None if it has no other."""
    if prop.type == "object":
        return _members(prop.properties)
    if prop.items is not None:
        return _items(prop.items)
    return {"uuid": _lower, "timestamp": _utc}.get(prop.type)


def _items(items: Property) -> _Canonical | None:
    canonical = _canonical(items)
    if canonical is None:
        return None
    return lambda value: list(map(canonical, value)) if isinstance(value, list) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _utc(value: Any) -> Any:
    return instant(value) or value  # the hash of a masked timestamp is none


def _number(text: str) -> Number:
    """Return the one spelling of a number: its digits without zeros at either end, and a power of ten."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return Number(text)
    sign, whole, fraction, exponent = match.groups(default="")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return Number("0")
    if len(exponent) > _MAX_EXPONENT_DIGITS:
        return Number(text)
    power = int(exponent or 0) - len(fraction) + len(digits) - len(significant)
    return Number(f"{sign}{significant}e{power}")


def _number_text(number: Any) -> msgspec.Raw:
    return msgspec.Raw(number.text.encode())
