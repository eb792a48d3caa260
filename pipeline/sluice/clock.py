"""The one clock; everything that needs the time takes a `Clock` as an argument, so that tests can stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]
"""Tells epoch seconds."""

system_clock: Clock = time.time

MICROSECONDS = 1_000_000
"""Microseconds in a second."""

_FIRST_SECOND = -62_135_596_800.0
"""The first second of the year 1, in epoch seconds: no earlier time can be stored."""

LAST_SECOND = 253_402_300_799.0
"""The last second of the year 9999, in epoch seconds: no later time can be stored."""


def storable(seconds: float) -> float:
    """Return epoch seconds, or the nearest ones of the years 1 to 9999."""
    return min(max(seconds, _FIRST_SECOND), LAST_SECOND)


def window_time(microseconds: int) -> datetime:
    """Return the start or the end of a window in UTC, to the second.

    A wide window may begin before the year 1, and the last one ends after the year 9999.
    """
    return datetime.fromtimestamp(storable(microseconds // MICROSECONDS), UTC)
