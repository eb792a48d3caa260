"""Column `_extra` -> the paths of the members that a contract does not name, and how many rows have each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa

from sluice.arrow.repaired_lines import is_note
from sluice.contracts import EXTRA_COLUMN, REPAIRED_KEY, Contract, Property

_MAX_PATH = 100

_decode = msgspec.json.Decoder(float_hook=str).decode


def count_unknown_paths(contract: Contract, rows: pa.Table) -> Counter[str]:
    """Return path -> rows that have it, such as `metadata.foo` or `items[].foo`; a row counts once for each path.

    A path ends at the member that the contract does not name, and is cut to 100 characters. Rows without such members
    cost nothing.
    """
    paths: Counter[str] = Counter()
    column = rows.column(EXTRA_COLUMN)
    if column.null_count == len(column):
        return paths
    root = Property("", "object", properties=contract.properties)
    texts, numbers = column.drop_null().value_counts().flatten()  # producers repeat themselves
    for text, number in zip(texts.to_pylist(), numbers.to_pylist(), strict=True):
        if is_note(text):
            continue
        members = {name: value for name, value in _read(text).items() if name != REPAIRED_KEY}
        for path in set(_paths(root, members, "")):
            paths[path] += number
    return paths


def _read(text: str) -> dict[str, Any]:
    try:
        members: dict[str, Any] = _decode(text)
    except msgspec.ValidationError:  # an integer of thousands of digits
        members = dict.fromkeys(msgspec.json.decode(text, type=dict[str, msgspec.Raw]))
    return members


def _paths(prop: Property, value: Any, path: str) -> Iterator[str]:
    """Yield the paths in a value of `prop`, of which `_extra` has only what is unknown; items are named by index."""
    if prop.type == "object" and prop.properties and isinstance(value, dict):
        known = {member.name: member for member in prop.properties}
        for name, member in value.items():
            below = f"{path}.{name}" if path else name
            if name in known:
                yield from _paths(known[name], member, below)
            else:
                yield below if len(below) <= _MAX_PATH else f"{below[: _MAX_PATH - 1]}…"
    elif prop.items is not None and isinstance(value, dict):
        for item in value.values():
            yield from _paths(prop.items, item, f"{path}[]")
    else:
        yield path  # the table lacks what the contract has
