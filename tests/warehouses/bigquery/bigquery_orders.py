"""Rows of orders that BigQuery rejects."""

from __future__ import annotations

from collections.abc import Set

import pyarrow as pa
from sluice.arrow.from_json import to_table

from tests.warehouses.order_segments import NOW, ORDER, order, segment


def spoilt(rows: int, bad: Set[int], number: int = 1) -> pa.Table:
    """Return rows, some of which hold a text that is not UTF-8: what no contract lets through."""
    order_segment = segment(number, *(order(n % 60, text=f"row {n}") for n in range(rows)))
    table, _ = to_table(ORDER, order_segment, [f"{number:016x}{n:016x}" for n in range(rows)], NOW)
    texts = [b"\xff\xfe" if n in bad else f"row {n}".encode() for n in range(rows)]
    raw = pa.array(texts, pa.binary())
    text = pa.Array.from_buffers(pa.string(), rows, [None, *raw.buffers()[1:]])
    return table.set_column(table.schema.get_field_index("text"), table.schema.field("text"), text)
