"""Waiting until something is so, as other threads and processes bring it about."""

from __future__ import annotations

import time
from collections.abc import Callable

from devservers.errors import ConditionTimeout

SECONDS = 120.0
"""Within which a condition must hold, unless a caller knows better."""


def wait_until(
    condition: Callable[[], object], expected: str, seconds: float = SECONDS, interval: float = 0.02
) -> None:
    """Check a condition every `interval` seconds until it holds; `expected` says in words what it is.

    Raises:
        ConditionTimeout: it does not hold within `seconds`.

    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            message = f"expected within {seconds:g} s: {expected}"
            raise ConditionTimeout(message)
        time.sleep(interval)
