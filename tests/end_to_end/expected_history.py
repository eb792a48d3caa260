"""What must become of a history of backend events, worked out without the product."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

CODES = (
    "not_json", "not_an_object", "unknown_type", "missing", "type", "format", "enum", "range", "in_future",
)  # fmt: skip
"""In the order in which one of several reasons names the dead letter."""

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?")


# The rules of the three events, by hand. Each checker returns the codes of what is wrong with a value.


def uuid(value: Any) -> set[str]:
    if not isinstance(value, str):
        return {"type"}
    return set() if _UUID.fullmatch(value) else {"format"}


def text(value: Any) -> set[str]:
    return set() if isinstance(value, str) else {"type"}


def one_of(*values: str) -> Any:
    return lambda value: text(value) or (set() if value in values else {"enum"})


def whole(low: int, high: int) -> Any:
    def check(value: Any) -> set[str]:
        if isinstance(value, bool) or not isinstance(value, int):
            return {"type"}
        return set() if low <= value <= high else {"range"}

    return check


def money(value: Any) -> set[str]:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return {"type"}
    scaled = Decimal(value).scaleb(9)
    return set() if scaled == int(scaled) and abs(scaled) < 10**38 else {"range"}


def moment(value: Any) -> set[str]:
    if not isinstance(value, str):
        return {"type"}
    try:
        return set() if _TIME.fullmatch(value) and instant(value) else {"format"}
    except ValueError:
        return {"format"}


def instant(value: str) -> datetime:
    time = datetime.fromisoformat(value)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


def all_of(rules: Mapping[str, Any]) -> Any:
    def check(value: Any) -> set[str]:
        if not isinstance(value, dict):
            return {"type"}
        missing = {"missing" for name in rules if value.get(name) is None}
        given = (rule(value[name]) for name, rule in rules.items() if value.get(name) is not None)
        return missing.union(*given)

    return check


def each(rule: Any) -> Any:
    def check(value: Any) -> set[str]:
        if not isinstance(value, list):
            return {"type"}
        return set().union(*({"missing"} if item is None else rule(item) for item in value))

    return check


ITEM = {"product_id": uuid, "product_name": text, "quantity": whole(-(2**63), 2**63 - 1), "price": money}
RULES: dict[str, dict[str, Any]] = {
    "order": {
        "order_id": uuid,
        "customer_id": uuid,
        "order_date": moment,
        "status": one_of("pending", "processing", "shipped", "delivered"),
        "items": each(all_of(ITEM)),
        "shipping_address": all_of({"street": text, "city": text, "country": text}),
        "total_amount": money,
    },
    "inventory": {
        "inventory_id": uuid,
        "product_id": uuid,
        "warehouse_id": uuid,
        "quantity_change": whole(-100, 100),
        "reason": one_of("restock", "sale", "return", "damage"),
        "timestamp": moment,
    },
    "user_activity": {
        "user_id": uuid,
        "activity_type": one_of("login", "logout", "view_product", "add_to_cart", "remove_from_cart"),
        "ip_address": text,
        "user_agent": text,
        "timestamp": moment,
        "metadata": all_of({"session_id": uuid, "platform": one_of("web", "mobile", "tablet")}),
    },
}
TIMES = {"order": "order_date", "inventory": "timestamp", "user_activity": "timestamp"}


def judge(record: bytes) -> tuple[str, str | None, Any]:
    """Return event type or `unknown`, the code if it is rejected, and the value."""
    try:
        value = json.loads(record.decode(), parse_float=Decimal, parse_constant=int)
    except ValueError:
        return "unknown", "not_json", None
    if not isinstance(value, dict):
        return "unknown", "not_an_object", value
    kind = value.get("event_type")
    if not isinstance(kind, str) or kind not in RULES:
        return "unknown", "unknown_type", value
    codes = all_of(RULES[kind])(value)
    if not codes and instant(value[TIMES[kind]]).year > 2900:
        codes = {"in_future"}
    return kind, min(codes, key=CODES.index) if codes else None, value


KEYS = {"order": "order_id", "inventory": "inventory_id", "user_activity": "user_id"}
"""The property by which events are the same, if not by their bytes."""


def content(kind: str, event: dict[str, Any]) -> Any:
    """Return what an event says, in whatever way it is written, as something that can be compared and hashed."""
    said = {**event, TIMES[kind]: instant(event[TIMES[kind]])}
    said |= {name: event[name].lower() for name, rule in RULES[kind].items() if rule is uuid}
    if kind == "order":
        said["items"] = [{**item, "product_id": item["product_id"].lower()} for item in event["items"]]
    if kind == "user_activity":
        said["metadata"] = {**event["metadata"], "session_id": event["metadata"]["session_id"].lower()}
    return frozen(said)


def frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((name, frozen(member)) for name, member in value.items())
    if isinstance(value, list):
        return tuple(map(frozen, value))
    return ("bool", value) if isinstance(value, bool) else value  # True is no 1


@dataclass
class Truth:
    """What must come of records, in the order in which they were sent; `keyed` events are the same by `KEYS`."""

    keyed: bool = False

    lines: dict[str, list[bytes]] = field(default_factory=dict)
    """`type/YYYY/MM/DD/HH/MM` -> the lines of its file."""
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in RULES})
    figures: Counter[tuple[str, str]] = field(default_factory=Counter)
    dead_letters: list[tuple[str, bytes]] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)
    contents: dict[tuple[str, datetime, str], list[Any]] = field(default_factory=dict)
    """Event type, minute and key -> the contents that came, the stored one first."""

    def add(self, record: bytes, line: bytes | None = None) -> None:
        """Take one record, which is stored as `line` if that differs."""
        kind, code, value = judge(record)
        line = record if line is None else line
        self.figures["read", kind] += 1
        if code is not None:
            self.dead_letters.append((code, record))
            self.figures["rejected", kind] += 1
        elif self.keyed and self.is_known(kind, value, line):
            pass
        elif line in self.seen:
            self.figures["duplicates", kind] += 1
        else:
            self.seen.add(line)
            self.figures["accepted", kind] += 1
            self.lines.setdefault(f"{kind}/{instant(value[TIMES[kind]]):%Y/%m/%d/%H/%M}", []).append(line)
            self.rows[kind].append(value)

    def is_known(self, kind: str, event: dict[str, Any], line: bytes) -> bool:
        """Count an event whose key its minute has; of contents that differ from the first each is one dead letter."""
        minute = instant(event[TIMES[kind]]).replace(second=0, microsecond=0)
        contents = self.contents.setdefault((kind, minute, event[KEYS[kind]].lower()), [])
        said, is_known = content(kind, event), bool(contents)
        if is_known:
            self.figures["duplicates", kind] += 1
            self.figures["conflicting", kind] += said != contents[0]
        if said not in contents:
            contents.append(said)
            if is_known:
                self.dead_letters.append(("conflict", line))
        return is_known

    def figure(self, name: str) -> int:
        return sum(number for (figure, _), number in self.figures.items() if figure == name)

    def log(self) -> dict[str, bytes]:
        """Return the files of one clean run."""
        files = {}
        for folder, lines in self.lines.items():
            kind, _, time = folder.partition("/")
            files[f"{folder}/{kind}_{time.replace('/', '')}0001.json"] = b"\n".join([*lines, b""])
        return files

    def counts(self) -> Counter[tuple[str, datetime]]:
        """Return event type and start of a 10-second window -> events."""
        counted: Counter[tuple[str, datetime]] = Counter()
        for kind, rows in self.rows.items():
            for row in rows:
                time = instant(row[TIMES[kind]])
                counted[kind, time.replace(second=time.second // 10 * 10, microsecond=0)] += 1
        return counted


def shown(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def expected_row(event: dict[str, Any]) -> dict[str, Any]:
    kind = event["event_type"]
    row: dict[str, Any] = {name: event[name] for name in RULES[kind]}
    extra = {name: value for name, value in event.items() if name not in row and name != "event_type"}
    row[TIMES[kind]] = shown(instant(row[TIMES[kind]]))
    for name, rule in RULES[kind].items():
        row[name] = row[name].lower() if rule is uuid else row[name]
    if kind == "order":
        row["total_amount"] = nine(row["total_amount"])
        row["items"] = [
            {"product_id": item["product_id"].lower(), "product_name": item["product_name"],
             "quantity": item["quantity"], "price": nine(item["price"])} for item in row["items"]
        ]  # fmt: skip
        row["shipping_address"] = {
            name: row["shipping_address"][name] for name in ("street", "city", "country")
        }
    if kind == "user_activity":
        session, platform = row["metadata"]["session_id"], row["metadata"]["platform"]
        row["metadata"] = {"session_id": session.lower(), "platform": platform}
    return {**row, "_extra": json.loads(json.dumps(extra, default=str)) if extra else None}


def nine(number: int | Decimal) -> str:
    return format(Decimal(number).quantize(Decimal("1e-9"), context=Context(prec=60)), "f")
