from __future__ import annotations

import socket
import struct
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from sluice.acknowledgements import PendingAcks
from sluice.errors import ConfigError, quote
from sluice.run_state import Activity, Backlog, RunState
from sluice.runtime import metrics_server as metrics_server_module
from sluice.runtime.metrics_server import (
    LOOPBACK,
    ListenAddress,
    metrics_server,
    parse_listen_address,
    stalls,
)

from devservers.live_job import answer
from devservers.ports import free_port
from devservers.waiting import wait_until


def test_metrics_and_health_are_served_while_the_run_lasts() -> None:
    now = [0.0]
    run = RunState(acks=PendingAcks(lambda: now[0]))
    run.acks.issue(1, 1, lambda: None)
    port = free_port()
    with metrics_server(ListenAddress(LOOPBACK, port), run, flush=10):
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


def stalled_run(now: list[float]) -> RunState:
    clock = lambda: now[0]  # noqa: E731  given to three
    run = RunState(acks=PendingAcks(clock), backlog=Backlog(clock), activity=Activity(clock))
    run.backlog.answered("kafka://t", 0)
    with run.activity.at_work():
        pass
    return run


@pytest.mark.parametrize(
    ("seconds", "reasons"),
    [
        (30.0, []),
        (30.1, ["stalled: the runner last worked 30 s ago"]),
        (60.0, ["stalled: the runner last worked 60 s ago"]),
        (
            80.0,
            ["stalled: the source last answered 80 s ago", "stalled: the runner last worked 80 s ago"],
        ),
    ],
)
def test_run_that_makes_no_progress_is_unhealthy_though_nothing_is_unacknowledged(
    seconds: float, reasons: list[str]
) -> None:
    now = [0.0]
    run = stalled_run(now)
    now[0] = seconds
    assert stalls(run, flush=10) == reasons


def test_part_of_a_source_that_does_not_answer_is_a_stall() -> None:
    now = [0.0]
    run = stalled_run(now)
    now[0] = 61.0
    run.backlog.answered("kafka://t", 1)
    with run.activity.at_work():
        assert stalls(run, flush=10) == ["stalled: the source last answered 61 s ago"]


def test_source_that_waits_for_storage_is_no_stall_of_its_own() -> None:
    now = [0.0]
    run = stalled_run(now)
    run.acks.issue(1_000_000, 1, lambda: None)
    now[0] = 65.0
    with run.activity.at_work():  # such as a load that waits for its warehouse
        assert stalls(run, flush=10) == []
        now[0] = 75.0
        assert stalls(run, flush=10) == ["stalled: the oldest unacknowledged record came 75 s ago"]


def test_run_is_ready_between_the_first_answer_of_its_source_and_its_drain() -> None:
    run, port = RunState(), free_port()
    with metrics_server(ListenAddress(LOOPBACK, port), run, flush=10):
        assert answer(port, "/readyz") == (
            503,
            "not ready: the runner has not begun\nnot ready: the source has not answered yet\n",
        )
        assert answer(port, "/healthz")[0] == 200
        with run.activity.at_work():
            run.backlog.answered("kafka://t", 0)
        assert answer(port, "/readyz") == (200, "ok: the oldest unacknowledged record came 0 s ago\n")
        run.draining.set()
        assert answer(port, "/readyz") == (503, "not ready: draining\n")
        assert answer(port, "/healthz")[0] == 200


def _listens(port: int) -> bool:
    """Whether this process listens on `port`: another one may, as soon as it is free."""
    return bool(_listening_addresses(port))


