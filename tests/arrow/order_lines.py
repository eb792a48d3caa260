"""Lines of one contract for the suites of the tables that they become."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from sluice.contracts import Contract, Property
from sluice.elements import Segment

NOW = datetime(2025, 2, 8, 14, 0, tzinfo=UTC)
ITEM = Property(
    "item",
    "object",
    required=True,
    properties=(Property("product_id", "uuid", required=True), Property("price", "decimal", required=True)),
)
ORDER = Contract(
    event_type="order",
    table="order_events",
    id="order",
    version="1.0.0",
    domain="shop",
    description="Orders.",
    properties=(
        Property("event_type", "string", required=True),
        Property("at", "timestamp", required=True),
        Property("items", "array", items=ITEM),
        Property("address", "object", properties=(Property("city", "string", required=True),)),
        Property("count", "integer"),
        Property("ratio", "float"),
        Property("total", "decimal"),
        Property("paid", "boolean"),
        Property("day", "date"),
    ),
    event_time="at",
)
START = b'{"event_type":"order","at":"2025-02-08T13:09:00Z"'


def segment(*lines: bytes) -> Segment:
    return Segment("5e" * 16, "order", "files/order/x.json", 1739020140, lines)


def rows(columns: list[pa.Array]) -> list[list[Any]]:
    return [column.to_pylist() for column in columns]
