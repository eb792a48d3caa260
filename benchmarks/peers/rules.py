"""The rules of the contracts, written by hand one after the other, as users of other tools would have to."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

Violation = dict[str, str]
UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
ENUMS = {
    "status": {"pending", "processing", "shipped", "delivered"},
    "reason": {"restock", "sale", "return", "damage"},
    "activity_type": {"login", "logout", "view_product", "add_to_cart", "remove_from_cart"},
    "platform": {"web", "mobile", "tablet"},
}
TIMES = {"order": "order_date", "inventory": "timestamp", "user_activity": "timestamp"}
SCALE = 9
DIGITS = 29
MONEY = pa.decimal128(38, SCALE)
STAMP = pa.timestamp("us", "UTC")
SCHEMAS = {
    "order": pa.schema(
        [
            ("order_id", pa.string()),
            ("customer_id", pa.string()),
            ("order_date", STAMP),
            ("status", pa.string()),
            (
                "items",
                pa.list_(
                    pa.struct(
                        [
                            ("product_id", pa.string()),
                            ("product_name", pa.string()),
                            ("quantity", pa.int64()),
                            ("price", MONEY),
                        ]
                    )
                ),
            ),
            (
                "shipping_address",
                pa.struct([("street", pa.string()), ("city", pa.string()), ("country", pa.string())]),
            ),
            ("total_amount", MONEY),
        ]
    ),
    "inventory": pa.schema(
        [
            ("inventory_id", pa.string()),
            ("product_id", pa.string()),
            ("warehouse_id", pa.string()),
            ("quantity_change", pa.int64()),
            ("reason", pa.string()),
            ("timestamp", STAMP),
        ]
    ),
    "user_activity": pa.schema(
        [
            ("user_id", pa.string()),
            ("activity_type", pa.string()),
            ("ip_address", pa.string()),
            ("user_agent", pa.string()),
            ("timestamp", STAMP),
            ("metadata", pa.struct([("session_id", pa.string()), ("platform", pa.string())])),
        ]
    ),
}


class Checks:
    """Gathers the violations of one event."""

    def __init__(self) -> None:
        """Begin with none."""
        self.violations: list[Violation] = []

    def add(self, code: str, path: str, got: object) -> None:
        """Note one violation."""
        self.violations.append({"code": code, "path": path, "got": str(got)})

    def value(self, event: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
        """Return a property of the right JSON type, or None after noting what is wrong."""
        value = event.get(name)
        if value is None:
            self.add("missing", name, value)
        elif not isinstance(value, kind) or isinstance(value, bool):
            self.add("type", name, value)
        else:
            return value
        return None

    def uuid(self, event: dict[str, Any], name: str) -> None:
        """Check a UUID."""
        value = self.value(event, name, str)
        if value is not None and not UUID.fullmatch(value):
            self.add("format", name, value)

    def enum(self, event: dict[str, Any], name: str) -> None:
        """Check one of a list."""
        value = self.value(event, name, str)
        if value is not None and value not in ENUMS[name]:
            self.add("enum", name, value)

    def money(self, event: dict[str, Any], name: str) -> None:
        """Check an exact DECIMAL(38,9), and make it one."""
        value = self.value(event, name, (int, Decimal))
        if value is None:
            return
        exact = Decimal(value)
        if int(exact.as_tuple().exponent) < -SCALE or exact.adjusted() >= DIGITS:
            self.add("range", name, value)
        event[name] = exact

    def time(self, event: dict[str, Any], name: str) -> None:
        """Check a timestamp, and make it one."""
        value = self.value(event, name, str)
        if value is None:
            return
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            self.add("format", name, value)
        else:
            event[name] = time if time.tzinfo else time.replace(tzinfo=UTC)


def check_order(event: dict[str, Any], checks: Checks) -> None:
    """Hold an order against its rules."""
    checks.uuid(event, "order_id")
    checks.uuid(event, "customer_id")
    checks.time(event, "order_date")
    checks.enum(event, "status")
    for item in checks.value(event, "items", list) or ():
        checks.uuid(item, "product_id")
        checks.value(item, "product_name", str)
        checks.value(item, "quantity", int)
        checks.money(item, "price")
    address = checks.value(event, "shipping_address", dict)
    if address is not None:
        for name in ("street", "city", "country"):
            checks.value(address, name, str)
    checks.money(event, "total_amount")


def check_inventory(event: dict[str, Any], checks: Checks) -> None:
    """Hold an inventory movement against its rules."""
    for name in ("inventory_id", "product_id", "warehouse_id"):
        checks.uuid(event, name)
    change = checks.value(event, "quantity_change", int)
    if change is not None and not -100 <= change <= 100:
        checks.add("range", "quantity_change", change)
    checks.enum(event, "reason")
    checks.time(event, "timestamp")


def check_user_activity(event: dict[str, Any], checks: Checks) -> None:
    """Hold a user's activity against its rules."""
    checks.uuid(event, "user_id")
    checks.enum(event, "activity_type")
    checks.value(event, "ip_address", str)
    checks.value(event, "user_agent", str)
    checks.time(event, "timestamp")
    metadata = checks.value(event, "metadata", dict)
    if metadata is not None:
        checks.uuid(metadata, "session_id")
        checks.enum(metadata, "platform")


CHECKS = {"order": check_order, "inventory": check_inventory, "user_activity": check_user_activity}


def check(line: str | bytes) -> tuple[str, dict[str, Any], list[Violation]]:
    """Parse and check one line: its event type, the event, and what is wrong with it."""
    checks = Checks()
    event_type = "unknown"
    event: dict[str, Any] = {}
    try:
        event = json.loads(line, parse_float=Decimal)
    except (ValueError, InvalidOperation):
        checks.add("not_json", "", "")
    else:
        if not isinstance(event, dict):
            checks.add("not_an_object", "", "")
        elif event.get("event_type") not in CHECKS:
            checks.add("unknown_type", "event_type", event.get("event_type"))
        else:
            event_type = event["event_type"]
            CHECKS[event_type](event, checks)
    return event_type, event, checks.violations


def time_of(event: dict[str, Any]) -> datetime:
    """Return the event's time."""
    time: datetime = event[TIMES[event["event_type"]]]
    return time