def _listening_addresses(port: int) -> set[str]:
    """Return the addresses of this machine at which this process listens on `port`, as /proc writes them."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    ours = {descriptor.resolve().name for descriptor in Path("/proc/self/fd").iterdir()}
    return {
        local.partition(":")[0]
        for _, local, _, state, *_, inode in (row[:10] for row in rows)
        if state == "0A" and int(local.partition(":")[2], 16) == port and f"socket:[{inode}]" in ours
    }


def test_port_in_use_is_a_config_error() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        address = ListenAddress(LOOPBACK, port)
        with pytest.raises(ConfigError) as raised, metrics_server(address, RunState(), flush=10):
            pass
    assert str(raised.value) == (f"--metrics-port: cannot listen on 127.0.0.1:{port}: Address already in use")


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("no-such-host.invalid", "no-such-host.invalid"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("a" * 64, "a" * 64),
    ],
)
def test_host_of_another_machine_is_a_config_error(host: str, shown: str) -> None:
    with pytest.raises(ConfigError) as raised, metrics_server(ListenAddress(host, 9), RunState(), flush=10):
        pass
    assert str(raised.value).startswith(f"--metrics-port: cannot listen on {shown}:9: ")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("9090", "127.0.0.1", 9090),
        ("0.0.0.0:9090", "0.0.0.0", 9090),
        ("localhost:1", "localhost", 1),
        ("[::]:65535", "::", 65535),
        ("pod-1.svc.cluster.local:9090", "pod-1.svc.cluster.local", 9090),
    ],
)
def test_address_is_a_port_or_a_host_and_a_port(text: str, host: str, port: int) -> None:
    address = parse_listen_address(text, "x")
    assert address == ListenAddress(host, port)
    assert str(address).endswith(text)


@pytest.mark.parametrize(
    "text",
    ["", "0", "65536", "99999", "-1", "9" * 400, "x", ":9090", "host:", "::1:9", "[x]:9", "9 ", "٩", "a b:9"],
)
def test_address_without_a_port_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_listen_address(text, "--metrics-port")
    assert str(raised.value) == (
        f"--metrics-port: expected PORT or HOST:PORT, such as 9090 or 0.0.0.0:9090, got {quote(text)}"
    )


def test_only_the_given_interface_listens() -> None:
    port = free_port()
    with metrics_server(ListenAddress(LOOPBACK, port), RunState(), flush=10):
        assert _listening_addresses(port) == {"0100007F"}  # 127.0.0.1, as /proc writes it


@pytest.fixture
def tight_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server_module, "_CONNECTION_SECONDS", 1.0)
    monkeypatch.setattr(metrics_server_module, "_MOST_CONNECTIONS", 4)


@pytest.mark.usefixtures("tight_limits")
def test_client_that_sends_a_byte_now_and_then_is_cut_off() -> None:
    port = free_port()
    with (
        metrics_server(ListenAddress(LOOPBACK, port), RunState(), flush=10),
        socket.create_connection((LOOPBACK, port), timeout=0.05) as slow,
    ):
        slow.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        wait_until(lambda: not _is_open_after_a_byte(slow), "the server closes the connection")
        assert not _is_open_after_a_byte(slow)


def _is_open_after_a_byte(client: socket.socket) -> bool:
    """Send one byte; return whether the server has neither closed the connection nor answered."""
    try:
        client.sendall(b"x")
        return bool(client.recv(1))
    except TimeoutError:
        return True
    except OSError:
        return False


@pytest.mark.usefixtures("tight_limits")
def test_connections_beyond_the_limit_are_closed() -> None:
    port = free_port()
    before = threading.active_count()
    with ExitStack() as clients, metrics_server(ListenAddress(LOOPBACK, port), RunState(), flush=10):
        opened = [
            clients.enter_context(socket.create_connection((LOOPBACK, port), timeout=60)) for _ in range(40)
        ]
        assert {_received(client) for client in opened[4:]} == {b""}
        assert threading.active_count() <= before + 1 + 4
        assert {_received(client) for client in opened[:4]} == {b""}  # they asked for nothing in time
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60) as answer:
            assert answer.status == 200


def _received(client: socket.socket) -> bytes:
    try:
        return client.recv(1)
    except ConnectionResetError:
        return b""


def test_client_that_goes_away_causes_no_output(capfd: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    reset_on_close = struct.pack("ii", 1, 0)
    with metrics_server(ListenAddress(LOOPBACK, port), RunState(), flush=10):
        for request in (b"", b"GET", b"GET /metrics HTTP/1.1\r\n\r\n", b"\0\xff\r\n\r\n", b"x" * 100_000):
            with socket.create_connection((LOOPBACK, port), timeout=60) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_on_close)
                with suppress(OSError):
                    client.sendall(request)
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            assert answer.status == 200
    assert capfd.readouterr() == ("", "")


def test_run_without_a_port_starts_no_server() -> None:
    with metrics_server(None, RunState(), flush=10):
        assert "metrics" not in {thread.name for thread in threading.enumerate()}
