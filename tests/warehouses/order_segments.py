"""Segments of orders whose values are hard to store, how to load them, and how to read them back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import count_windows
from sluice.contracts import Contract, Property
from sluice.elements import Segment
from sluice.retry import RetryPolicy
from sluice.warehouses import RowError, SegmentLoad, Warehouse, open_warehouse

from tests.warehouses.backends import Backend

NOW = datetime(2025, 2, 8, 14, 0, tzinfo=UTC)
MINUTE = 1739020140  # 2025-02-08T13:09:00Z

_LEAF = Property("leaf", "object", properties=(Property("name", "string"), Property("price", "decimal")))
_SOLD = (
    Property("by", "string", required=True),
    Property("price", "decimal", required=True),
    Property("at", "timestamp", required=True),
    Property("day", "date", required=True),
    Property("gift", "boolean", required=True),
    Property("tags", "array", required=True, items=Property("item", "string", required=True)),
    Property("shop", "object", required=True, properties=(Property("id", "integer", required=True),)),
)
"""An object that may be absent, but not a part of it."""
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
        Property("text", "string"),
        Property("total", "decimal"),
        Property("ratio", "float"),
        Property("number", "integer"),
        Property("paid", "boolean"),
        Property("day", "date"),
        Property("tags", "array", items=Property("item", "string", required=True)),
        Property(
            "items",
            "array",
            items=Property(
                "item",
                "object",
                required=True,
                properties=(
                    Property("product_id", "uuid"),
                    Property("price", "decimal"),
                    Property("since", "timestamp"),
                    Property("sizes", "array", items=Property("item", "integer", required=True)),
                ),
            ),
        ),
        Property(
            "deep",
            "object",
            properties=(
                Property(
                    "a",
                    "object",
                    properties=(
                        Property(
                            "b",
                            "object",
                            properties=(
                                Property(
                                    "c",
                                    "array",
                                    items=Property("item", "object", required=True, properties=(_LEAF,)),
                                ),
                            ),
                        ),
                    ),
                ),
            ),
        ),
        Property("note", "json"),
        Property("sold", "object", properties=_SOLD),
        Property(
            "sales",
            "array",
            items=Property(
                "item",
                "object",
                required=True,
                properties=(Property("n", "integer"), Property("sold", "object", properties=_SOLD)),
            ),
        ),
    ),
    event_time="at",
)
DEAD_LETTER = Contract(
    event_type="dead_letter",
    table="dead_letters",
    id="dead_letter",
    version="1.0.0",
    domain="sluice",
    description="",
    properties=(Property("at", "timestamp", required=True), Property("payload", "string")),
    event_time="at",
)
ID = "620e9530-8d35-4315-aaeb-1ce969de2672"


EMPTY_ORDER: dict[str, Any] = {prop.name: None for prop in ORDER.properties} | {
    "order_id": ID,
    "at": datetime(2025, 2, 8, 13, 9, tzinfo=UTC),
    "_extra": None,
}
"""What is read back of an order without optional properties; `_extra` included."""


def order(second: float = 0, **properties: Any) -> bytes:
    """Return the line of an order; a property whose value is bytes stands there as that JSON text."""
    members = {"order_id": ID, "at": f"2025-02-08T13:09:{second:09.6f}Z", **properties}
    texts = (
        f"{json.dumps(name)}:{value.decode() if isinstance(value, bytes) else json.dumps(value)}"
        for name, value in members.items()
    )
    return ("{" + ",".join(texts) + "}").encode()


def segment(number: int, *lines: bytes, event_type: str = "order") -> Segment:
    """Return a segment; its number becomes its id and the prefix of its events' ids."""
    return Segment(f"{number:032x}", event_type, f"files/{event_type}/{number}.json", MINUTE, lines)


def segment_load(
    number: int, *lines: bytes, contract: Contract = ORDER, event_type: str = "order"
) -> SegmentLoad:
    """Return the load of a segment of these lines, as the step of the graph makes it."""
    return _segment_load(contract, segment(number, *lines, event_type=event_type))


def _segment_load(contract: Contract, stored: Segment) -> SegmentLoad:
    identities = [f"{stored.id[-16:]}{number:016x}" for number in range(len(stored.lines))]
    rows, row_errors = to_table(contract, stored, identities, NOW)
    return SegmentLoad(contract, stored, rows, row_errors, count_windows(rows["at"]), NOW)


def load(warehouse: Warehouse, contract: Contract, stored: Segment) -> list[RowError]:
    """Load as the step of the graph does."""
    return warehouse.load(_segment_load(contract, stored))


