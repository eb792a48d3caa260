from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from sluice.acknowledgements import PendingAcks
from sluice.clock import system_clock
from sluice.config.job import load_job
from sluice.elements import StepCounts
from sluice.errors import ConfigError
from sluice.run_state import Activity, Backlog, RunState
from sluice.runtime import metrics_server as metrics_server_module
from sluice.runtime.listen_address import LOOPBACK, ListenAddress
from sluice.runtime.metrics_server import metrics_server, stalls

from devservers.live_job import answer
from devservers.ports import free_port
from devservers.waiting import wait_until

JOB = load_job("jobs/backend_events.yaml")

TOKEN = "correct horse battery"


def test_metrics_and_health_are_served_while_the_run_lasts() -> None:
    now = [0.0]
    run = RunState(acks=PendingAcks(lambda: now[0]))
    run.acks.issue(1, 1, lambda: None)
    port = free_port()
    with metrics_server(ListenAddress(LOOPBACK, port), run, JOB, system_clock):
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
    with metrics_server(ListenAddress(LOOPBACK, port), run, JOB, system_clock):
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
        with pytest.raises(ConfigError) as raised, metrics_server(address, RunState(), JOB, system_clock):
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
    with (
        pytest.raises(ConfigError) as raised,
        metrics_server(ListenAddress(host, 9), RunState(), JOB, system_clock),
    ):
        pass
    assert str(raised.value).startswith(f"--metrics-port: cannot listen on {shown}:9: ")


def test_only_the_given_interface_listens() -> None:
    port = free_port()
    with metrics_server(ListenAddress(LOOPBACK, port), RunState(), JOB, system_clock):
        assert _listening_addresses(port) == {"0100007F"}  # 127.0.0.1, as /proc writes it


@pytest.fixture
def tight_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server_module, "_CONNECTION_SECONDS", 1.0)
    monkeypatch.setattr(metrics_server_module, "_MOST_CONNECTIONS", 4)


@pytest.mark.usefixtures("tight_limits")
def test_client_that_sends_a_byte_now_and_then_is_cut_off() -> None:
    port = free_port()
    with (
        metrics_server(ListenAddress(LOOPBACK, port), RunState(), JOB, system_clock),
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
def test_connections_beyond_the_limit_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    # None of the first may be cut off, and another one taken in its place, before all have come.
    monkeypatch.setattr(metrics_server_module, "_CONNECTION_SECONDS", 4.0)
    port = free_port()
    before = threading.active_count()
    with ExitStack() as clients, metrics_server(ListenAddress(LOOPBACK, port), RunState(), JOB, system_clock):
        opened = [
            clients.enter_context(socket.create_connection((LOOPBACK, port), timeout=60)) for _ in range(40)
        ]
        assert {_received(client) for client in opened[4:]} == {b""}
        assert threading.active_count() <= before + 1 + 4
        assert {_received(client) for client in opened[:4]} == {b""}  # they asked for nothing in time
        # A client sees its end before the thread that served it has.
        wait_until(lambda: answer(port, "/healthz")[0] == 200, "a place that is free again")


def _received(client: socket.socket) -> bytes:
    try:
        return client.recv(1)
    except ConnectionResetError:
        return b""


def test_client_that_goes_away_causes_no_output(capfd: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    reset_on_close = struct.pack("ii", 1, 0)
    with metrics_server(ListenAddress(LOOPBACK, port), RunState(), JOB, system_clock):
        for request in (b"", b"GET", b"GET /metrics HTTP/1.1\r\n\r\n", b"\0\xff\r\n\r\n", b"x" * 100_000):
            with socket.create_connection((LOOPBACK, port), timeout=60) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_on_close)
                with suppress(OSError):
                    client.sendall(request)
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            assert answer.status == 200
    assert capfd.readouterr() == ("", "")


def test_run_without_a_port_starts_no_server() -> None:
    with metrics_server(None, RunState(), JOB, system_clock):
        assert "metrics" not in {thread.name for thread in threading.enumerate()}


def test_page_shows_the_figures_of_the_run() -> None:
    run, port = RunState(), free_port()
    run.totals.add(StepCounts({("read", ""): 1234, ("accepted", "order"): 1200, ("rejected", "order"): 34}))
    with metrics_server(ListenAddress(LOOPBACK, port), run, JOB, system_clock):
        status, page = answer(port, "/")
        assert (status, answer(port, "/figures")[0]) == (200, 200)
    assert "<title>backend_events - Sluice</title>" in page
    assert "<b>1,234</b> read" in page
    assert "<b>1,200</b> accepted" in page


def test_page_may_load_and_run_nothing_but_its_own_parts() -> None:
    port = free_port()
    with metrics_server(ListenAddress(LOOPBACK, port), RunState(), JOB, system_clock):
        with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
            headers, html = page.headers, page.read().decode()
    policy = headers["Content-Security-Policy"]
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        source = html.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")


@pytest.mark.parametrize("path", ["/favicon.ico", "/x//", "/metrics/", "/etc/passwd"])
def test_other_paths_are_not_found(path: str) -> None:
    port = free_port()
    with metrics_server(ListenAddress(LOOPBACK, port), RunState(), JOB, system_clock):
        assert answer(port, path) == (404, "expected /, /metrics, /healthz or /readyz\n")


PATHS = ("/", "/figures", "/metrics", "/healthz", "/readyz")


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ({}, [401, 401, 401, 200, 503]),
        ({"Authorization": "Bearer wrong"}, [401, 401, 401, 200, 503]),
        ({"Authorization": f"Bearer {TOKEN}"}, [200, 200, 200, 200, 503]),
        (
            {"Authorization": "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()},
            [200, 200, 200, 200, 503],
        ),
        (
            {"Authorization": "Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode()},
            [401, 401, 401, 200, 503],
        ),
        ({"Authorization": "Basic no base64"}, [401, 401, 401, 200, 503]),
    ],
)
def test_figures_need_the_token_and_health_does_not(headers: dict[str, str], statuses: list[int]) -> None:
    port = free_port()
    with metrics_server(ListenAddress(LOOPBACK, port, TOKEN), RunState(), JOB, system_clock):
        assert [_status(port, path, headers) for path in PATHS] == statuses


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9", 200),
        ("localhost", 200),
        ("[::1]:9", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil", 403),
    ],
)
def test_page_of_another_site_whose_name_points_here_reads_nothing(host: str, status: int) -> None:
    port = free_port()
    with metrics_server(ListenAddress(LOOPBACK, port), RunState(), JOB, system_clock):
        assert [_status(port, path, {"Host": host}) for path in PATHS[:3]] == [status] * 3
        assert _status(port, "/healthz", {"Host": host}) == 200


def _status(port: int, path: str, headers: dict[str, str]) -> int:
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=10) as response:
            return int(response.status)
    except HTTPError as error:
        with error:
            return error.code
