"""Loopback ports for servers."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

from devservers.errors import ServerError


def free_port() -> int:
    """Return a loopback port that no process listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def restart_port() -> int:
    """Return a loopback port that stays free while its server restarts.

    It is below the range from which kernels take ports of outgoing connections. A client that tries to reconnect again
    and again would otherwise get the port of its server some day, and connect to itself.

    Raises:
        ServerError: no such port is free.

    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    message = "expected a free port from 20000 to 32000, got none"
    raise ServerError(message)