def events(number: int) -> list[bytes]:
    """Return the lines of a segment: enough to take several packets, one that no warehouse is offered."""
    return [*(order(second, text=f"{number} {'x' * 2000}") for second in range(50)), b'{"at":7}']


Again = Callable[[Callable[[], Any]], Any]
"""Calls an action until it does not fail any more."""


def load_until_done(warehouse: Warehouse, number: int, again: Again) -> None:
    """Do what the step of the graph does with a segment."""
    order_segment = segment(number, *events(number))
    if again(lambda: warehouse.row_errors(order_segment.id, order_segment.minute)) is None:
        again(lambda: load(warehouse, ORDER, order_segment))


def load_all_patiently(url: str, segments: int) -> None:
    """Load so many segments, as a worker does."""
    warehouse = open_warehouse(url)
    for number in range(segments):
        load_until_done(warehouse, number, RetryPolicy(60))


def prepared(url: str) -> Warehouse:
    """Return the warehouse with its tables."""
    warehouse = open_warehouse(url)
    warehouse.prepare([ORDER, DEAD_LETTER])
    return warehouse


def read_back(backend: Backend, contract: Contract = ORDER) -> list[dict[str, Any]]:
    """Return the rows of the contract's table in the order of their events, each value as `plain` makes it."""
    names = [prop.name for prop in contract.properties]
    quote = "`" if backend.url.startswith("bigquery:") else '"'
    columns = ", ".join(f"{quote}{name}{quote}" for name in (*names, "_extra"))
    rows = backend.query(f"SELECT {columns} FROM {contract.table} ORDER BY _event_id")
    return [
        {
            **{prop.name: plain(prop, value) for prop, value in zip(contract.properties, row, strict=False)},
            "_extra": plain(Property("_extra", "json"), row[-1]),
        }
        for row in rows
    ]


def plain(prop: Property, value: Any) -> Any:
    """Return what a warehouse holds for a property as one Python value, whatever the warehouse's own type is."""
    if value is None:
        return None
    if prop.type in ("object", "array", "json") and isinstance(value, str):
        value = json.loads(value, parse_float=Decimal)
    if prop.type == "object":
        return {member.name: plain(member, value.get(member.name)) for member in prop.properties}
    if prop.items is not None:
        return [plain(prop.items, item) for item in value]
    return PLAIN.get(prop.type, lambda same: same)(value)


def as_stored(backend: Backend, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a warehouse holds of an order: BigQuery has no null arrays, only empty ones."""
    if not backend.url.startswith("bigquery:"):
        return dict(row)
    return {name: _without_null_arrays(_PROPERTIES.get(name), value) for name, value in row.items()}


def _without_null_arrays(prop: Property | None, value: Any) -> Any:
    if prop is not None and prop.items is not None:
        return [_without_null_arrays(prop.items, item) for item in value or []]
    if prop is not None and prop.type == "object" and value is not None:
        return {
            member.name: _without_null_arrays(member, value.get(member.name)) for member in prop.properties
        }
    return value


_PROPERTIES = {prop.name: prop for prop in ORDER.properties}


def _timestamp(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment.astimezone(UTC)


PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "uuid": lambda value: str(value).lower(),
    "decimal": Decimal,
    "float": float,
    "timestamp": _timestamp,
    "date": lambda value: value if isinstance(value, date) else date.fromisoformat(value),
    "boolean": bool,
}


def event_counts(backend: Backend) -> list[tuple[str, datetime, datetime, int]]:
    """Return the rows of `event_counts`, in order."""
    rows = backend.query("SELECT event_type, window_start, window_end, events FROM event_counts")
    return sorted((kind, _timestamp(start), _timestamp(end), int(n)) for kind, start, end, n in rows)


def segment_rows(backend: Backend) -> list[tuple[Any, ...]]:
    """Return the rows of `_segments`: id, event type, path, minute, events, refused, time of loading."""
    columns = "segment_id, event_type, path, minute, events, refused, ingested_at"
    rows = backend.query(f"SELECT {columns} FROM _segments ORDER BY segment_id")
    return [(*row[:3], _timestamp(row[3]), int(row[4]), int(row[5]), _timestamp(row[6])) for row in rows]


def number_of(backend: Backend, table: str) -> int:
    """Return how many rows a table has."""
    return int(backend.query(f"SELECT count(*) FROM {table}")[0][0])


def numbers(row_errors: Sequence[RowError]) -> list[int]:
    """Return the refused lines without the reasons."""
    return [line for line, _ in row_errors]
