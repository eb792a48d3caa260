from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from sluice.errors import ConfigError, WorkerError
from sluice.runtime import monitoring as watch
from sluice.runtime.monitoring import draining_by_signal, metrics_server
from sluice.sources.acknowledgements import DRAINING, PendingAcks

from devservers.ports import free_port


@pytest.fixture(autouse=True)
def not_draining() -> Iterator[None]:
    yield
    DRAINING.clear()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_drains_and_second_interrupts(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    before = signal.getsignal(number)
    with caplog.at_level(logging.WARNING, "sluice"), pytest.raises(KeyboardInterrupt), draining_by_signal():
        signal.raise_signal(number)
        assert DRAINING.is_set()
        signal.raise_signal(number)
    assert [record.getMessage() for record in caplog.records] == [
        f"{number.name}: draining: no more is read; what was read is stored and acknowledged, within 120 s. "
        "Once more ends the run at once."
    ]
    assert signal.getsignal(number) is before


def test_drain_beyond_its_timeout_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "DRAIN_SECONDS", 0.01)
    with pytest.raises(WorkerError) as raised, draining_by_signal():
        signal.raise_signal(signal.SIGTERM)
        signal.pause()
    assert str(raised.value) == (
        "the drain was not done within 0.01 s; what was not stored was not acknowledged, run again"
    )


def test_metrics_and_health_are_served_during_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    pending_acks = PendingAcks(lambda: now[0])
    monkeypatch.setattr(watch, "PENDING_ACKS", pending_acks)
    pending_acks.issue(1, 1, lambda: None)
    port = free_port()
    with metrics_server(port, flush=10):
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b"sluice_read_total" in answer.read()
        now[0] = 70.0
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            assert answer.read() == b"ok: the oldest unacknowledged record came 70 s ago\n"
        now[0] = 70.1
        with pytest.raises(HTTPError) as raised:
            urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10)
        with raised.value as answer:
            assert (answer.code, answer.read()) == (
                503,
                b"stalled: the oldest unacknowledged record came 70 s ago\n",
            )
        assert _listens(port)
    assert not _listens(port)


def _listens(port: int) -> bool:
    """Whether this process listens on `port`: another one may, as soon as it is free."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    ours = {each.resolve().name for each in Path("/proc/self/fd").iterdir()}
    return any(
        state == "0A" and int(local.partition(":")[2], 16) == port and f"socket:[{inode}]" in ours
        for _, local, _, state, *_, inode in (row[:10] for row in rows)
    )


def test_port_in_use_is_a_config_error() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as raised, metrics_server(port, flush=10):
            pass
    assert str(raised.value) == f"--metrics-port: cannot listen on port {port}: Address already in use"


def test_metrics_without_port_are_not_served() -> None:
    with metrics_server(None, flush=10):
        pass
