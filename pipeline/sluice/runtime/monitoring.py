"""What is seen of a live run, and how it is ended: status, metrics, signals."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from sluice.errors import ConfigError, WorkerError
from sluice.sources.acknowledgements import DRAINING, PENDING_ACKS
from sluice.telemetry import registry

_LOGGER = logging.getLogger("sluice")

DRAIN_SECONDS = 120.0
"""A drain that takes longer is given up: what was not stored was not acknowledged, and comes again."""

_STALLED_SECONDS = 60.0
"""How much longer than `flush` a record may wait to be stored before /healthz says so."""


@contextmanager
def draining_by_signal() -> Iterator[None]:
    """Have the first SIGINT or SIGTERM drain the run, and the second end it at once, as Ctrl-C does.

    Raises:
        WorkerError: the drain took longer than DRAIN_SECONDS.

    """
    late, main = threading.Event(), threading.get_ident()

    def handle(number: int, _frame: FrameType | None) -> None:
        if late.is_set():
            message = (
                f"the drain was not done within {DRAIN_SECONDS:g} s; what was not stored was not "
                "acknowledged, run again"
            )
            raise WorkerError(message)
        if DRAINING.is_set():
            raise KeyboardInterrupt
        _LOGGER.warning(
            "%s: draining: no more is read; what was read is stored and acknowledged, within %g s. "
            "Once more ends the run at once.",
            signal.Signals(number).name,
            DRAIN_SECONDS,
        )
        DRAINING.set()
        timer.start()

    def give_up() -> None:
        late.set()
        signal.pthread_kill(main, signal.SIGTERM)

    timer = threading.Timer(DRAIN_SECONDS, give_up)
    timer.daemon = True
    before = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        timer.cancel()
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def metrics_server(port: int | None, flush: float) -> Iterator[None]:
    """Serve /metrics for Prometheus and /healthz on `port`, if there is one, while the block lasts.

    /healthz answers 503 while a record has waited much longer than `flush` seconds to be stored.

    Raises:
        ConfigError: the port is taken, or not ours to take.

    """
    if port is None:
        yield
        return
    metrics = make_wsgi_app(registry())

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        if environ.get("PATH_INFO") != "/healthz":
            return metrics(environ, start)
        waited = PENDING_ACKS.outstanding().seconds
        well = waited <= flush + _STALLED_SECONDS
        start(
            "200 OK" if well else "503 Service Unavailable", [("Content-Type", "text/plain; charset=utf-8")]
        )
        return [
            f"{'ok' if well else 'stalled'}: the oldest unacknowledged record came {waited:.0f} s ago\n".encode()
        ]

    try:
        server = make_server("", port, app, ThreadingWSGIServer, handler_class=_Quiet)
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


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as its base has it
        """Say nothing about requests."""
