"""The process of a server: started, watched until it listens, and ended with everything that it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from devservers.errors import ServerError
from devservers.waiting import wait_until

LIFETIME = 1800.0
"""Seconds until a server ends by itself, should the process that started it be killed."""

START_TIMEOUT = 120.0
"""Seconds within which a server must answer."""

JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Starts quickly on few cores: what Java's second compiler gains comes after the tests that a server lasts for."""

_END_INTERVAL = 0.01

PROGRAMS = Path(__file__).with_name("programs")


@dataclass(frozen=True)
class Server:
    """A server that answers at `address`; `environment` is what leads clients to it, here and in other processes."""

    address: str
    environment: dict[str, str] = field(default_factory=dict)


class ServerProcess:
    """A server that listens on a loopback port, in a process group of its own."""

    def __init__(self, command: Sequence[str], port: int, lifetime: float = LIFETIME) -> None:
        """`lifetime` is in seconds."""
        self._command = command
        self._port = port
        self._lifetime = lifetime
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            ServerError: it ended, or does not listen within `START_TIMEOUT`.

        """
        guard = [sys.executable, str(PROGRAMS / "guard.py"), str(self._lifetime)]
        nothing = subprocess.DEVNULL
        self._process = subprocess.Popen(
            [*guard, *self._command], start_new_session=True, stdin=nothing, stdout=nothing, stderr=nothing
        )
        try:
            wait_until(self._is_listening, f"{self._command[0]} listens on port {self._port}", START_TIMEOUT)
        except ServerError:
            self.kill()
            raise

    def _is_listening(self) -> bool:
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            message = f"{self._command[0]}: ended with code {code} before it listened"
            raise ServerError(message)
        return self._accepts_connections()

    def _accepts_connections(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False

    def kill(self) -> None:
        """Kill it with SIGKILL, with everything that it started, and wait until the port is free."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            wait_until(
                lambda: not self._accepts_connections(),
                f"{self._command[0]} ends",
                interval=_END_INTERVAL,
            )

    def freeze(self) -> None:
        """Stop it with SIGSTOP: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it continue after `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)


@contextmanager
def serving(command: Sequence[str], port: int, lifetime: float = LIFETIME) -> Iterator[ServerProcess]:
    """Run a server until the block ends."""
    process = ServerProcess(command, port, lifetime)
    process.start()
    try:
        yield process
    finally:
        process.kill()
