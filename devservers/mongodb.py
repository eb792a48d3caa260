"""MongoDB: SecantusDB, which speaks its wire protocol, in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devservers.ports import free_port
from devservers.process import Server, serving
from devservers.tools import require_path


@contextmanager
def start(folder: Path) -> Iterator[Server]:
    """Run a server on the data in `folder`; `address` is a URL without a database."""
    port = free_port()
    command = [str(require_path("mongodb/bin/secantusd-py")), "--port", str(port), "--log-level", "ERROR"]
    with serving([*command, "--storage-path", str(folder)], port):
        yield Server(f"mongodb://127.0.0.1:{port}")
