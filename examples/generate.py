"""usage: generate.py [FOLDER]: write the sample history of backend events, and what must come of it.

Everything is made from one seed, so each call writes the same: twenty minutes of a shop's life in three files,
with all that real histories have: broken, repeated, late and unordered records, other offsets than UTC,
fields that no contract knows. `expected.json` counts them as they are made; no code of the pipeline is used.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

START = datetime(2025, 2, 8, 13, 0, tzinfo=UTC)
SECONDS = 1200
SEED = 20250208

T = TypeVar("T")
Event = dict[str, Any]

PRODUCTS = ("Lamp", "Desk", "Chair", "Mug", "Pen", "Bottle", "Café table", "Stühlchen", "椅子")
STREETS = ("Main St", "Brīvības iela", "Rue de l'Église", "Station Rd")
PLACES = (("Riga", "LV"), ("Lyon", "FR"), ("Leeds", "GB"), ("Zürich", "CH"))
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)",
    'shop-app/3.2 ("beta")',
)


class Maker:
    """Makes events. Only `random.random` is asked, whose sequence no version of Python changes."""

    def __init__(self, seed: int) -> None:
        """Make the shop's products, customers and warehouses."""
        self._random = random.Random(seed)
        self.products = [(self.uuid(), f"{self.pick(PRODUCTS)} {number}") for number in range(60)]
        self.customers = [self.uuid() for _ in range(300)]
        self.warehouses = [self.uuid() for _ in range(6)]

    def number(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, choices: list[T] | tuple[T, ...]) -> T:
        """Return one of `choices`."""
        return choices[self.number(0, len(choices) - 1)]

    def uuid(self) -> str:
        """Return a version 4 UUID."""
        digits = "".join(f"{self.number(0, 65535):04x}" for _ in range(8))
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def time(self, moment: datetime) -> str:
        """Write `moment` as clients do: mostly UTC, some with another offset, some with none."""
        style = self.number(0, 19)
        if style == 0:
            return moment.astimezone(timezone(timedelta(hours=1))).isoformat(timespec="milliseconds")
        if style == 1:
            return moment.astimezone(timezone(timedelta(hours=-5, minutes=-30))).isoformat(
                timespec="milliseconds"
            )
        if style == 2:  # noqa: PLR2004  one of the styles above
            return moment.replace(tzinfo=None).isoformat(timespec="microseconds")
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def order(self, moment: datetime) -> Event:
        """Make an order of one to four products."""
        items: list[Event] = [
            {"product_id": product, "product_name": name, "quantity": self.number(1, 5), "price": cents / 100}
            for product, name, cents in (
                (*self.pick(self.products), self.number(100, 19_999)) for _ in range(self.number(1, 4))
            )
        ]
        city, country = self.pick(PLACES)
        return {
            "event_type": "order",
            "order_id": self.uuid(),
            "customer_id": self.pick(self.customers),
            "order_date": self.time(moment),
            "status": self.pick(("pending", "processing", "shipped", "delivered")),
            "items": items,
            "shipping_address": {
                "street": f"{self.number(1, 200)} {self.pick(STREETS)}",
                "city": city,
                "country": country,
            },
            "total_amount": sum(round(item["price"] * 100) * item["quantity"] for item in items) / 100,
        }

    def inventory(self, moment: datetime) -> Event:
        """Make a change of stock."""
        return {
            "event_type": "inventory",
            "inventory_id": self.uuid(),
            "product_id": self.pick(self.products)[0],
            "warehouse_id": self.pick(self.warehouses),
            "quantity_change": self.number(-100, 100),
            "reason": self.pick(("restock", "sale", "return", "damage")),
            "timestamp": self.time(moment),
        }

    def user_activity(self, moment: datetime) -> Event:
        """Make something that a user does."""
        return {
            "event_type": "user_activity",
            "user_id": self.pick(self.customers),
            "activity_type": self.pick(
                ("login", "logout", "view_product", "add_to_cart", "remove_from_cart")
            ),
            "ip_address": f"10.{self.number(0, 255)}.{self.number(0, 255)}.{self.number(1, 254)}",
            "user_agent": self.pick(AGENTS),
            "timestamp": self.time(moment),
            "metadata": {"session_id": self.uuid(), "platform": self.pick(("web", "mobile", "tablet"))},
        }


