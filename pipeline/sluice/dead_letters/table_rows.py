"""Line of the dead-letter log -> the line that its table takes, whatever the record, its key or its headers held.

The log keeps a dead letter as it is, and redelivery reads the log alone. No warehouse takes all texts: PostgreSQL has
no zero character, and Snowflake and appends to BigQuery have limits of size. So what a table may not take is escaped
or cut, and the member `escaped` or `cut`, which is in `_extra` of the table, names the fields that differ from the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

ZERO = "\\u0000"
"""What stands in the table for a zero character."""

_ZERO = b"\\u0000"
"""How JSON has a zero character; a backslash before it makes it something else."""

_MARK = "…"
"""Ends a text that was cut."""

_ROOM = 4096
"""Bytes for the names of fields, and for numbers and times, beside the texts of a row."""


def table_line(line: bytes, max_bytes: int | None) -> bytes:
    """Return the line of a dead letter's row: the same one, unless a table could reject it.

    Args:
        line: of the dead-letter log.
        max_bytes: what a row of the warehouse may hold; None: as much as a record can have.

    """
    is_long = max_bytes is not None and len(line) > max_bytes
    if _ZERO not in line and not is_long:
        return line
    dead_letter = msgspec.json.decode(line)
    row, escaped = _map_texts(dead_letter, lambda text: text.replace("\0", ZERO))
    if escaped:
        row["escaped"] = escaped
    if max_bytes is not None and len(msgspec.json.encode(row)) > max_bytes:
        limit = _longest_text(row, max_bytes)
        row, cut = _map_texts(row, lambda text: _cut(text, limit))
        row["cut"] = cut
    return msgspec.json.encode(row)


def _map_texts(value: Any, function: Callable[[str], str]) -> tuple[Any, list[str]]:
    """Return a dead letter with `function` applied to every text and key; and the fields that this changed."""
    mapped = {name: _mapped(member, function) for name, member in value.items()}
    return mapped, sorted(name for name, member in mapped.items() if member != value[name])


def _mapped(value: Any, function: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return function(value)
    if isinstance(value, list):
        return [_mapped(item, function) for item in value]
    if not isinstance(value, dict):
        return value
    members: dict[str, Any] = {}
    for key, member in value.items():
        name, number = function(key), 1
        while name in members:  # two keys may have become one
            number += 1
            name = f"{function(key)}#{number}"
        members[name] = _mapped(member, function)
    return members


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from _texts(member)


def _longest_text(row: Any, max_bytes: int) -> int:
    """Return how long a text may be in JSON, so that all of the row fits; the short ones stay whole."""
    room, sizes = max_bytes - _ROOM, sorted(map(_size, _texts(row)))
    for at, size in enumerate(sizes):
        share = room // (len(sizes) - at)
        if size > share:
            return max(share, len(_MARK.encode()))
        room -= size
    return max_bytes


def _size(text: str) -> int:
    return len(msgspec.json.encode(text))


def _cut(text: str, limit: int) -> str:
    """Return the beginning of a text that JSON has in `limit` bytes."""
    if _size(text) <= limit:
        return text
    low, high = 0, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _size(text[:middle] + _MARK) <= limit else (low, middle - 1)
    return text[:low] + _MARK
