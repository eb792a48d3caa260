"""The parts of a malformed line that are JSON, for a parser in C."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

_BRACE = ord("{")
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def parse_object(text: str) -> tuple[str | None, dict[str, msgspec.Raw]]:
    """Return a JSON object without escapes, compact, and its members; none if it is no object or repeats a key."""
    try:
        compact = msgspec.json.format(text.encode(), indent=-1)
        members = _decode_object(compact)
    except (*_NOT_JSON, msgspec.ValidationError):
        return None, {}
    if not members or _count_keys(members) < compact.count(b'":'):
        return None, {}
    return compact.decode(), members


def _count_keys(members: Mapping[str, msgspec.Raw]) -> int:
    """Return how many members an object and the objects in it have, each key of an object counted once."""
    count = len(members)
    for value in members.values():
        if memoryview(value)[0] == _BRACE:
            count += _count_keys(_decode_object(value))
    return count


def unescape_object(line: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of a line that is a JSON string, or whose object has its quotes escaped, and the rule for it."""
    start = line.find("{")
    if start < 0 or '\\"' not in line[start : start + 8]:
        return line, ()
    stop = line.rfind("}") + 1 or len(line)
    try:
        inner = msgspec.json.decode(f'"{line[start:stop]}"', type=str)
    except _NOT_JSON:
        return line, ()
    before, behind = line[:start].removesuffix('"'), line[stop:].strip().removeprefix('"')
    return before + inner + behind, ("escaped",)