@dataclass
class History:
    """Records in the order of their files, and what must become of each."""

    records: dict[str, list[bytes]] = field(default_factory=lambda: {name: [] for name in FILES})
    accepted: list[tuple[bytes, str]] = field(default_factory=list)
    figures: Counter[tuple[str, str]] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    times: list[datetime] = field(default_factory=list)

    def accept(self, file: str, record: bytes, event_type: str, moment: datetime) -> None:
        """Add an event that the contract accepts."""
        self.records[file].append(record)
        self.accepted.append((record, event_type))
        self.figures["accepted", event_type] += 1
        self.times.append(moment)

    def repeat(self, file: str, record: bytes, event_type: str) -> None:
        """Add an event that was added before."""
        self.records[file].append(record)
        self.figures["duplicates", event_type] += 1

    def reject(self, file: str, record: bytes, code: str, event_type: str = "unknown") -> None:
        """Add a record that the contract rejects with `code`."""
        self.records[file].append(record)
        self.figures["rejected", event_type] += 1
        self.codes[code] += 1

    def expected(self) -> dict[str, Any]:
        """Return the totals as a run report has them."""
        kinds = sorted({kind for _, kind in self.figures})
        by_type = {
            kind: {name: self.figures[name, kind] for name in ("accepted", "duplicates", "rejected")}
            for kind in kinds
        }
        totals = {
            name: sum(row[name] for row in by_type.values())
            for name in ("accepted", "duplicates", "rejected")
        }
        return {
            "read": sum(totals.values()),
            **totals,
            "by_type": {kind: {"read": sum(row.values()), **row} for kind, row in by_type.items()},
            "rejections": dict(sorted(self.codes.items())),
            "first_event_time": min(self.times).isoformat().replace("+00:00", "Z"),
            "last_event_time": max(self.times).isoformat().replace("+00:00", "Z"),
        }


LINES, PACKED, ARRAY = "orders_and_stock.ndjson", "activity.json.gz", "archive.json"
FILES: Mapping[str, tuple[tuple[str, ...], int]] = {
    LINES: (("order", "inventory", "inventory"), 1500),
    PACKED: (("user_activity",), 2000),
    ARRAY: (("order", "inventory", "user_activity"), 450),
}
"""File -> event types in it, and how many events they share."""


