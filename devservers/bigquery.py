"""BigQuery: the emulator `local-bigquery`, in an environment of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devservers.ports import free_port
from devservers.process import PROGRAMS, Server, serving
from devservers.tools import require_path

PROJECT = "emulator"
"""The project that it knows."""


@contextmanager
def start(folder: Path) -> Iterator[Server]:
    """Run the emulator with its data in `folder`; `address` is that of its REST API.

    DuckDB, its engine, looks for extensions in the home of its user only. So `folder` is its home.
    """
    python = str(require_path("bigquery/bin/python"))
    subprocess.run([python, str(PROGRAMS / "link_duckdb_extensions.py"), str(folder)], check=True)
    port, storage_port = free_port(), free_port()
    command = [
        *("env", f"HOME={folder}", python, str(PROGRAMS / "bigquery_emulator.py"), "--host", "127.0.0.1"),
        *("--port", str(port), "--grpc-port", str(storage_port), "--project", PROJECT),
        *("--data-dir", str(folder / "data"), "serve"),
    ]
    url = f"http://127.0.0.1:{port}"
    hosts = {
        "BIGQUERY_EMULATOR_HOST": url,
        "BIGQUERY_STORAGE_EMULATOR_HOST": f"127.0.0.1:{storage_port}",
    }
    with serving(command, port):
        yield Server(url, hosts)
