"""Random events that are valid against a contract, for load tests and demonstrations."""

from __future__ import annotations

import random
import string
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from sluice.clock import Clock
from sluice.contracts import Contract, Property, ValueType, by_type, path_text, walk
from sluice.errors import ConfigError

_WORDS = (
    "alder",
    "birch",
    "cedar",
    "elm",
    "fir",
    "hazel",
    "larch",
    "maple",
    "oak",
    "pine",
    "rowan",
    "willow",
)
_FEW, _MANY = 1, 4
_ABSENT = 0.2
"""Probability that an event lacks an optional property."""

_SPAN = 1000
"""Greatest distance of a number from its only bound, or from 0."""


def fake_events(
    contracts: Mapping[str, Contract], route_by: str | None, clock: Clock, seed: int | None = None
) -> Iterator[bytes]:
    """Yield endless events, one of each contract in turn, as lines of JSON; their event time is the clock's.

    Raises:
        ConfigError: a required property has a pattern; no values are generated for patterns.

    """
    generator = _EventGenerator(random.Random(seed), clock)
    for contract in contracts.values():
        _check_patterns(contract)
    while True:
        for contract in contracts.values():
            event = generator.object(contract.properties)
            if contract.event_time is not None:
                event[contract.event_time] = generator.now()
            if route_by is not None:
                event[route_by] = contract.event_type
            yield msgspec.json.encode(event)


def _check_patterns(contract: Contract) -> None:
    for path, prop in walk(contract.properties):
        if prop.pattern is not None and prop.required:
            message = (
                f"{contract.path}: {path_text(path)}: expected no pattern where a value is required, "
                f"got {prop.pattern!r}; publish --source"
            )
            raise ConfigError(message)


class _EventGenerator:
    def __init__(self, source: random.Random, clock: Clock) -> None:
        self._random = source
        self._clock = clock
        self._generators: Mapping[ValueType, Callable[[Property], Any]] = by_type(
            {
                "string": self._string,
                "uuid": lambda _: str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
                "integer": lambda prop: self._random.randint(*map(int, _bounds(prop))),
                "float": lambda prop: round(self._random.uniform(*_bounds(prop)), 3),
                "decimal": self._decimal,
                "boolean": lambda _: self._random.choice((False, True)),
                "timestamp": lambda _: self.now(),
                "date": lambda _: self.now()[:10],
                "object": lambda prop: self.object(prop.properties),
                "array": self._array,
                "json": lambda _: {self._word(): self._random.randint(0, _SPAN)},
            }
        )

    def now(self) -> str:
        """Return the clock's time as the text of a timestamp."""
        return datetime.fromtimestamp(self._clock(), UTC).isoformat().replace("+00:00", "Z")

    def object(self, properties: tuple[Property, ...]) -> dict[str, Any]:
        """Return an object that satisfies `properties`."""
        return {
            prop.name: self._value(prop)
            for prop in properties
            if prop.required or (prop.pattern is None and self._random.random() >= _ABSENT)
        }

    def _value(self, prop: Property) -> Any:
        return self._random.choice(prop.enum) if prop.enum else self._generators[prop.type](prop)

    def _word(self) -> str:
        return f"{self._random.choice(_WORDS)}-{self._random.randint(1, 99)}"

    def _string(self, prop: Property) -> str:
        text = self._word()
        while len(text) < (prop.min_length or 0):
            text += self._random.choice(string.ascii_lowercase)
        return text[: prop.max_length] if prop.max_length is not None else text

    def _decimal(self, prop: Property) -> msgspec.Raw:
        low, high = _bounds(prop)
        cents = self._random.randint(int(low * 100), int(high * 100))
        return msgspec.Raw(str(Decimal(cents) / 100).encode())

    def _array(self, prop: Property) -> list[Any]:
        low = prop.min_length if prop.min_length is not None else _FEW
        high = prop.max_length if prop.max_length is not None else max(low, _MANY)
        if prop.items is None:
            return []
        return [self._value(prop.items) for _ in range(self._random.randint(low, min(high, low + _MANY)))]


def _bounds(prop: Property) -> tuple[float, float]:
    low, high = prop.minimum, prop.maximum
    if low is None:
        low = 0 if high is None or high >= 0 else high - _SPAN
    return low, high if high is not None else low + _SPAN
