"""How signals end a streaming run: the first drains it, the second ends it at once."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sluice.errors import WorkerError

_LOGGER = logging.getLogger("sluice")

DRAIN_SECONDS = 120.0
"""A drain that takes longer is given up: what was not stored was not acknowledged, and comes again."""


@contextmanager
def drain_on_signals(draining: threading.Event) -> Iterator[None]:
    """Have the first SIGINT or SIGTERM set `draining`, and the second end the run at once, as Ctrl-C does.

    Call it in the main thread: Python gives signals to no other.

    Raises:
        WorkerError: the drain took longer than DRAIN_SECONDS.

    """
    drain = _Drain(draining)
    handlers = {number: signal.signal(number, drain.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        drain.stop()
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _Drain:
    """What a signal means, which depends on those before it. Create it in the main thread."""

    def __init__(self, draining: threading.Event) -> None:
        self._draining = draining
        self._late = threading.Event()
        self._main = threading.get_ident()
        self._timer = threading.Timer(DRAIN_SECONDS, self._give_up)
        self._timer.daemon = True

    def handle(self, number: int, _frame: FrameType | None) -> None:
        if self._late.is_set():
            message = (
                f"the drain was not done within {DRAIN_SECONDS:g} s; what was not stored was not "
                "acknowledged, run again"
            )
            raise WorkerError(message)
        if self._draining.is_set():
            raise KeyboardInterrupt
        _LOGGER.warning(
            "%s: draining: no more is read; what was read is stored and acknowledged, within %g s. "
            "Once more ends the run at once.",
            signal.Signals(number).name,
            DRAIN_SECONDS,
        )
        self._draining.set()
        self._timer.start()

    def _give_up(self) -> None:
        self._late.set()
        signal.pthread_kill(self._main, signal.SIGTERM)

    def stop(self) -> None:
        self._timer.cancel()
