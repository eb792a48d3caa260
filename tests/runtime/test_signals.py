from __future__ import annotations

import itertools
import logging
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from sluice.errors import WorkerError
from sluice.runtime import signals
from sluice.runtime.signals import drain_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_drains_and_second_ends_the_run_at_once(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    before, draining = signal.getsignal(number), threading.Event()
    with (
        caplog.at_level(logging.WARNING, "sluice"),
        pytest.raises(KeyboardInterrupt),
        drain_on_signals(draining),
    ):
        signal.raise_signal(number)
        assert draining.wait(60)
        signal.raise_signal(number)
    assert [record.getMessage() for record in caplog.records] == [
        f"{number.name}: draining: no more is read; what was read is stored and acknowledged, within 120 s. "
        "Once more ends the run at once."
    ]
    assert signal.getsignal(number) is before


def test_drain_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "DRAIN_SECONDS", 0.01)
    with pytest.raises(WorkerError) as raised, drain_on_signals(threading.Event()):
        signal.raise_signal(signal.SIGTERM)
        signal.pause()
    assert str(raised.value) == (
        "the drain was not done within 0.01 s; what was not stored was not acknowledged, run again"
    )


@pytest.mark.parametrize("moment", range(1, 12))
def test_second_signal_within_the_handler_of_the_first_ends_the_run(moment: int) -> None:
    """The second signal comes at each line that the handler executes."""
    lines = itertools.count(1)

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code.co_name == "handle" and event == "line" and next(lines) == moment:
            sys.settrace(None)
            signal.raise_signal(signal.SIGTERM)
        return trace

    draining = threading.Event()
    with pytest.raises(KeyboardInterrupt), drain_on_signals(draining):
        sys.settrace(trace)
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            sys.settrace(None)
        assert draining.wait(60)
        signal.raise_signal(signal.SIGTERM)


def test_no_thread_is_left_of_a_run_without_a_signal() -> None:
    with drain_on_signals(threading.Event()):
        assert "drain" in {thread.name for thread in threading.enumerate()}
    assert "drain" not in {thread.name for thread in threading.enumerate()}
