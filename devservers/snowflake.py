"""Snowflake: the emulator `fakesnow`, in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from devservers.ports import free_port
from devservers.process import PROGRAMS, serving
from devservers.tools import require_path


@dataclass(frozen=True)
class SnowflakeServer:
    """An emulator that listens on a loopback port; it accepts any account, user and password."""

    port: int

    @property
    def settings(self) -> dict[str, str]:
        """What leads clients to it: parameters of a URL, or arguments of the connector."""
        return {"host": "127.0.0.1", "port": str(self.port), "protocol": "http"}


@contextmanager
def start() -> Iterator[SnowflakeServer]:
    """Run the emulator; it keeps everything in memory."""
    port = free_port()
    python = str(require_path("snowflake/bin/python"))
    with serving([python, str(PROGRAMS / "snowflake_emulator.py"), str(port)], port):
        yield SnowflakeServer(port)
