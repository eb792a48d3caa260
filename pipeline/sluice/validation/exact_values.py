"""Values of JSON compared exactly, whatever their spelling."""

from __future__ import annotations

from collections.abc import Hashable
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from typing import Any

from sluice.contracts import DECIMAL_SCALE, DECIMAL_WHOLE_DIGITS

_EXACT = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)


def exact_decimal(number: int | str) -> Decimal | None:
    """Return the number if a decimal column holds it exactly, else None."""
    try:
        value = _EXACT.normalize(Decimal(number))
    except InvalidOperation:
        return None  # an exponent of 19 digits, which no step behind this one can read, not even of zero
    exponent = value.as_tuple().exponent
    is_exact = (
        isinstance(exponent, int)
        and exponent >= -DECIMAL_SCALE
        and (not value or value.adjusted() < DECIMAL_WHOLE_DIGITS)
    )
    return value if is_exact else None


def comparable(value: Any) -> Hashable:
    """Return what is equal for equal values of JSON alone: 1.0 is 1 and not true, and members have no order."""
    if isinstance(value, dict):
        return "object", frozenset((name, comparable(member)) for name, member in value.items())
    if isinstance(value, list):
        return "array", tuple(map(comparable, value))
    if isinstance(value, bool | str) or value is None:
        return type(value), value
    text = str(value) if isinstance(value, int) else value.text
    try:
        return "number", _EXACT.normalize(Decimal(text))
    except InvalidOperation:
        return "number", text


def is_multiple(number: Decimal, of: Decimal | None) -> bool:
    """Tell whether a number is a whole multiple of another one; of None is every number."""
    return of is None or not _EXACT.remainder(number, of)
