"""The HTTP endpoint of a streaming run: /metrics for Prometheus, /healthz for the process's supervisor."""

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
from sluice.run_state import RunState
from sluice.runtime.prometheus import registry_of

_STALLED_SECONDS = 60.0
"""How much longer than `flush` a record may wait to be stored before /healthz reports it."""


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
    """Serve /metrics and /healthz of a run at `address`, if there is one, while the block lasts.

    /healthz answers 503 while a record has waited much longer than `flush` seconds to be stored.

    Raises:
        ConfigError: the address is taken, or not ours to take.

    """
    if address is None:
        yield
        return
    metrics = make_wsgi_app(registry_of(run))

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        if environ.get("PATH_INFO") == "/healthz":
            return _answer_health(run, flush, start)
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


def _answer_health(run: RunState, flush: float, start: Callable[..., Any]) -> list[bytes]:
    waited = run.acks.outstanding().seconds
    healthy = waited <= flush + _STALLED_SECONDS
    status = "200 OK" if healthy else "503 Service Unavailable"
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    word = "ok" if healthy else "stalled"
    return [f"{word}: the oldest unacknowledged record came {waited:.0f} s ago\n".encode()]


class _Handler(WSGIRequestHandler):
    timeout = _IDLE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as its base has it
        """Log no requests."""

    def get_stderr(self) -> Any:
        """Return where tracebacks go of clients that went away: nowhere."""
        return io.StringIO()
