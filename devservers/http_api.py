"""An HTTP API whose user decides each answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

_STOP_SECONDS = 0.01
"""Within which it stops."""


@dataclass(frozen=True)
class HttpRequest:
    """A request; `number` counts from 0, `target` is path and query as they were sent."""

    number: int
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The first value of each parameter."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}


class HttpResponse(NamedTuple):
    """An answer; with status 0 the connection is closed without one."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


@dataclass
class HttpApi:
    """An API at `url`, and the requests that it got."""

    respond: Callable[[HttpRequest], HttpResponse]
    url: str = ""
    requests: list[HttpRequest] = field(default_factory=list)


def _handler(api: HttpApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = dict(self.headers.items())
            request = HttpRequest(len(api.requests), self.command, self.path, headers, body)
            api.requests.append(request)
            response = api.respond(request)
            if not response.status:
                return
            self.send_response(response.status)
            for name, value in {"Content-Length": str(len(response.body)), **response.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(response.body)

        do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def start(respond: Callable[[HttpRequest], HttpResponse], host: str = "127.0.0.1") -> Iterator[HttpApi]:
    """Serve an API in a thread of this process until the block ends; `host` is its name on the loopback interface."""
    api = HttpApi(respond)
    with ThreadingHTTPServer((host, 0), _handler(api)) as server:
        api.url = f"http://{host}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _STOP_SECONDS})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
