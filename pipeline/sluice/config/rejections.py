"""How many records of a run may be rejected before the run counts as failed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sluice.errors import ConfigError, quote

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)%")
_NUMBER = re.compile(r"[0-9]{1,18}")
_ALL = Decimal(100)


@dataclass(frozen=True, slots=True)
class RejectionLimit:
    """The most records that may be rejected: `percent` of those that were read, or a `number`; exactly one is set."""

    percent: Decimal | None = None
    number: int | None = None

    def __str__(self) -> str:
        """Return the text that `rejection_limit` reads."""
        return f"{self.percent}%" if self.percent is not None else str(self.number)

    def is_exceeded(self, rejected: int, read: int) -> bool:
        """Tell whether `rejected` of `read` records are more than may be rejected."""
        if self.percent is not None:
            return rejected * _ALL > read * self.percent
        return self.number is not None and rejected > self.number


def rejection_limit(value: Any, where: str) -> RejectionLimit:
    """Return the limit in `value`: a share such as 5% or 0.1%, or a number such as 100.

    Raises:
        ConfigError: it is neither; the message begins with `where`.

    """
    text = "" if isinstance(value, bool) else str(value)
    if match := _PERCENT.fullmatch(text):
        percent = Decimal(match[1])
        if percent <= _ALL:
            return RejectionLimit(percent=percent)
    elif _NUMBER.fullmatch(text):
        return RejectionLimit(number=int(text))
    expected = "a share of the records from 0% to 100%, such as 5%, or a number, such as 100"
    message = f"{where}: expected {expected}; got {quote(value)}"
    raise ConfigError(message)
