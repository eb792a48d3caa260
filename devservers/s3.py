"""Amazon S3: moto's server, which honours `If-None-Match`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

from devservers.ports import free_port
from devservers.process import START_TIMEOUT, Server, serving
from devservers.tools import require_program


@contextmanager
def start(bucket: str) -> Iterator[Server]:
    """Run the emulator with one empty bucket."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serving([require_program("moto_server"), "-H", "127.0.0.1", "-p", str(port)], port):
        with urlopen(Request(f"{url}/{bucket}", method="PUT"), timeout=START_TIMEOUT) as answer:
            answer.read()
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        yield Server(url, {"AWS_ENDPOINT_URL": url, **keys})
