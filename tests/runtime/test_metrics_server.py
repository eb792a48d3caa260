from __future__ import annotations

import socket
import threading
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from sluice.acknowledgements import PendingAcks
from sluice.errors import ConfigError
from sluice.run_state import RunState
from sluice.runtime.metrics_server import metrics_server

from devservers.ports import free_port


def test_metrics_and_health_are_served_while_the_run_lasts() -> None:
    now = [0.0]
    run = RunState(acks=PendingAcks(lambda: now[0]))
    run.acks.issue(1, 1, lambda: None)
    port = free_port()
    with metrics_server(port, run, flush=10):
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
    ours = {descriptor.resolve().name for descriptor in Path("/proc/self/fd").iterdir()}
    return any(
        state == "0A" and int(local.partition(":")[2], 16) == port and f"socket:[{inode}]" in ours
        for _, local, _, state, *_, inode in (row[:10] for row in rows)
    )


def test_port_in_use_is_a_config_error() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as raised, metrics_server(port, RunState(), flush=10):
            pass
    assert str(raised.value) == f"--metrics-port: cannot listen on port {port}: Address already in use"


def test_run_without_a_port_starts_no_server() -> None:
    with metrics_server(None, RunState(), flush=10):
        assert "metrics" not in {thread.name for thread in threading.enumerate()}
