"""How signals end a streaming run: the first drains it, a later one ends it at once."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType

from sluice.errors import WorkerError

_LOGGER = logging.getLogger("sluice")

DRAIN_SECONDS = 120.0
"""A drain that takes longer is given up: what was not stored was not acknowledged, and comes again."""

BURST_SECONDS = 0.25
"""Signals that come so soon after the first are one request: GNU `timeout` sends two within microseconds, service
managers and terminals signal a process and its group. Then a line offers to end the run with one more."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def drain_on_signals(draining: threading.Event, ends: SimpleQueue[BaseException]) -> Iterator[None]:
    """Have the first SIGINT or SIGTERM set `draining`, and the next that is no part of its burst end the run.

    What is to end the run is put into `ends`: KeyboardInterrupt for a signal, and WorkerError when the drain took
    longer than DRAIN_SECONDS. The handlers do nothing but note the signal. Call it in the main thread: Python gives
    signals to no other.
    """
    numbers: SimpleQueue[int | None] = SimpleQueue()  # the one queue whose `put` a handler may call
    thread = threading.Thread(target=_drain, args=(numbers, draining, ends), name="drain", daemon=True)
    thread.start()
    handlers = {number: signal.signal(number, lambda number, _: numbers.put(number)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        numbers.put(None)
        thread.join()


def _drain(
    numbers: SimpleQueue[int | None], draining: threading.Event, ends: SimpleQueue[BaseException]
) -> None:
    first = numbers.get()
    if first is None:
        return
    draining.set()
    if not _burst_is_over(numbers):
        return
    _LOGGER.warning(
        "%s: draining: no more is read; what was read is stored and acknowledged, within %g s. "
        "Once more ends the run at once.",
        signal.Signals(first).name,
        DRAIN_SECONDS,
    )
    try:
        if numbers.get(timeout=DRAIN_SECONDS) is not None:
            ends.put(KeyboardInterrupt())
    except Empty:
        message = (
            f"the drain was not done within {DRAIN_SECONDS:g} s; what was not stored was not "
            "acknowledged, run again"
        )
        ends.put(WorkerError(message))


def _burst_is_over(numbers: SimpleQueue[int | None]) -> bool:
    """Return when no signal has come for BURST_SECONDS; False if the run has ended meanwhile."""
    try:
        while numbers.get(timeout=BURST_SECONDS) is not None:
            pass
    except Empty:
        return True
    return False


@contextmanager
def signals_ignored_after(ended: Callable[[], bool]) -> Iterator[None]:
    """Ignore SIGINT and SIGTERM once `ended` is true, as after a drain; before, their handlers are as they were.

    A run that has stored all must not fail because one of a burst of signals comes while its report is printed. If it
    has ended so, the signals stay ignored: a process that ends now keeps its exit code.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python gives signals to no other
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        if callable(handler) and not ended():
            handler(number, frame)

    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, handle)
    try:
        yield
    finally:
        if not ended():
            for number, handler in before.items():
                signal.signal(number, handler)
