"""Google Cloud Storage: fake-gcs-server, which honours `ifGenerationMatch` on uploads."""

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
    command = [
        *(require_program("fake-gcs-server"), "-scheme=http", "-host=127.0.0.1", f"-port={port}"),
        *("-backend=memory", f"-external-url={url}", f"-public-host=127.0.0.1:{port}", "-log-level=error"),
    ]
    with serving(command, port):
        body = f'{{"name": "{bucket}"}}'.encode()
        request = Request(
            f"{url}/storage/v1/b?project=emulator", body, {"Content-Type": "application/json"}, method="POST"
        )
        with urlopen(request, timeout=START_TIMEOUT) as answer:
            answer.read()
        yield Server(url, {"STORAGE_EMULATOR_HOST": url})
