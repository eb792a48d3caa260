"""Plain lines -> Arrow columns by the native core, with the members outside the contract; see `sluice.native_core`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from sluice.arrow.schema import SOURCE, arrow_field, event_fields
from sluice.contracts import Contract
from sluice.contracts.native_rules import describe
from sluice.line_block import LineBlock
from sluice.native_core import native_core

_UTC_PARTITION = 60
"""Length of a partition in seconds; columns have none."""


class NativeRows(NamedTuple):
    """The columns of plain lines."""

    properties: list[pa.Array]
    """Those of the contract."""
    extra: pa.Array
    sources: list[pa.Array]
    """The columns of `sluice.arrow.schema.SOURCE`, if the identity of the contract is `export`; else none."""
    others: Sequence[int]
    """Indexes of the lines that are not plain, in order."""


class NativeReader:
    """Reads the lines of one contract."""

    def __init__(self, contract: Contract) -> None:
        """Describe the contract to the core, if it is one that the core knows."""
        core, rules = native_core(), describe(contract)
        self._with_source = contract.identity == "export"
        self._types = [field.type for field in event_fields(contract)] + [pa.string()]
        if self._with_source:
            self._types += [arrow_field(prop, where=prop.name).type for prop in SOURCE]
        self._properties = len(contract.properties)
        self._read = None
        # A line with a delivery has a member of its own.
        if core is not None and rules is not None and contract.identity != "delivery":
            given = (contract.event_type, _UTC_PARTITION, contract.event_time, rules)
            self._read = core.Core([given], None).columns

    def read(self, lines: Sequence[bytes]) -> NativeRows | None:
        """Return the columns of the plain ones of `lines`; None if there is no core, or it takes none."""
        if self._read is None:
            return None
        block = LineBlock.of(lines)
        if block is not lines and block.data.count(b"\n") != len(lines):
            return None  # a line that is not from a log may have a line feed, between two members
        columns, unusual = self._read(0, block.data, self._with_source)
        others = memoryview(unusual).cast("I")
        if len(others) == len(lines):
            return None
        arrays = [_array(arrow_type, column) for arrow_type, column in zip(self._types, columns, strict=True)]
        known = self._properties
        return NativeRows(arrays[:known], arrays[known], arrays[known + 1 :], others)


def _array(
    arrow_type: pa.DataType, column: tuple[int, int, bytes | None, list[bytes], list[Any]]
) -> pa.Array:
    """Return a column of the core, whose buffers are those of an array of this type."""
    length, nulls, validity, values, members = column
    inner = []
    if pa.types.is_struct(arrow_type):
        inner = [_array(field.type, member) for field, member in zip(arrow_type, members, strict=True)]
    elif pa.types.is_list(arrow_type):
        inner = [_array(arrow_type.value_type, members[0])]
    buffers = [None if validity is None else pa.py_buffer(validity), *map(pa.py_buffer, values)]
    return pa.Array.from_buffers(arrow_type, length, buffers, nulls, 0, inner)
