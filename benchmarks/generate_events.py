"""Write N mixed backend events, and beside them the truth about them.

`python benchmarks/generate_events.py 1000000 out/bench/events.ndjson` is deterministic: the same N gives the
same bytes. Events spread evenly over one hour, in order of time or, with `--shuffled`, in no order. About 1 %
are broken, in the ways that `BREAKS` lists; about 1 % repeat an earlier line exactly. `FILE.truth.json` holds
what any competitor has to come to, worked out while writing, never by looking at the file again: see `Truth`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

BASE = datetime(2025, 2, 8, 13, tzinfo=UTC)
HOUR_MS = 3_600_000
WINDOW_MS = 10_000
RECENT = 20_000
"""Duplicates are drawn from this many earlier lines, so that generating takes constant memory."""
BROKEN = REPEATED = 0.01
TYPES = ("order", "inventory", "user_activity")
PLATFORMS = ('"web"', '"mobile"', '"tablet"')
CUT = "cut in half"


@dataclass
class Truth:
    """What a run over the file has to come to.

    `accepted`, `repeated` and `rejected` are by event type (`unknown` where a line has none), `reasons` are
    all violations by code, `accepted_bytes` includes line feeds, `windows` counts accepted events by type and
    by start of their 10 seconds in UTC.
    """

    read: int
    bytes: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    accepted_bytes: Counter[str] = field(default_factory=Counter)
    windows: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in TYPES})


Line = tuple[bytes, str, tuple[str, ...], int]
"""The record, its event type, the codes of its violations, its time in milliseconds after `BASE`."""
Fields = dict[str, str]
"""Property -> JSON text; written by hand because `json.dumps` would take most of the time."""
Break = Callable[[Fields, str], tuple[str, tuple[str, ...]]]
"""Breaks the fields of an event whose time is the named one -> (what was broken, codes)."""


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("events", type=int, metavar="N")
    parser.add_argument("file", type=Path)
    parser.add_argument("--shuffled", action="store_true", help="events in no order of time")
    options = parser.parse_args()
    truth = write_events(options.events, options.file, shuffled=options.shuffled)
    print(f"{options.file}: {truth.read:,} events, {truth.bytes:,} bytes")


def write_events(number: int, path: Path, *, shuffled: bool = False) -> Truth:
    """Write `number` events to `path` and the truth to `path`.truth.json; return the truth."""
    truth = Truth(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for line in _lines(number, shuffled, truth):
            file.write(line)
    truth_path(path).write_text(json.dumps(vars(truth), indent=1))
    return truth


def truth_path(path: Path) -> Path:
    """Where the truth about the events in `path` lies."""
    return path.with_name(path.name + ".truth.json")


def _lines(number: int, shuffled: bool, truth: Truth) -> Iterator[bytes]:
    rng = random.Random(7)
    make = Events(rng).make
    recent: list[Line] = []
    for index in range(number):
        again = bool(recent) and rng.random() < REPEATED
        if again:
            line = recent[int(rng.random() * len(recent))]
        else:
            line = make(int(rng.random() * HOUR_MS) if shuffled else index * HOUR_MS // number)
            if len(recent) < RECENT:
                recent.append(line)
            else:
                recent[int(rng.random() * RECENT)] = line
        _account(truth, line, again)
        yield line[0]


def _account(truth: Truth, line: Line, again: bool) -> None:
    record, event_type, codes, millisecond = line
    truth.bytes += len(record)
    if codes:  # a broken record is a dead letter each time it comes: where it came from is part of it
        truth.rejected[event_type] += 1
        truth.reasons.update(codes)
    elif again:
        truth.duplicates[event_type] += 1
    else:
        truth.accepted[event_type] += 1
        truth.accepted_bytes[event_type] += len(record)
        truth.windows[event_type][_window_at(millisecond // WINDOW_MS)] += 1


@cache
def _window_at(start: int) -> str:
    return f"{BASE + timedelta(milliseconds=start * WINDOW_MS):%Y-%m-%dT%H:%M:%SZ}"


class Events:
    """Makes events of three types, one in a hundred of them broken."""

    def __init__(self, rng: random.Random) -> None:
        """Draw the shop's products, users and warehouses from `rng`, and later all events."""
        self._rng = rng
        names = ("Lamp", "Desk", "Chair", "Mug", "Pen", "Bottle")
        self._products = [(self._uuid(), f'"{rng.choice(names)} {number}"') for number in range(500)]
        self._users = [self._uuid() for _ in range(5000)]
        self._warehouses = [self._uuid() for _ in range(20)]

    def make(self, millisecond: int) -> Line:
        """Return the next event, at `millisecond` after `BASE`."""
        event_type, time, fields = self._draw(millisecond)
        if self._rng.random() >= BROKEN:
            return _record(fields), event_type, (), millisecond
        breaks = BREAKS[event_type]
        name, codes = breaks[int(self._rng.random() * len(breaks))](fields, time)
        record = _record(fields)
        if name == CUT:
            record = record[: len(record) // 2] + b"\n"
        return record, "unknown" if name in (CUT, "event_type") else event_type, codes, millisecond

    def _draw(self, millisecond: int) -> tuple[str, str, Fields]:
        seconds, rest = divmod(millisecond, 1000)
        name = f'"2025-02-08T13:{seconds // 60:02}:{seconds % 60:02}.{rest:03}Z"'
        chance = self._rng.random()
        if chance < 0.3:
            return "order", "order_date", self._order(name)
        if chance < 0.6:
            return "inventory", "timestamp", self._inventory(name)
        return "user_activity", "timestamp", self._user_activity(name)

    def _uuid(self) -> str:
        digits = f"{self._rng.getrandbits(128):032x}"
        return f'"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"'

    def _one(self, options: Sequence[str]) -> str:
        return options[int(self._rng.random() * len(options))]

    def _order(self, time: str) -> Fields:
        items, total = [], 0
        for _ in range(1 + int(self._rng.random() * 4)):
            product, name = self._products[int(self._rng.random() * 500)]
            quantity, cents = 1 + int(self._rng.random() * 5), 100 + int(self._rng.random() * 19_900)
            total += quantity * cents
            items.append(
                f'{{"product_id":{product},"product_name":{name},"quantity":{quantity},"price":{_money(cents)}}}'
            )
        street = f"{1 + int(self._rng.random() * 999)} Main St"
        return {
            "event_type": '"order"',
            "order_id": self._uuid(),
            "customer_id": self._one(self._users),
            "order_date": time,
            "status": self._one(('"pending"', '"processing"', '"shipped"', '"delivered"')),
            "items": f"[{','.join(items)}]",
            "shipping_address": f'{{"street":"{street}","city":"Riga","country":"LV"}}',
            "total_amount": _money(total),
        }

    def _inventory(self, time: str) -> Fields:
        return {
            "event_type": '"inventory"',
            "inventory_id": self._uuid(),
            "product_id": self._products[int(self._rng.random() * 500)][0],
            "warehouse_id": self._one(self._warehouses),
            "quantity_change": str(int(self._rng.random() * 201) - 100),
            "reason": self._one(('"restock"', '"sale"', '"return"', '"damage"')),
            "timestamp": time,
        }

    def _user_activity(self, time: str) -> Fields:
        activity = ('"login"', '"logout"', '"view_product"', '"add_to_cart"', '"remove_from_cart"')
        address = self._rng.getrandbits(24)
        return {
            "event_type": '"user_activity"',
            "user_id": self._one(self._users),
            "activity_type": self._one(activity),
            "ip_address": f'"10.{address >> 16}.{address >> 8 & 255}.{address & 255}"',
            "user_agent": '"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"',
            "timestamp": time,
            "metadata": f'{{"session_id":{self._uuid()},"platform":{self._one(PLATFORMS)}}}',
        }


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def _record(fields: Fields) -> bytes:
    return ("{" + ",".join([f'"{name}":{value}' for name, value in fields.items()]) + "}\n").encode()


def _put(name: str, value: str, code: str) -> Break:
    def put(fields: Fields, _: str) -> tuple[str, tuple[str, ...]]:
        fields[name] = value
        return name, (code,)

    return put


def _without(name: str) -> Break:
    def leave_out(fields: Fields, _: str) -> tuple[str, tuple[str, ...]]:
        del fields[name]
        return name, ("missing",)

    return leave_out


def _inside(name: str, old: str, new: str, code: str) -> Break:
    def put(fields: Fields, _: str) -> tuple[str, tuple[str, ...]]:
        fields[name] = fields[name].replace(old, new, 1)
        return name, (code,)

    return put


def _several(*breaks: Break) -> Break:
    def put_all(fields: Fields, time: str) -> tuple[str, tuple[str, ...]]:
        return "several", tuple(code for break_event in breaks for code in break_event(fields, time)[1])

    return put_all


def _no_such_day(fields: Fields, time: str) -> tuple[str, tuple[str, ...]]:
    fields[time] = fields[time].replace("2025-02-08", "2025-02-30")
    return time, ("format",)


def _cut(_: Fields, __: str) -> tuple[str, tuple[str, ...]]:
    return CUT, ("not_json",)


_ANY = (_put("event_type", '"oops"', "unknown_type"), _no_such_day, _cut)
BREAKS: dict[str, tuple[Break, ...]] = {
    "order": (
        *_ANY,
        _put("order_id", '"not-a-uuid"', "format"),
        _put("status", '"lost"', "enum"),
        _put("total_amount", "1.1234567891", "range"),
        _put("total_amount", '"oops"', "type"),
        _without("customer_id"),
        _inside("items", '"quantity":', '"quantity":0.5,"amount":', "type"),
        _inside("shipping_address", '"city":"Riga",', "", "missing"),
        _several(_put("status", '"lost"', "enum"), _put("customer_id", '"nobody"', "format")),
    ),
    "inventory": (
        *_ANY,
        _put("warehouse_id", '"not-a-uuid"', "format"),
        _put("reason", '"theft"', "enum"),
        _put("quantity_change", "500", "range"),
        _put("quantity_change", '"oops"', "type"),
        _without("product_id"),
        _several(_put("quantity_change", "-101", "range"), _put("reason", '"theft"', "enum")),
    ),
    "user_activity": (
        *_ANY,
        _put("user_id", '"not-a-uuid"', "format"),
        _put("activity_type", '"dance"', "enum"),
        _put("ip_address", "10", "type"),
        _without("user_agent"),
        _inside("metadata", '"platform":"', '"platform":"smart ', "enum"),
        _several(_put("activity_type", '"dance"', "enum"), _without("user_agent"), _no_such_day),
    ),
}
"""Ways to break an event of each type; all are as likely."""


if __name__ == "__main__":
    main()