def dumps(value: object) -> bytes:
    """Return compact JSON, as producers send it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def without(name: str) -> Callable[[Event], Event]:
    """Return a change that removes a property."""
    return lambda event: {key: value for key, value in event.items() if key != name}


def having(name: str, value: object) -> Callable[[Event], Event]:
    """Return a change that sets a property; the name may be dotted, with numbers for items of a list."""

    def change(event: Event) -> Event:
        changed: Any = json.loads(dumps(event))
        place = changed
        *path, last = name.split(".")
        for step in path:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[last] = value
        return dict(changed)

    return change


BREAKAGES: tuple[tuple[str, str, Callable[[Event], Event]], ...] = (
    ("missing", "order", without("order_id")),
    ("missing", "order", having("items.0.price", None)),
    ("missing", "order", having("shipping_address", {"street": "1 Main St", "city": "Riga"})),
    ("missing", "inventory", without("timestamp")),
    ("missing", "user_activity", without("metadata")),
    ("missing", "user_activity", lambda event: without("user_id")(having("activity_type", "jump")(event))),
    ("type", "order", having("items", {})),
    ("type", "order", having("items.0.quantity", "two")),
    ("type", "order", having("total_amount", "12,50")),
    ("type", "inventory", having("quantity_change", 1.5)),
    ("type", "user_activity", having("user_agent", 7)),
    ("format", "order", having("customer_id", "C-1001")),
    ("format", "order", having("order_date", "08.02.2025 13:05")),
    ("format", "inventory", having("product_id", "")),
    ("format", "user_activity", having("timestamp", "2025-02-30T13:05:00Z")),
    ("format", "user_activity", having("metadata.session_id", "none")),
    ("enum", "order", having("status", "cancelled")),
    ("enum", "inventory", having("reason", "Sale")),
    ("enum", "user_activity", having("activity_type", "search")),
    ("enum", "user_activity", having("metadata.platform", "tv")),
    ("range", "inventory", having("quantity_change", 101)),
    ("range", "inventory", having("quantity_change", -1000)),
    ("range", "order", having("total_amount", 0.12345678901)),
    ("range", "order", having("items.0.quantity", 10**20)),
    ("in_future", "inventory", having("timestamp", "2999-01-01T00:00:00Z")),
    ("unknown_type", "unknown", having("event_type", "refund")),
    ("unknown_type", "unknown", having("event_type", "Order")),
)
"""Code, type that the dead letter is counted under, and how an event is broken."""

GARBAGE = (
    ("not_json", b'{"event_type":"order","order_id":"'),
    ("not_json", b"Traceback (most recent call last):"),
    ("not_json", b'{"event_type":"inventory","reason":"sale",}'),
    ("not_json", b'{"event_type":"user_activity","user_agent":"caf\xe9 \xff\xfe"}'),
    ("not_json", b"\x00\x00\x00\x00"),
    ("not_json", b'{"event_type":"order"} and so on'),
    ("not_an_object", b"[1,2,3]"),
    ("not_an_object", b'"heartbeat"'),
    ("not_an_object", b"null"),
    ("not_an_object", b"-1.5e3"),
)
"""Records that no contract can be asked about."""


def add_events(history: History, make: Maker) -> None:
    """Add what the contracts accept, up to two minutes out of order; one in 50 is an hour or a day late."""
    for file, (kinds, count) in FILES.items():
        for index in range(count):
            event_type = make.pick(kinds)
            late = make.pick((3600, 86_400)) if make.number(1, 50) == 1 else 0
            seconds = min(index * SECONDS // count + make.number(0, 120), SECONDS - 1) - late
            moment = START + timedelta(seconds=seconds, milliseconds=make.number(0, 999))
            event = getattr(make, event_type)(moment)
            if make.number(1, 25) == 1:
                event |= {"schema_version": 2, "trace": {"id": make.uuid()[:8], "sampled": True}}
            history.accept(file, dumps(event), event_type, moment)


def add_broken(history: History, make: Maker) -> None:
    """Break each file's share of events in each way; garbage is for the two files of lines."""
    moment = START + timedelta(minutes=10)
    for file in FILES:
        for code, event_type, change in BREAKAGES:
            event = getattr(make, "order" if event_type == "unknown" else event_type)(moment)
            history.reject(file, dumps(change(event)), code, event_type)
    for file in (LINES, PACKED):
        for code, record in GARBAGE:
            history.reject(file, record, code)


def add_repeats(history: History, make: Maker) -> None:
    """Send events again, to the same file and to others."""
    for file in FILES:
        for _ in range(50):
            history.repeat(file, *make.pick(history.accepted))


def spread(records: list[bytes], events: int, make: Maker) -> list[bytes]:
    """Return the first `events` records where they are, and what was added after them in between."""
    result = records[:events]
    for record in records[events:]:
        result.insert(make.number(1, len(result)), record)
    return result


def write(folder: Path) -> None:
    """Write the history's files and `expected.json` into `folder`."""
    make, history = Maker(SEED), History()
    add_events(history, make)
    add_broken(history, make)
    add_repeats(history, make)
    lines, packed, array = (
        spread(history.records[file], FILES[file][1], make) for file in (LINES, PACKED, ARRAY)
    )
    (folder / "history").mkdir(parents=True, exist_ok=True)
    # Blank lines, Windows' line ends and a missing last line feed are none of the records' business.
    blanks = {100: b"\n", 700: b"\r\n\n", 1400: b"\n\n\n"}
    body = b"".join(blanks.get(index, b"") + line + b"\n" for index, line in enumerate(lines))
    (folder / "history" / LINES).write_bytes(body[:-1])
    with (folder / "history" / PACKED).open("wb") as file:
        with gzip.GzipFile("", "wb", 9, file, mtime=0) as stream:
            stream.write(b"".join(line + b"\n" for line in packed))
    pretty = [indented(line) if index % 10 == 0 else line for index, line in enumerate(array)]
    (folder / "history" / ARRAY).write_bytes(b"[\n" + b",\n".join(pretty) + b"\n]\n")
    text = json.dumps(history.expected(), indent=2) + "\n"
    (folder / "expected.json").write_text(text, "utf-8")


def indented(record: bytes) -> bytes:
    """Print a record over several lines; compacted it has the same bytes again."""
    return json.dumps(json.loads(record), indent=2, ensure_ascii=False).encode()


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "backend_events")
