"""The HTTP endpoint of a streaming run: /metrics for Prometheus, /healthz for the process's supervisor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from sluice.errors import ConfigError
from sluice.run_state import RunState
from sluice.runtime.prometheus import registry_of

_STALLED_SECONDS = 60.0
"""How much longer than `flush` a record may wait to be stored before /healthz reports it."""


@contextmanager
def metrics_server(port: int | None, run: RunState, flush: float) -> Iterator[None]:
    """Serve /metrics and /healthz of a run on `port`, if there is one, while the block lasts.

    /healthz answers 503 while a record has waited much longer than `flush` seconds to be stored.

    Raises:
        ConfigError: the port is taken, or not ours to take.

    """
    if port is None:
        yield
        return
    metrics = make_wsgi_app(registry_of(run))

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        if environ.get("PATH_INFO") == "/healthz":
            return _answer_health(run, flush, start)
        return metrics(environ, start)

    try:
        server = make_server("", port, app, ThreadingWSGIServer, handler_class=_QuietHandler)
    except OSError as error:
        message = f"--metrics-port: cannot listen on port {port}: {error.strerror}"
        raise ConfigError(message) from error
    with server:
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _answer_health(run: RunState, flush: float, start: Callable[..., Any]) -> list[bytes]:
    waited = run.acks.outstanding().seconds
    healthy = waited <= flush + _STALLED_SECONDS
    status = "200 OK" if healthy else "503 Service Unavailable"
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    word = "ok" if healthy else "stalled"
    return [f"{word}: the oldest unacknowledged record came {waited:.0f} s ago\n".encode()]


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as its base has it
        """Log no requests."""
