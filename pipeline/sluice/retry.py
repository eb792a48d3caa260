"""Retries of what fails for a while: a full disk, a locked warehouse, a server that restarts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from operator import not_
from typing import TypeVar

import tenacity

from sluice.errors import LogChangedError, RateLimitError, StorageError, TableError, WarehouseError

_LOGGER = logging.getLogger("sluice")

Result = TypeVar("Result")


def no_requested_pause(error: BaseException) -> float | None:
    """Return None: most failures do not say when to try again."""
    del error
    return None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Calls an action again, with exponential back-off and jitter, while it fails, for `seconds`.

    The action must be safe to repeat, as `EventLog.append` and `Warehouse.load` are. Each failure is logged; the last
    one is raised. With 0 seconds nothing is repeated, but for what a rate limit rejected. TableError and
    LogChangedError are raised at once.
    """

    seconds: float
    rate_limit_seconds: float = 0.0
    """For how long a RateLimitError is retried, if that is longer than `seconds`."""
    errors: tuple[type[Exception], ...] = (StorageError, WarehouseError)
    """What is retried; any other exception is raised at once."""
    first_pause: float = 0.5
    """Seconds: the longest possible first pause, which doubles from one attempt to the next."""
    longest_pause: float = 10.0
    """Seconds: a service that is back is noticed soon, and one that is not is not overloaded."""
    log_level: int = logging.WARNING
    requested_pause: Callable[[BaseException], float | None] = no_requested_pause
    """Seconds that a failure asks to wait, such as the Retry-After of HTTP; None: the usual pause. Retries end at
    once if it exceeds the time that is left."""
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, action: Callable[[], Result]) -> Result:
        """Return what the action returns.

        Raises:
            StorageError, WarehouseError: it still failed when the time was over; or others of `errors`.

        """
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._is_retried),
            wait=self._pause,
            stop=self._is_over,
            before_sleep=self._log,
            sleep=self.sleep,
            reraise=True,
        )(action)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        requested = self._requested(state)
        if requested is not None:
            return requested
        return tenacity.wait_random_exponential(multiplier=self.first_pause, max=self.longest_pause)(state)

    def _is_retried(self, error: BaseException) -> bool:
        return isinstance(error, self.errors) and not isinstance(error, TableError | LogChangedError)

    def _is_over(self, state: tenacity.RetryCallState) -> bool:
        requested = self._requested(state) or 0.0
        return (state.seconds_since_start or 0.0) + requested >= self._limit(state)

    def _limit(self, state: tenacity.RetryCallState) -> float:
        """Return for how many seconds the last failure is retried."""
        failure = state.outcome.exception() if state.outcome is not None else None
        return max(self.seconds, self.rate_limit_seconds if isinstance(failure, RateLimitError) else 0.0)

    def _requested(self, state: tenacity.RetryCallState) -> float | None:
        failure = state.outcome.exception() if state.outcome is not None else None
        return None if failure is None else self.requested_pause(failure)

    def _log(self, state: tenacity.RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome is not None else None
        _LOGGER.log(
            self.log_level,
            "%s; tried for %.0f s of %.0f s",
            failure,
            state.seconds_since_start,
            self._limit(state),
        )


def wait_until(condition: Callable[[], bool], seconds: float, pause: float) -> bool:
    """Return whether `condition` becomes true within `seconds`; look every `pause` seconds."""
    reached: bool = tenacity.Retrying(
        retry=tenacity.retry_if_result(not_),
        wait=tenacity.wait_fixed(pause),
        stop=tenacity.stop_after_delay(seconds),
        retry_error_callback=lambda _state: False,
    )(condition)
    return reached
