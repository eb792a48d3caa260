"""Segments of orders for the embedded warehouse, how to load them, and how to query its file."""

from __future__ import annotations

from typing import Any

import duckdb
from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import count_windows
from sluice.contracts import Contract, Property
from sluice.elements import Segment
from sluice.warehouses import SegmentLoad
from sluice.warehouses.duckdb.warehouse import DuckDBWarehouse

from tests.warehouses.order_segments import ID, MINUTE, NOW

ORDER = Contract(
    event_type="order",
    table="order_events",
    id="order",
    version="1.0.0",
    domain="shop",
    description="What the shop's customers order.",
    properties=(
        Property("order_id", "uuid", required=True, description="The order's own id."),
        Property("at", "timestamp", required=True),
        Property(
            "items",
            "array",
            items=Property(
                "item", "object", properties=(Property("product_id", "uuid"), Property("price", "decimal"))
            ),
        ),
        Property("address", "object", properties=(Property("city", "string"),)),
        Property("total", "decimal"),
        Property("note", "json"),
        Property("day", "date"),
        Property("paid", "boolean"),
        Property("ratio", "float"),
        Property("count", "integer"),
    ),
    event_time="at",
)


FULL = (
    f'{{"order_id":"{ID}","at":"2025-02-08T13:09:07.5Z","items":[{{"product_id":"{ID}","price":87.66}}],'
    '"address":{"city":"Riga"},"total":12345678901234567890.123456789,"note":{"a":[1.10,1e999]},'
    '"day":"2024-02-29","paid":true,"ratio":0.1,"count":7,"foo":"a\\u0000b"}'
).encode()


def line(second: int, minute: str = "13:09") -> bytes:
    return f'{{"order_id":"{ID}","at":"2025-02-08T{minute}:{second:02d}Z"}}'.encode()


def segment(number: int, *lines: bytes, minute: int = MINUTE, event_type: str = "order") -> Segment:
    return Segment(f"{number:032x}", event_type, f"files/{event_type}/{number}.json", minute, lines)


def load(warehouse: DuckDBWarehouse, contract: Contract, order_segment: Segment) -> list[tuple[int, str]]:
    table, row_errors = to_table(
        contract, order_segment, [f"{n:032x}" for n in range(len(order_segment.lines))], NOW
    )
    return warehouse.load(
        SegmentLoad(contract, order_segment, table, row_errors, count_windows(table["at"]), NOW)
    )


def query(warehouse: DuckDBWarehouse, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(warehouse.file) as connection:
        return connection.execute(sql).fetchall()
