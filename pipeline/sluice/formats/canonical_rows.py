"""Rows of typed formats -> canonical lines of JSON: what each value that JSON has no type for is written as.

One value has one spelling, whatever format and unit it came in, so that the same event exported twice is one event:

- a decimal is a number with all its digits;
- an instant is `2025-01-08T10:00:00.123456Z`, a local timestamp the same without `Z`; the fraction has none, three, six
  or nine digits, the fewest that hold it;
- a date is `2025-01-08`, a time of day `10:00:00.123`, a duration `PT1.5S`;
- bytes are base64;
- NaN and the infinities are the texts `NaN`, `Infinity` and `-Infinity`: null would be absence;
- a date outside the years 1 to 9999 has a sign or five digits. It is for the contract to judge.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from math import isinf, isnan
from typing import Any

import msgspec

from sluice.formats.json_lines import Records

BLOCK_BYTES = 512 << 10
"""About how many bytes of lines make one batch."""

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_CYCLE_DAYS, _CYCLE_YEARS = 146_097, 400
"""The Gregorian calendar repeats itself."""
_LAST_YEAR = 9999
_DAY_SECONDS = 86_400
_NANOSECONDS = 10**9
_MOST_DECIMALS = 100

_encode_lines = msgspec.json.Encoder().encode_lines


def lines_of(rows: Sequence[Any]) -> list[bytes]:
    """Return a line of JSON for each row; its values are what the functions of this module return."""
    return _encode_lines(rows).splitlines()


def numbered(lines: Iterable[bytes], first: int) -> Iterator[Records]:
    """Yield lines in blocks of about half a MiB; the offset of each is its number, the first of which is `first`."""
    block: list[bytes] = []
    size = 0
    for line in lines:
        block.append(line)
        size += len(line)
        if size >= BLOCK_BYTES:
            yield Records(block, range(first, first + len(block)))
            first, block, size = first + len(block), [], 0
    if block:
        yield Records(block, range(first, first + len(block)))


def base64_text(value: bytes) -> str:
    """Return bytes as base64."""
    return base64.b64encode(value).decode()


def decimal_number(value: Decimal) -> msgspec.Raw:
    """Return a decimal as a number with all its digits, and with an exponent only where it has more than a hundred."""
    plain = abs(int(value.as_tuple().exponent)) <= _MOST_DECIMALS
    return msgspec.Raw((f"{value:f}" if plain else str(value)).encode())


def float_or_text(value: float) -> float | str:
    """Return a float that JSON has; the name of one that it has not."""
    if isnan(value):
        return "NaN"
    if isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def timestamp_text(value: int, per_second: int, zone: str) -> str:
    """Return the timestamp that is `value` units after 1970, of which a second has `per_second`."""
    days, rest = divmod(value, _DAY_SECONDS * per_second)
    return f"{date_text(days)}T{time_text(rest, per_second)}{zone}"


@lru_cache(maxsize=4096)
def date_text(days: int) -> str:
    """Return the date that is `days` days after 1970-01-01."""
    cycles, day = divmod(days + _EPOCH_ORDINAL - 1, _CYCLE_DAYS)
    text = date.fromordinal(day + 1).isoformat()
    year = int(text[:4]) + cycles * _CYCLE_YEARS
    if 1 <= year <= _LAST_YEAR:
        return f"{year:04}{text[4:]}"
    return f"{year:+05}{text[4:]}"


def time_text(value: int, per_second: int) -> str:
    """Return the time of day that is `value` units after midnight."""
    seconds, fraction = divmod(value, per_second)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{_fraction(fraction * (_NANOSECONDS // per_second))}"


def duration_text(value: int, per_second: int) -> str:
    """Return a duration of `value` units in the notation of ISO 8601, in seconds."""
    seconds, fraction = divmod(abs(value), per_second)
    sign = "-" if value < 0 else ""
    return f"{sign}PT{seconds}{_fraction(fraction * (_NANOSECONDS // per_second))}S"


def _fraction(nanoseconds: int) -> str:
    """Return none, three, six or nine digits behind a point."""
    if not nanoseconds:
        return ""
    digits = f"{nanoseconds:09}"
    for end in (3, 6):
        if not digits[end:].strip("0"):
            return f".{digits[:end]}"
    return f".{digits}"
