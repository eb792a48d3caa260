"""The shop of the samples, worked out without the product: what its files say, and what the marts must say then."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, NamedTuple

from devservers.tools import ROOT

SAMPLES = ROOT / "examples/commerce"

BROKEN_SALES = ("S2000", "S2001", "S2002", "S2003", "S2004", "L26")
"""Ids of the rows that the samples break on purpose."""

Row = tuple[Any, ...]


class Sale(NamedTuple):
    """A row of a CSV file."""

    sale_id: str
    product_id: str
    user_id: str
    quantity: int
    price: Decimal | None
    amount: Decimal | None
    currency: str
    at: datetime


class Event(NamedTuple):
    """A line of a log file."""

    user_id: str
    event_type: str
    at: datetime
    product_id: str | None


@dataclass
class Shop:
    """Sales by id, each as it was exported last; events; and the names, categories and prices of products."""

    sales: dict[str, Sale] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    products: dict[str, tuple[str, str]] = field(default_factory=dict)
    prices: dict[str, Decimal] = field(default_factory=dict)

    def revenue(self, sale: Sale) -> Decimal:
        """Return what was paid for a sale, to the cent; 0 if nobody knows."""
        paid = sale.amount
        if paid is None:
            price = sale.price if sale.price is not None else self.prices.get(sale.product_id)
            paid = Decimal(0) if price is None else price * sale.quantity
        elif sale.quantity < 0:
            paid = -abs(paid)
        return paid.quantize(Decimal("0.01"), ROUND_HALF_UP)

    def category(self, product_id: str) -> str:
        """Return the category of a product."""
        return self.products.get(product_id, ("unknown", "unknown"))[1]

    @property
    def counted(self) -> list[Sale]:
        """The sales that sums are made of."""
        return [sale for sale in self.sales.values() if sale.currency == "EUR"]

    def daily_revenue(self) -> list[Row]:
        """Rows of `fct_daily_product_revenue`: day, product, category, sales, sold, returned, revenue."""
        groups: dict[tuple[date, str], list[Sale]] = defaultdict(list)
        for sale in self.counted:
            groups[sale.at.date(), sale.product_id].append(sale)
        return sorted(
            (
                day,
                product,
                self.category(product),
                len(sales),
                sum(max(sale.quantity, 0) for sale in sales),
                sum(max(-sale.quantity, 0) for sale in sales),
                sum(map(self.revenue, sales), Decimal()),
            )
            for (day, product), sales in groups.items()
        )

    def top_products(self) -> list[Row]:
        """Rows of `top_products_by_category`: category, place, product, name, revenue."""
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for sale in self.counted:
            totals[sale.product_id] += self.revenue(sale)
        rows = []
        for product, revenue in totals.items():
            rivals = [totals[other] for other in totals if self.category(other) == self.category(product)]
            place = 1 + sum(rival > revenue for rival in rivals)
            name = self.products.get(product, ("unknown",))[0]
            rows.append((self.category(product), place, product, name, revenue))
        return sorted(rows)

    def customers(self) -> list[Row]:
        """Rows of `customer_activity`: user, place, events, most common event type, sales, revenue."""
        types: dict[str, Counter[str]] = defaultdict(Counter)
        for event in self.events:
            types[event.user_id][event.event_type] += 1
        bought: dict[str, list[Decimal]] = defaultdict(list)
        for sale in self.counted:
            bought[sale.user_id].append(self.revenue(sale))
        users = types.keys() | {sale.user_id for sale in self.sales.values()}
        totals = {user: types[user].total() for user in users}
        return sorted(
            (
                user,
                1 + sum(total > totals[user] for total in totals.values()),
                totals[user],
                min(types[user], key=lambda name: (-types[user][name], name), default=None),
                len(bought[user]),
                sum(bought[user], Decimal()),
            )
            for user in users
        )

    def event_types(self) -> list[Row]:
        """Rows of `event_type_activity`: type, place, events, users."""
        counts = Counter(event.event_type for event in self.events)
        return sorted(
            (
                name,
                1 + sum(count > events for count in counts.values()),
                events,
                len({event.user_id for event in self.events if event.event_type == name}),
            )
            for name, events in counts.items()
        )

    def metrics(self) -> list[Row]:
        """Rows of `reporting_metrics`, without when they were written."""
        figures: dict[Row, Decimal] = defaultdict(Decimal)
        for day, product, category, sales, sold, returned, revenue in self.daily_revenue():
            measured = {"sales": sales, "units_sold": sold, "units_returned": returned, "revenue": revenue}
            for metric, value in measured.items():
                for dimension, name in (("product_id", product), ("category", category), ("all", "all")):
                    figures[day, metric, dimension, name] += value
        for event in self.events:
            names = (("user_id", event.user_id), ("event_type", event.event_type), ("all", "all"))
            for dimension, name in names:
                figures[event.at.date(), "events", dimension, name] += 1
        return sorted((*key, value) for key, value in figures.items() if value)


def samples() -> Shop:
    """Return the shop of the committed samples."""
    shop = Shop()
    berlin, leipzig = SAMPLES / "sales/berlin.csv", SAMPLES / "sales/leipzig.csv"
    add_sales(shop, berlin.read_text("utf-8-sig"), ",")
    add_sales(shop, leipzig.read_text("windows-1252"), ";")
    add_products(shop, json.loads((SAMPLES / "catalog.json").read_text()))
    lines = (SAMPLES / "logs/web.log").read_text().replace("}}{", "}}\n{").splitlines()
    shop.events = list(read_events(dict.fromkeys(lines)))
    return shop


def add_sales(shop: Shop, text: str, delimiter: str) -> None:
    """Add the sales of a CSV file; those that are there already are corrected."""
    lines = [line for line in text.splitlines(True) if not line.startswith(BROKEN_SALES)]
    names = {"customer_id": "user_id", "qty": "quantity", "price": "unit_price", "total": "amount"}
    for record in csv.DictReader(io.StringIO("".join(lines), newline=""), delimiter=delimiter):
        plain = {name.lower().replace(" ", "_"): value.strip() for name, value in record.items()}
        row = {names.get(name, name): value for name, value in plain.items()}
        at = datetime.fromisoformat(row.get("sale_date") or row["date"])
        sale = Sale(
            row["sale_id"],
            row["product_id"],
            row["user_id"],
            int(row["quantity"]),
            _number(row["unit_price"]),
            _number(row["amount"]),
            row.get("currency") or "EUR",
            at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC),
        )
        if sale.at.year >= 1990:
            shop.sales[sale.sale_id] = sale


def add_products(shop: Shop, documents: Iterable[Mapping[str, Any]]) -> None:
    """Add a later snapshot of products; a price that one had at first stays that of sales before."""
    for document in documents:
        if document["category"] is not None:
            product = document["product_id"]
            shop.products[product] = (document["product_name"], document["category"])
            shop.prices.setdefault(product, Decimal(str(document["price"])))


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events that lines hold, however they are damaged; none where a line names two users or none."""
    for escaped in lines:
        line = escaped.replace("\\", "")
        users, types, times = (
            set(re.findall(rf"\b{name}\b['\"]?\s*[:=]\s*['\"]?([\w:.+-]+)", line))
            for name in ("user_id", "event_type", "timestamp")
        )
        leading = re.match(r"\d{4}-\d\d-\d\dT[\d:]+Z", line)
        if leading and not times:
            times = {leading[0]}
        known = types <= {"click", "purchase", "view"} and users != {"null"}
        if known and len(users) == len(times) == len(types) == 1:
            product = re.search(r"\bproduct_id\b['\"]?\s*[:=]\s*['\"]?(\w+)", line)
            at = datetime.fromisoformat(times.pop())
            yield Event(users.pop(), types.pop(), at, product and product[1])


