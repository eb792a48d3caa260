"""How signals end a streaming run: the first drains it, the second ends it at once."""

from __future__ import annotations

import itertools
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
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
    """What a signal means, which depends on those before it. Create it in the main thread.

    Its handler may interrupt any code, even itself: it takes no lock and logs nothing, but hands over to a thread.
    """

    def __init__(self, draining: threading.Event) -> None:
        self._draining = draining
        self._signals = itertools.count()
        self._first: SimpleQueue[int | None] = SimpleQueue()  # the one queue whose `put` a handler may call
        self._late = False
        self._stopped = threading.Event()
        self._sending = threading.Lock()  # the last signal must not arrive when its handler is gone
        self._main = threading.get_ident()
        self._thread = threading.Thread(target=self._drain, name="drain", daemon=True)
        self._thread.start()

    def handle(self, number: int, _frame: FrameType | None) -> None:
        if self._late:
            message = (
                f"the drain was not done within {DRAIN_SECONDS:g} s; what was not stored was not "
                "acknowledged, run again"
            )
            raise WorkerError(message)
        if next(self._signals):
            raise KeyboardInterrupt
        self._first.put(number)

    def _drain(self) -> None:
        number = self._first.get()
        if number is None:
            return
        _LOGGER.warning(
            "%s: draining: no more is read; what was read is stored and acknowledged, within %g s. "
            "Once more ends the run at once.",
            signal.Signals(number).name,
            DRAIN_SECONDS,
        )
        self._draining.set()
        if self._stopped.wait(DRAIN_SECONDS):
            return
        with self._sending:
            if not self._stopped.is_set():
                self._late = True
                signal.pthread_kill(self._main, signal.SIGTERM)

    def stop(self) -> None:
        with self._sending:
            self._stopped.set()
        self._first.put(None)
        self._thread.join()
