"""Daily revenue and sales of simulated shops, with faults whose days and kinds are known."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

LEARNING, DAYS, WEEK = 42, 300, 7
METRICS = ("revenue", "sales")

_SMALLEST_FAULT = 0.4
_SPREADS = 5.0
"""A day must be found if its value is this many standard deviations from what is usual, and a third of it."""

_BASKET = 40


@dataclass
class Shop:
    """A metric's values by day number, None without a row, and which days must or may be found."""

    days: list[date]
    values: dict[str, list[float | None]]
    usual: dict[str, list[float]]
    must: dict[tuple[str, int], str] = field(default_factory=dict)
    may: set[tuple[str, int]] = field(default_factory=set)

    def series(self, metric: str) -> list[tuple[date, float]]:
        """Return days and values as the product takes them."""
        pairs = zip(self.days, self.values[metric], strict=True)
        return [(day, value) for day, value in pairs if value is not None]


@dataclass(frozen=True)
class Shape:
    """How a shop sells: spread of days, sales of an ordinary day, weekend against weekdays, growth a day."""

    noise: float
    sales: float
    weekend: float
    growth: float


def shapes(rng: random.Random) -> Iterator[Shape]:
    """Yield shapes for ever, spread over noise, size, weekends and growth."""
    while True:
        yield Shape(
            noise=rng.choice([0.02, 0.04, 0.07, 0.1]),
            sales=rng.choice([120, 600, 5_000, 100_000]),
            weekend=rng.choice([0.3, 0.55, 0.75, 1, 1.4, 1.9]),
            growth=rng.choice([-0.0005, 0, 0.0015, 0.0015]),
        )


def simulate(rng: random.Random, shape: Shape, *, faults: bool = True) -> Shop:
    """Return a shop of 300 days with up to ten faults after the learning days, and up to three before."""
    first = date(2024, 1, 1) + timedelta(days=rng.randrange(366))
    days = [first + timedelta(days=number) for number in range(DAYS)]
    factors = [
        math.exp(rng.gauss(0, 0.05)) * (shape.weekend if weekday > 4 else 1) for weekday in range(WEEK)
    ]
    turn = rng.choice([(1, 2, 3), (1,), (30, 31, 1, 2)])
    sales: list[float | None] = []
    revenue: list[float | None] = []
    means: list[float] = []
    for number, day in enumerate(days):
        usual = shape.sales * math.exp(shape.growth * number) * factors[day.weekday()]
        usual *= 1.08 if day.day in turn else 1
        means.append(usual)
        count = _poisson(rng, usual * math.exp(rng.gauss(0, shape.noise)))
        basket = (
            _BASKET
            * math.exp(rng.gauss(0, shape.noise / 3))
            * (1 + rng.gauss(0, 0.4 / math.sqrt(max(count, 1))))
        )
        sales.append(count)
        revenue.append(round(max(count * basket, 0), 2))
    usual_of = {"sales": means, "revenue": [mean * _BASKET for mean in means]}
    shop = Shop(days, {"sales": sales, "revenue": revenue}, usual_of)
    for number, factor in _faults(rng, factors, days) if faults else ():
        _put(shop, shape, number, factor)
    return shop


def _poisson(rng: random.Random, mean: float) -> int:
    if mean > 200:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count, product = count + 1, product * rng.random()
    return count


CAMPAIGN, MISSING = 1.33, None


def _faults(
    rng: random.Random, factors: Sequence[float], days: Sequence[date]
) -> Iterator[tuple[int, float | None]]:
    """Yield days and what their values are multiplied by, or None: the row is missing."""
    taken: set[int] = set()

    def is_free(*numbers: int) -> bool:
        around = {near for number in numbers for near in range(number - 2, number + 3)}
        if taken & around or max(numbers) >= DAYS - 1:
            return False
        taken.update(numbers)
        return True

    for _ in range(rng.randrange(4)):
        number = rng.randrange(1, LEARNING)
        if is_free(number):
            yield number, rng.choice([2.0, 4.0, 0.2, 0.0, MISSING])
    for _ in range(rng.randrange(4, 11)):
        number = rng.randrange(LEARNING, DAYS - WEEK - 2)
        other = 2 if days[number].weekday() > 4 else 6
        swap = factors[other] / factors[days[number].weekday()]
        numbers, factor = rng.choice(
            [
                ((number,), rng.uniform(1.7, 6)),
                ((number,), rng.choice([0.0, 0.1, 0.3, 0.5])),
                ((number,), 2.0),
                ((number,), MISSING),
                ((number,), swap),
                ((number, number + WEEK), rng.choice([2.0, 3.0, 0.4, 0.1])),
                ((number, number + 1), CAMPAIGN),
            ]
        )
        if is_free(*numbers):
            yield from ((each, factor) for each in numbers)


def _put(shop: Shop, shape: Shape, number: int, factor: float | None) -> None:
    chance = 1 / (shape.sales * min(shape.weekend, 1))
    spreads = {
        "sales": math.sqrt(shape.noise**2 + chance),
        "revenue": math.sqrt(1.2 * shape.noise**2 + 1.2 * chance),
    }
    for metric in METRICS:
        value = shop.values[metric][number]
        changed = None if factor is None or value is None else round(value * factor, 2)
        shop.values[metric][number] = changed
        size = math.log(changed / shop.usual[metric][number]) if changed else -math.inf
        kind = "missing" if changed is None else "high" if size > 0 else "low"
        is_far = factor != CAMPAIGN and abs(size) >= max(_SMALLEST_FAULT, _SPREADS * spreads[metric])
        if number >= LEARNING and is_far:
            shop.must[metric, number] = kind
        else:
            shop.may.add((metric, number))
