"""The HTTP endpoint of a streaming run: /metrics for Prometheus, /healthz and /readyz for what supervises it."""

from __future__ import annotations

import io
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from sluice.errors import ConfigError, quote
from sluice.run_state import SILENT_SECONDS, RunState
from sluice.runtime.prometheus import registry_of

_STALLED_SECONDS = 60.0
"""How much longer than `flush` a record may wait to be stored before /healthz reports it."""

_IDLE_RUNNER_SECONDS = 30.0
"""How long the runner may ask no step to work before /healthz reports it; it asks the source twice a second."""

LOOPBACK = "127.0.0.1"

_MOST_CONNECTIONS = 16
"""Served at the same time; more are closed at once. Prometheus opens one."""

_IDLE_SECONDS = 5.0
"""For a client to send or take its next bytes."""

_CONNECTION_SECONDS = 10.0
"""For a whole request and its answer, however steadily a slow client sends."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a server of this process listens: a host name or address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as URLs write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen_address(text: str, where: str) -> ListenAddress:
    """Return the address in `text`: `PORT`, which is on the loopback interface, `HOST:PORT` or `[IPV6]:PORT`.

    Raises:
        ConfigError: it is none; the message begins with `where`.

    """
    match = _ADDRESS.fullmatch(text)
    port = int(match["port"]) if match is not None else 0
    if match is None or not 1 <= port <= _LAST_PORT:
        message = f"{where}: expected PORT or HOST:PORT, such as 9090 or 0.0.0.0:9090, got {quote(text)}"
        raise ConfigError(message)
    return ListenAddress(match["ipv6"] or match["host"] or LOOPBACK, port)


_ADDRESS = re.compile(r"(?:(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):)?(?P<port>[0-9]{1,5})")
_LAST_PORT = 65535


@contextmanager
def metrics_server(address: ListenAddress | None, run: RunState, flush: float) -> Iterator[None]:
    """Serve /metrics, /healthz and /readyz of a run at `address`, if there is one, while the block lasts.

    /healthz answers 503 while a record has waited much longer than `flush` seconds to be stored, the source has not
    answered for SILENT_SECONDS, or the runner has not worked for 30 s. /readyz does so as well until both have begun,
    and while the run drains.

    Raises:
        ConfigError: the address is taken, or not ours to take.

    """
    if address is None:
        yield
        return
    metrics = make_wsgi_app(registry_of(run))

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        if environ.get("PATH_INFO") == "/healthz":
            return _answer(stalls(run, flush), run, start)
        if environ.get("PATH_INFO") == "/readyz":
            return _answer([*stalls(run, flush), *_unready(run)], run, start)
        return metrics(environ, start)

    try:
        server = _Server(address)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no name of a host"
        message = f"--metrics-port: cannot listen on {address}: {reason}"
        raise ConfigError(message) from error
    server.set_app(app)
    with server:
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingWSGIServer):
    """Serves a bounded number of connections, each for a bounded time."""

    def __init__(self, address: ListenAddress) -> None:
        family, _, _, _, resolved = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        self.address_family = family
        self._open: dict[Any, float] = {}
        super().__init__((str(resolved[0]), address.port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server for the host's name, as the base does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, if there are not too many."""
        if len(self._open) >= _MOST_CONNECTIONS:
            self.shutdown_request(request)
            return
        self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Cut connections that last too long. The server calls it twice a second."""
        now = time.monotonic()
        for request, opened in list(self._open.items()):
            if now - opened > _CONNECTION_SECONDS:
                with suppress(OSError):  # it has just ended
                    request.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback of a client that went away."""


def stalls(run: RunState, flush: float) -> list[str]:
    """Return what of a run makes no progress, a line each."""
    waited, silent, idle = run.acks.outstanding().seconds, run.backlog.silent(), run.activity.idle()
    reasons = []
    if waited > flush + _STALLED_SECONDS:
        reasons.append(f"stalled: the oldest unacknowledged record came {waited:.0f} s ago")
    if silent > SILENT_SECONDS and not run.acks.is_full():  # a source that must wait is not asked
        reasons.append(f"stalled: the source last answered {silent:.0f} s ago")
    if idle > _IDLE_RUNNER_SECONDS:
        reasons.append(f"stalled: the runner last worked {idle:.0f} s ago")
    return reasons


def _unready(run: RunState) -> list[str]:
    reasons = [] if run.activity.began else ["not ready: the runner has not begun"]
    if not run.backlog.has_answered():
        reasons.append("not ready: the source has not answered yet")
    if run.draining.is_set():
        reasons.append("not ready: draining")
    return reasons


def _answer(reasons: list[str], run: RunState, start: Callable[..., Any]) -> list[bytes]:
    status = "503 Service Unavailable" if reasons else "200 OK"
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    waited = run.acks.outstanding().seconds
    lines = reasons or [f"ok: the oldest unacknowledged record came {waited:.0f} s ago"]
    return ["".join(f"{line}\n" for line in lines).encode()]


class _Handler(WSGIRequestHandler):
    timeout = _IDLE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as its base has it
        """Log no requests."""

    def get_stderr(self) -> Any:
        """Return where tracebacks go of clients that went away: nowhere."""
        return io.StringIO()
