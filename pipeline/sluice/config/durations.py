"""Durations with units, and times with offsets, as users write them in job files, flags and URLs."""

from __future__ import annotations

import re
from datetime import datetime

from sluice.errors import ConfigError

LONGEST = 3650 * 86400.0
"""Ten years, in seconds: no window needs more, and times stay far from the end of the calendar."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")


def duration(text: object, where: str) -> float:
    """Return the seconds in `text`, such as 500ms, 10s, 5m, 2h or 7d.

    Raises:
        ConfigError: `text` is no duration; the message begins with `where`.

    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        message = (
            f"{where}: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, got {text!r}"
        )
        raise ConfigError(message)
    return int(match[1]) * _UNITS[match[2]]


def limited_duration(text: object, where: str) -> float:
    """Return the seconds in `text`, at most ten years; see `duration`."""
    seconds = duration(text, where)
    if seconds > LONGEST:
        message = f"{where}: expected at most 3650d, got {text!r}"
        raise ConfigError(message)
    return seconds


def time_with_offset(text: str, where: str) -> datetime:
    """Return the time in `text`, such as 2025-02-08T13:09:00Z.

    Raises:
        ConfigError: `text` is no time, or has no offset; the message begins with `where`.

    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        message = f"{where}: expected a time with its offset, such as 2025-02-08T13:09:00Z, got {text!r}"
        raise ConfigError(message)
    return time


def floor_to(now: float, span: float) -> float:
    """Return the start of the span, counted from 1970, that `now` lies in; both in seconds.

    It is the arrival of records that have no time of their own: a record that is read again within the span has the
    same arrival.
    """
    return now if span <= 0 else now // span * span
