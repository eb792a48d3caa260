"""Prism, Beam's runner for live jobs on one machine: found, started, watched, and ended with the launcher.

Beam starts Prism itself if it is let, but a launcher that is killed leaves that one behind, with a worker
that no longer exists. Here a guard holds it: a small process that ends Prism when its own standard input
closes, which the kernel does however the launcher ends.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions, PrismRunnerOptions
from apache_beam.runners.portability.prism_runner import PrismJobServer

from sluice.errors import ConfigError, WorkerError
from sluice.retry import wait_until

_IN_CHECKOUT = Path(".tools/bin/prism")
"""Where scripts/tools builds it."""

_START_SECONDS = 30.0
_LOOK_SECONDS = 0.05

_GUARD = """\
import subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def end():
    sys.stdin.read()
    child.kill()
threading.Thread(target=end, daemon=True).start()
code = child.wait()
sys.exit(code if code >= 0 else 128 - code)
"""


class Prism:
    """A running Prism; `endpoint` is where jobs are submitted."""

    def __init__(self, endpoint: str, guard: subprocess.Popen[bytes]) -> None:
        """`guard` is the process that holds it."""
        self.endpoint = endpoint
        self._guard = guard

    def check(self, seconds: float = 0.0) -> None:
        """Make sure that it is alive; look for so many seconds.

        Raises:
            WorkerError: it is not.

        """
        try:
            code = self._guard.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        message = (
            f"Prism, the runner of live jobs, ended with exit code {code}; what was not stored was not "
            "acknowledged, run again"
        )
        raise WorkerError(message)

    def end(self) -> None:
        """End it at once."""
        if self._guard.stdin is not None:
            with suppress(BrokenPipeError):
                self._guard.stdin.close()
        self._guard.wait()


@contextmanager
def prism(options: PipelineOptions) -> Iterator[Prism]:
    """Start Prism on a free loopback port, and end it when the block ends.

    Raises:
        ConfigError: there is no Prism, and it cannot be fetched.
        WorkerError: it does not start.

    """
    binary = _binary(options)
    port = _free_port()
    command = [binary, f"--job_port={port}", "--log_level=error", "--log_kind=text", "--serve_http=false"]
    guard = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _GUARD, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # it logs an error for each bundle without a finalizer
        process_group=0,  # Ctrl-C is for the launcher, which ends it in order
    )
    running = Prism(f"localhost:{port}", guard)
    try:
        _wait_until_listening(running, port)
        yield running
    finally:
        running.end()


def _binary(options: PipelineOptions) -> str:
    chosen = options.view_as(PrismRunnerOptions).prism_location
    if chosen is None:
        for candidate in (str(_IN_CHECKOUT), "prism"):
            path = shutil.which(candidate)
            if path is not None:
                return os.path.abspath(path)
    try:
        server = PrismJobServer(options)
        return str(server.local_bin(server.path_to_binary()))
    except (RuntimeError, ValueError, OSError) as error:
        message = (
            "expected Prism, the runner of live jobs: in .tools/bin (scripts/tools builds it), on PATH, at "
            f"--prism_location, or to fetch; got {' '.join(str(error).split())}"
        )
        raise ConfigError(message) from error


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_until_listening(running: Prism, port: int) -> None:
    def listens() -> bool:
        running.check()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    if not wait_until(listens, _START_SECONDS, _LOOK_SECONDS):
        message = f"Prism, the runner of live jobs, did not listen within {_START_SECONDS:g} s"
        raise WorkerError(message)
