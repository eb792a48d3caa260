"""The HTTP endpoint of a streaming run: a page for people, /metrics for Prometheus, /healthz and /readyz.

Only /healthz and /readyz, which a supervisor asks, answer whoever reaches them.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.errors import ConfigError
from sluice.run_state import SILENT_SECONDS, RunState
from sluice.runtime.listen_address import ListenAddress, refusal
from sluice.runtime.prometheus import registry_of

if TYPE_CHECKING:
    from sluice.runtime.dashboard import Dashboard

_STALLED_SECONDS = 60.0
"""How much longer than `flush` a record may wait to be stored before /healthz reports it."""

_IDLE_RUNNER_SECONDS = 30.0
"""How long the runner may ask no step to work before /healthz reports it; it asks the source twice a second."""

_MOST_CONNECTIONS = 16
"""Served at the same time; more are closed at once. Prometheus opens one."""

_IDLE_SECONDS = 5.0
"""For a client to send or take its next bytes."""

_CONNECTION_SECONDS = 10.0
"""For a whole request and its answer, however steadily a slow client sends."""


@contextmanager
def metrics_server(address: ListenAddress | None, run: RunState, job: Job, clock: Clock) -> Iterator[None]:
    """Serve the page, /metrics, /healthz and /readyz of a run at `address`, if there is one, while the block lasts.

    /healthz answers 503 while a record has waited much longer than the job's `flush` to be stored, the source has not
    answered for SILENT_SECONDS, or the runner has not worked for 30 s. /readyz does so as well until both have begun,
    and while the run drains.

    Raises:
        ConfigError: the address is taken, or not ours to take.

    """
    if address is None:
        yield
        return
    from sluice.runtime.dashboard import (
        Dashboard,
    )  # its templates are slow to import, and most runs need none

    dashboard = Dashboard(job, run, lambda: stalls(run, job.windows.flush), clock)
    try:
        server = _Server(address, dashboard.sample)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no name of a host"
        message = f"--metrics-port: cannot listen on {address}: {reason}"
        raise ConfigError(message) from error
    server.set_app(_App(address, run, job.windows.flush, dashboard))
    with server, dashboard.listening():
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


_StartResponse = Callable[[str, list[tuple[str, str]]], object]


class _App:
    """Answers requests, as WSGI (PEP 3333) has it."""

    def __init__(self, address: ListenAddress, run: RunState, flush: float, dashboard: Dashboard) -> None:
        self._address, self._run, self._flush, self._dashboard = address, run, flush, dashboard
        self._metrics = make_wsgi_app(registry_of(run))

    def __call__(self, environ: dict[str, Any], start: _StartResponse) -> Any:
        path = environ.get("PATH_INFO", "")
        if path == "/healthz":
            return self._health([], start)
        if path == "/readyz":
            return self._health(_unready(self._run), start)
        refused = refusal(environ, self._address)
        if refused is not None:
            return _text(*refused, start)
        return self._figures(path, environ, start)

    def _figures(self, path: str, environ: dict[str, Any], start: _StartResponse) -> Any:
        if path == "/metrics":
            return self._metrics(environ, start)
        if path in ("/", "/figures"):
            return self._page(path, start)
        return _text("404 Not Found", "expected /, /metrics, /healthz or /readyz\n", (), start)

    def _page(self, path: str, start: _StartResponse) -> list[bytes]:
        html = self._dashboard.page() if path == "/" else self._dashboard.figures()
        headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", self._dashboard.security_policy()),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        start("200 OK", headers)
        return [html.encode()]

    def _health(self, reasons: list[str], start: _StartResponse) -> list[bytes]:
        reasons = [*stalls(self._run, self._flush), *reasons]
        waited = self._run.acks.outstanding().seconds
        lines = reasons or [f"ok: the oldest unacknowledged record came {waited:.0f} s ago"]
        text = "".join(f"{line}\n" for line in lines)
        return _text("503 Service Unavailable" if reasons else "200 OK", text, (), start)


def _text(status: str, text: str, headers: Iterable[tuple[str, str]], start: _StartResponse) -> list[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8"), *headers])
    return [text.encode()]


class _Server(ThreadingWSGIServer):
    """Serves a bounded number of connections, each for a bounded time."""

    def __init__(self, address: ListenAddress, often: Callable[[], None]) -> None:
        family, _, _, _, resolved = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        self.address_family = family
        self._open: dict[Any, float] = {}
        self._often = often
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
        """Cut connections that last too long. The server calls it twice a second, and it calls `often`."""
        self._often()
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


class _Handler(WSGIRequestHandler):
    timeout = _IDLE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as its base has it
        """Log no requests."""

    def get_stderr(self) -> Any:
        """Return where tracebacks go of clients that went away: nowhere."""
        return io.StringIO()
