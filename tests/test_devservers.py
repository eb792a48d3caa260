"""The servers of tests, demos and benchmarks: started when they listen, ended with all that they started."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Callable

import pytest

from devservers import http_api
from devservers.errors import MissingTool, ServerError
from devservers.http_api import HttpRequest, HttpResponse
from devservers.ports import free_port
from devservers.process import ServerProcess, serving
from devservers.tools import require_path, require_program

CHILD = (
    "import subprocess, sys;"
    "subprocess.run([sys.executable, '-m', 'http.server', sys.argv[1], '--bind', '127.0.0.1'])"
)
"""A server that answers through a process that it starts."""


def status(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10) as answer:
        return int(answer.status)


def test_server_ends_with_its_child_processes() -> None:
    port = free_port()
    with serving([sys.executable, "-c", CHILD, str(port)], port):
        assert status(port) == 200
    with pytest.raises(OSError, match="refused"):
        status(port)


def test_server_starts_again_on_its_port() -> None:
    port = free_port()
    server = ServerProcess([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], port)
    for _ in range(2):
        server.start()
        assert status(port) == 200
        server.kill()


def test_server_that_exits_is_an_error_with_its_code() -> None:
    server = ServerProcess([sys.executable, "-c", "raise SystemExit(3)"], free_port())
    with pytest.raises(ServerError, match=r": ended with code 3 before it listened$"):
        server.start()


@pytest.mark.parametrize("require", [require_program, require_path])
def test_missing_tool_is_named_with_what_installs_it(require: Callable[[str], object]) -> None:
    with pytest.raises(MissingTool, match=r"no-such-tool.*`scripts/tools"):
        require("no-such-tool")


def test_http_api_records_requests_and_answers_as_its_user_says() -> None:
    def respond(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, request.query["page"].encode())

    with http_api.start(respond) as api:
        with urllib.request.urlopen(f"{api.url}/logs?page=2", timeout=10) as answer:
            assert answer.read() == b"2"
        assert [(request.number, request.method, request.path) for request in api.requests] == [
            (0, "GET", "/logs")
        ]
