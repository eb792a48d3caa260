from __future__ import annotations

import itertools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import Any

import pytest
from sluice.errors import WorkerError
from sluice.runtime import signals
from sluice.runtime.signals import drain_on_signals, signals_ignored_after

from devservers.waiting import wait_until

DRAINING = (
    "{}: draining: no more is read; what was read is stored and acknowledged, within 120 s. "
    "Once more ends the run at once."
)
BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def ends() -> SimpleQueue[BaseException]:
    return SimpleQueue()


@contextmanager
def handler_of(number: signal.Signals, handler: Any) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", BOTH)
def test_first_signal_drains_and_a_later_one_ends_the_run_at_once(
    number: signal.Signals, ends: SimpleQueue[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    before, draining = signal.getsignal(number), threading.Event()
    with caplog.at_level(logging.WARNING, "sluice"), drain_on_signals(draining, ends):
        signal.raise_signal(number)
        assert draining.wait(60)
        wait_until(lambda: caplog.records, "the line that offers to end the run")
        assert ends.empty()
        signal.raise_signal(number)
        assert isinstance(ends.get(timeout=60), KeyboardInterrupt)
    assert [record.getMessage() for record in caplog.records] == [DRAINING.format(number.name)]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    "burst", [order for size in (2, 3, 5) for order in itertools.product(BOTH, repeat=size)]
)
def test_burst_of_signals_is_one_request_to_drain(
    burst: Sequence[signal.Signals],
    ends: SimpleQueue[BaseException],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signals, "BURST_SECONDS", 0.05)
    draining = threading.Event()
    with caplog.at_level(logging.WARNING, "sluice"), drain_on_signals(draining, ends):
        for number in burst:
            signal.raise_signal(number)
        wait_until(lambda: caplog.records, "the line that offers to end the run")
        assert draining.is_set()
        assert ends.empty()
    assert [record.getMessage() for record in caplog.records] == [DRAINING.format(burst[0].name)]


def test_drain_that_takes_too_long_is_given_up(
    monkeypatch: pytest.MonkeyPatch, ends: SimpleQueue[BaseException]
) -> None:
    monkeypatch.setattr(signals, "DRAIN_SECONDS", 0.01)
    with drain_on_signals(threading.Event(), ends):
        signal.raise_signal(signal.SIGTERM)
        end = ends.get(timeout=60)
    assert isinstance(end, WorkerError)
    assert (
        str(end)
        == "the drain was not done within 0.01 s; what was not stored was not acknowledged, run again"
    )


@pytest.mark.parametrize("moment", range(1, 4))
def test_second_signal_within_the_handler_of_the_first_is_one_request(
    moment: int, ends: SimpleQueue[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """The second signal comes at each line that the handler executes."""
    lines = itertools.count(1)
    draining = threading.Event()

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        handles = frame.f_code.co_filename == signals.__file__ and frame.f_code.co_name == "<lambda>"
        if handles and next(lines) == moment:
            sys.settrace(None)
            signal.raise_signal(signal.SIGTERM)
        return trace

    with caplog.at_level(logging.WARNING, "sluice"), drain_on_signals(draining, ends):
        sys.settrace(trace)
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            sys.settrace(None)
        wait_until(lambda: caplog.records, "the line that offers to end the run")
        assert draining.is_set()
        assert ends.empty()


def test_signal_interrupts_no_code_of_the_main_thread(ends: SimpleQueue[BaseException]) -> None:
    """The main thread works, and is signalled all the time by another one: nothing is raised in it."""
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            for number in BOTH:
                os.kill(os.getpid(), number)

    with drain_on_signals(threading.Event(), ends):
        sender = threading.Thread(target=send)
        sender.start()
        deadline, sums = time.monotonic() + 0.2, set[int]()
        while time.monotonic() < deadline:
            sums.add(sum(range(1000)))
        over.set()
        sender.join()
    assert sums == {499500}


def test_no_thread_is_left_of_a_run_without_a_signal(ends: SimpleQueue[BaseException]) -> None:
    with drain_on_signals(threading.Event(), ends):
        assert "drain" in {thread.name for thread in threading.enumerate()}
    assert "drain" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("number", BOTH)
def test_signal_after_a_drain_is_ignored_and_one_before_is_handled(number: signal.Signals) -> None:
    handled, drained = list[int](), threading.Event()
    with handler_of(number, lambda number, _: handled.append(number)):
        with signals_ignored_after(drained.is_set):
            signal.raise_signal(number)
            assert handled == [number]
            drained.set()
            signal.raise_signal(number)
        signal.raise_signal(number)
        assert handled == [number]


def test_handlers_are_restored_after_a_run_that_has_not_drained() -> None:
    with handler_of(signal.SIGTERM, lambda *_: None):
        before = signal.getsignal(signal.SIGTERM)
        with signals_ignored_after(lambda: False):
            assert signal.getsignal(signal.SIGTERM) is not before
        assert signal.getsignal(signal.SIGTERM) is before


def test_ignored_signal_stays_ignored() -> None:
    """As `nohup` and the background jobs of a shell have it."""
    with handler_of(signal.SIGINT, signal.SIG_IGN), signals_ignored_after(lambda: False):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.raise_signal(signal.SIGINT)