def _number(text: str) -> Decimal | None:
    return Decimal(text.replace(",", ".")) if text else None


def read_log(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the events in a log of Sluice by their type, numbers as they are written."""
    events: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(folder.glob("*/*/*/*/*/*/*.json")):
        for line in path.read_text().splitlines():
            events[path.relative_to(folder).parts[0]].append(json.loads(line, parse_float=Decimal))
    return events


STATUSES = ("pending", "processing", "shipped", "delivered")


class Backend:
    """The marts of the backend's events, worked out from its log."""

    def __init__(self, log: Mapping[str, Sequence[dict[str, Any]]]) -> None:
        """Put the events of each order, stock and session in the order of their time."""
        self._orders = _grouped(log["order"], "order_date", lambda event: event["order_id"])
        self._stock = _grouped(
            log["inventory"], "timestamp", lambda event: (event["warehouse_id"], event["product_id"])
        )
        self._sessions = _grouped(
            log["user_activity"],
            "timestamp",
            lambda event: (event["metadata"]["session_id"], event["user_id"]),
        )

    def orders(self) -> list[Row]:
        """Rows of `orders`: order, customer, status, total, events."""
        return sorted(
            (order, last["customer_id"], last["status"], Decimal(last["total_amount"]), len(events))
            for order, events in self._orders.items()
            for last in events[-1:]
        )

    def items(self) -> list[Row]:
        """Rows of `order_items`: order, line, product, quantity, price."""
        return sorted(
            (order, number, item["product_id"], item["quantity"], Decimal(item["price"]))
            for order, events in self._orders.items()
            for number, item in enumerate(events[-1]["items"], 1)
        )

    def history(self) -> list[Row]:
        """Rows of `order_status_history`: order, version, status, from, to."""
        rows = []
        for order, events in self._orders.items():
            changes = [
                event
                for index, event in enumerate(events)
                if index == 0 or event["status"] != events[index - 1]["status"]
            ]
            times = [*(_instant(event["order_date"]) for event in changes), None]
            rows += [
                (order, index + 1, event["status"], times[index], times[index + 1])
                for index, event in enumerate(changes)
            ]
        return sorted(rows, key=lambda row: row[:2])

    def stock(self) -> list[Row]:
        """Rows of `stock_levels`: warehouse, product, quantity, sold, events."""
        return sorted(
            (
                *key,
                sum(event["quantity_change"] for event in events),
                sum(event["quantity_change"] for event in events if event["reason"] == "sale"),
                len(events),
            )
            for key, events in self._stock.items()
        )

    def sessions(self) -> list[Row]:
        """Rows of `user_sessions`: session, user, start, whole seconds, events."""
        rows = []
        for key, events in self._sessions.items():
            first, last = (_instant(events[index]["timestamp"]) for index in (0, -1))
            rows.append((*key, first, int((last - first).total_seconds()), len(events)))
        return sorted(rows)


def _grouped(events: Iterable[dict[str, Any]], time: str, key: Any) -> dict[Any, list[dict[str, Any]]]:
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for event in sorted(
        events, key=lambda event: (_instant(event[time]), STATUSES.index(event.get("status", "pending")))
    ):
        groups[key(event)].append(event)
    return groups


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
