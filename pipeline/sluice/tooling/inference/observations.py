"""Values of records -> what was seen at each place: how many values of which kinds, and what they have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from sluice.contracts import INT64_MAX, INT64_MIN
from sluice.contracts.patterns import UUID_PATTERN, compile_pattern
from sluice.validation.exact_values import exact_decimal
from sluice.validation.value_checks import Number, instant

Kind = Literal["string", "number", "boolean", "object", "array"]
"""What JSON calls a value that is not null."""

_is_uuid = compile_pattern(UUID_PATTERN)


@dataclass(slots=True)
class Texts:
    """The strings at one place."""

    values: Counter[str] = field(default_factory=Counter)
    """Each with how often it was seen."""

    def all_are_uuids(self) -> bool:
        """Tell whether each is a UUID."""
        return all(map(_is_uuid, self.values))

    def all_are_timestamps(self) -> bool:
        """Tell whether each is an instant that warehouses hold."""
        return all(instant(text) is not None for text in self.values)

    def all_are_dates(self) -> bool:
        """Tell whether each is a day."""
        return all(map(is_date, self.values))

    def latest(self) -> datetime | None:
        """Return the latest of the instants among them; None if there is none."""
        return max(filter(None, map(instant, self.values)), default=None)


@dataclass(slots=True)
class Numbers:
    """The numbers at one place, exactly as they were written."""

    are_integers: bool = True
    """All have neither point nor exponent, and fit into 64 bits."""
    are_decimals: bool = True
    """All fit exactly into a decimal column, and none has an exponent."""
    scale: int = 0
    """Most digits behind a point, as written."""
    low: Decimal | None = None
    high: Decimal | None = None
    """The least and the greatest; None as long as no number can be compared."""

    def add(self, value: int | Number) -> None:
        """Note one number."""
        text = value.text if isinstance(value, Number) else ""
        if isinstance(value, Number) or not INT64_MIN <= value <= INT64_MAX:
            self.are_integers = False
        exact = exact_decimal(value.text if isinstance(value, Number) else value)
        if exact is None or "e" in text.lower():
            self.are_decimals = False
        self.scale = max(self.scale, len(text.partition(".")[2]))
        if exact is not None:
            self.low = exact if self.low is None else min(self.low, exact)
            self.high = exact if self.high is None else max(self.high, exact)


@dataclass(slots=True)
class Observed:
    """What was seen at one place of the records: a property, a member of an object, or the items of arrays."""

    nulls: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    """How many values of each kind."""
    texts: Texts = field(default_factory=Texts)
    numbers: Numbers = field(default_factory=Numbers)
    members: dict[str, Observed] = field(default_factory=dict)
    """Of the objects, in the order in which they were first seen."""
    items: Observed | None = None
    """Of the arrays; None if there were none."""

    @property
    def count(self) -> int:
        """How many values that are not null were seen."""
        return self.kinds.total()

    def add(self, value: Any) -> None:
        """Note one value, of which each number is an integer or a `Number`."""
        if value is None:
            self.nulls += 1
        elif isinstance(value, bool):
            self.kinds["boolean"] += 1
        elif isinstance(value, str):
            self.kinds["string"] += 1
            self.texts.values[value] += 1
        elif isinstance(value, dict):
            self.kinds["object"] += 1
            self._add_members(value)
        elif isinstance(value, list):
            self.kinds["array"] += 1
            self.items = Observed() if self.items is None else self.items
            for item in value:
                self.items.add(item)
        else:
            self.kinds["number"] += 1
            self.numbers.add(value)

    def _add_members(self, value: Mapping[str, Any]) -> None:
        for name, member in value.items():
            if name not in self.members:
                self.members[name] = Observed()
            self.members[name].add(member)


def is_date(text: str) -> bool:
    """Tell whether a text is a day, as contracts have it."""
    try:
        msgspec.convert(text, date)
    except msgspec.ValidationError:
        return False
    return True
