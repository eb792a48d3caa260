"""The one clock; everything that needs the time takes a `Clock` as an argument, so that tests can stop it."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Tells epoch seconds."""

system_clock: Clock = time.time

LAST_SECOND = 253_402_300_799.0
"""The last second of the year 9999, in epoch seconds: no later time can be stored."""
