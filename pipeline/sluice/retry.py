"""Patience with what fails for a while: a full disk, a locked warehouse, a server that restarts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from sluice.errors import StorageError, WarehouseError

_LOGGER = logging.getLogger("sluice")

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 10.0
"""Longest pause between two attempts: what comes back is noticed soon, and a server is not run down."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Calls an action again, with back-off and jitter, while a store or a warehouse fails, for `seconds`.

    The action must be safe to repeat, as `Log.append` and `Warehouse.load` are. Each failure is logged as a
    warning; the last one is raised. With 0 seconds nothing is repeated.
    """

    seconds: float

    def __call__(self, action: Callable[[], Result]) -> Result:
        """Return what the action returns.

        Raises:
            StorageError, WarehouseError: it still failed when the time was over.

        """
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((StorageError, WarehouseError)),
            wait=tenacity.wait_random_exponential(multiplier=_FIRST_SECONDS, max=_LONGEST_SECONDS),
            stop=tenacity.stop_after_delay(self.seconds),
            before_sleep=self._warn,
            reraise=True,
        )(action)

    def _warn(self, state: tenacity.RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome is not None else None
        _LOGGER.warning("%s; tried for %.0f s of %.0f s", failure, state.seconds_since_start, self.seconds)
