from __future__ import annotations

import logging
import signal
import threading

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
        assert draining.is_set()
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
