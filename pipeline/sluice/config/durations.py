"""Durations with units, days, and times with offsets, as users write them in job files, flags and URLs."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sluice.errors import ConfigError, quote

LONGEST = 3650 * 86400.0
"""Ten years, in seconds: no window needs more, and times stay far from the end of the calendar."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+)(ms|s|m|h|d)")
_MOST_DIGITS = 15


def duration(text: object, where: str) -> float:
    """Return the seconds in `text`, such as 500ms, 10s, 5m, 2h or 7d; at most ten years.

    Raises:
        ConfigError: `text` is no duration, or a longer one; the message begins with `where`.

    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        message = (
            f"{where}: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, got {quote(text)}"
        )
        raise ConfigError(message)
    digits = match[1].lstrip("0")
    seconds = int(digits[:_MOST_DIGITS] or "0") * _UNITS[match[2]]
    if len(digits) > _MOST_DIGITS or seconds > LONGEST:
        message = f"{where}: expected at most 3650d, got {quote(text)}"
        raise ConfigError(message)
    return seconds


def day(value: Any, where: str) -> date:
    """Return the day in `value`, such as 2026-12-31; a date, as YAML has it, is one already.

    Raises:
        ConfigError: `value` is no day; the message begins with `where`.

    """
    if type(value) is date:  # a datetime is a date, too
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        message = f"{where}: expected a day, such as 2026-12-31, got {quote(value)}"
        raise ConfigError(message) from error


def day_or_yesterday(text: str, where: str, now: float) -> date:
    """Return the day in `text`, or the last whole day before `now` (epoch seconds), in UTC, for `yesterday`.

    Raises:
        ConfigError: `text` is neither; the message begins with `where`.

    """
    if text == "yesterday":
        return datetime.fromtimestamp(now, UTC).date() - timedelta(days=1)
    return day(text, where)


def time_with_offset(text: str, where: str) -> datetime:
    """Return the time in `text`, such as 2025-02-08T13:09:00Z.

    Raises:
        ConfigError: `text` is no time, or has no offset; the message begins with `where`.

    """
    try:
        time = datetime.fromisoformat(text)
        in_calendar = time.tzinfo is not None and bool(time.astimezone(UTC))
    except (ValueError, OverflowError):
        in_calendar = False
    if not in_calendar:
        message = f"{where}: expected a time with its offset, such as 2025-02-08T13:09:00Z, got {quote(text)}"
        raise ConfigError(message)
    return time


def floor_to(now: float, span: float) -> float:
    """Return the start of the span, counted from 1970, that `now` lies in; both in seconds.

    It is the arrival of records that have no time of their own: a record that is read again within the span has the
    same arrival.
    """
    return now if span <= 0 else now // span * span
