"""Random histories of a shop: valid, broken and repeated records in files of several formats."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tests.end_to_end.expected_history import KEYS, RULES, TIMES, Truth, instant, judge

START = datetime(2024, 12, 31, 23, 50, tzinfo=UTC)


class Shop:
    """Makes events and breaks them; everything comes of the seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def uuid(self) -> str:
        digits = f"{self.random.getrandbits(128):032x}"
        shown = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        return self.random.choice((shown, shown.upper()))

    def time(self) -> str:
        late = self.random.choice((0,) * 20 + (-86_400 * 400, 3600))
        at = START + timedelta(seconds=self.random.randrange(1200) + late)
        if self.random.random() < 0.2:  # right on the edges of minutes and windows
            at = at.replace(second=at.second // 10 * 10, microsecond=0) - timedelta(
                microseconds=self.random.randrange(2)
            )
        else:
            at += timedelta(microseconds=self.random.randrange(1_000_000))
        style = self.random.randrange(5)
        if style == 0:
            return at.astimezone(
                timezone(timedelta(minutes=self.random.randrange(-14 * 60, 14 * 60)))
            ).isoformat()
        if style == 1:
            return at.replace(tzinfo=None).isoformat(" ")
        return at.isoformat().replace("+00:00", "Z")

    def event(self) -> dict[str, Any]:
        choose = self.random.choice
        kind = choose(tuple(RULES))
        makers: dict[str, Callable[[], dict[str, Any]]] = {
            "order": lambda: {
                "order_id": self.uuid(),
                "customer_id": self.uuid(),
                "order_date": self.time(),
                "status": choose(("pending", "processing", "shipped", "delivered")),
                "items": [self.item() for _ in range(self.random.randrange(4))],
                "shipping_address": {
                    "street": "Ķekavas iela 1",
                    "city": choose(("Rīga", "Köln", "東京")),
                    "country": "x",
                },
                "total_amount": self.random.randrange(10**6) / 100,
            },
            "inventory": lambda: {
                "inventory_id": self.uuid(),
                "product_id": self.uuid(),
                "warehouse_id": self.uuid(),
                "quantity_change": self.random.randrange(-100, 101),
                "reason": choose(("restock", "sale", "return", "damage")),
                "timestamp": self.time(),
            },
            "user_activity": lambda: {
                "user_id": self.uuid(),
                "activity_type": choose(
                    ("login", "logout", "view_product", "add_to_cart", "remove_from_cart")
                ),
                "ip_address": "10.0.0.1",
                "user_agent": choose(("", 'a "b" \\ c', "line\nfeed", "\u2028\u0000😀")),
                "timestamp": self.time(),
                "metadata": {"session_id": self.uuid(), "platform": choose(("web", "mobile", "tablet"))},
            },
        }
        event = {"event_type": kind, **makers[kind]()}
        if self.random.random() < 0.1:
            event |= {"schema": 2, "trace": {"id": "é", "n": [1.10, None, {"a\n": True}]}}
        if self.random.random() < 0.1:
            event = dict(self.random.sample(list(event.items()), len(event)))
        return event

    def item(self) -> dict[str, Any]:
        price = self.random.choice((0, 7, 19.99, 0.000000001, 12345678901234567890123456789))
        return {
            "product_id": self.uuid(),
            "product_name": "p",
            "quantity": self.random.randrange(9),
            "price": price,
        }

    def broken(self) -> Any:
        """Return an event with one to three values that are mostly wrong."""
        event = self.event()
        for _ in range(self.random.randrange(1, 4)):
            place, key = self.place(event)
            if isinstance(place, dict) and self.random.random() < 0.3:
                del place[key]
                if not place:
                    break
            else:
                place[key] = self.random.choice(
                    (None, True, 7, -101, 10**20, 1.5, "", "x", "sale", [], [None], {}, {"a": 1}, 1e-10,
                     "2025-02-30T00:00:00Z", "2999-01-01T00:00:00Z", "2025-02-08T13:09:00+25:00", 10**29)
                )  # fmt: skip
            if not event:
                break
        return event

    def place(self, event: dict[str, Any]) -> tuple[Any, Any]:
        """Return an object or array somewhere in `event`, and a key or index of it."""
        place: Any = event
        while True:
            key = self.random.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], dict | list) or not place[key] or self.random.random() < 0.5:
                return place, key
            place = place[key]

    def record(self) -> bytes:
        chance = self.random.random()
        if chance < 0.75:
            return dumps(self.event())
        if chance < 0.95:
            return dumps(self.broken())
        good = dumps(self.event())
        return self.random.choice(
            (good[:-1], good + b"}", good.replace(b'"', b"'"), b"\xff" + good, good.replace(b":", b":\x00", 1), b"[]",
             b"null", b"7", b'"order"', b"true", b" ", b"{}", b'{"event_type":"Order"}', b'{"event_type":null}', b"NaN")
        )  # fmt: skip

    def variant(self, record: bytes) -> bytes:
        """Return a valid event with the key of `record`: the same in another spelling, or with another value."""
        kind, code, _ = judge(record)
        if code is not None:
            return record
        event = json.loads(record)
        if self.random.random() < 0.5:
            time = instant(event[TIMES[kind]]).astimezone(
                timezone(timedelta(hours=self.random.randrange(-9, 9)))
            )
            event |= {TIMES[kind]: time.isoformat(), KEYS[kind]: event[KEYS[kind]].swapcase()}
            event = dict(self.random.sample(list(event.items()), len(event)))
            return json.dumps(event, ensure_ascii=self.random.random() < 0.5).encode()
        change = {
            "order": ("status", ("pending", "processing", "shipped", "delivered")),
            "inventory": ("quantity_change", (-1, 0, 1)),
            "user_activity": ("user_agent", ("", "a", "b")),
        }
        name, values = change[kind]
        event[self.random.choice((name, "note"))] = self.random.choice(values)
        return dumps(event)


def dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def write_history(
    folder: Path, shop: Shop, size: int, old: Sequence[bytes] = (), truth: Truth | None = None
) -> tuple[Truth, list[bytes]]:
    """Write lines, packed lines and a document; return what must come of them, after `truth`, and the records.

    If its events have keys, some come again in variants.
    """
    folder.mkdir()
    truth = Truth() if truth is None else truth
    sent: list[bytes] = [*old]

    def records(share: int) -> Iterator[bytes]:
        for _ in range(share):
            again = bool(sent) and shop.random.random() < (0.3 if truth.keyed else 0.1)
            record = shop.random.choice(sent) if again else shop.record()
            sent.append(shop.variant(record) if again and truth.keyed else record)
            yield sent[-1]

    lines = list(records(size // 2))
    blanks = [shop.random.choice((b"\n", b"\n", b"\n", b"\n\n", b"\n\r\n")) for _ in lines]
    (folder / "a.ndjson").write_bytes(b"".join(map(b"%b%b".__mod__, zip(lines, blanks, strict=True)))[:-1])
    packed = [record + shop.random.choice((b"", b"\r")) for record in records(size // 4)]
    members = [packed[: size // 8], packed[size // 8 :]]
    (folder / "b").write_bytes(b"".join(gzip.compress(b"\n".join([*member, b""])) for member in members))
    for record in (*lines, *packed):
        truth.add(record)
    elements = []
    for record in records(size // 4):
        try:
            value = json.loads(record)
        except ValueError:
            continue
        pretty = shop.random.random() < 0.3
        elements.append(json.dumps(value, indent=1, ensure_ascii=False).encode() if pretty else dumps(value))
        truth.add(elements[-1], dumps(value))
    (folder / "c.json").write_bytes(b" [ \n" + b" ,\n".join(elements) + b"]\n")
    return truth, sent
