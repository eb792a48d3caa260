"""Prism, Beam's runner of streaming jobs on one machine: finds, starts and monitors it, and ends it with the launcher.

Beam can start Prism itself, but that Prism goes on after a launcher that was killed, with a worker that is gone. Here a
guard starts Prism: a small process that ends Prism when the guard's standard input closes. The kernel closes it however
the launcher ends.
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

from sluice.errors import ConfigError, RunnerError
from sluice.retry import wait_until

_IN_CHECKOUT = Path(".tools/bin/prism")
"""The path to which scripts/tools builds Prism."""

_START_SECONDS = 30.0
_POLL_SECONDS = 0.05
_END_SECONDS = 5.0
"""For the guard to end Prism. One that was stopped does not."""

RUNNER = "Prism, the runner of streaming jobs,"

_GUARD = """\
import ctypes, signal, subprocess, sys, threading
PR_SET_PDEATHSIG = 1
def end_with_guard():
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=end_with_guard)
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
        """`guard` is the process that started Prism and ends it."""
        self.endpoint = endpoint
        self._guard = guard

    def check(self, seconds: float = 0.0) -> None:
        """Check for `seconds` that Prism is alive.

        Raises:
            RunnerError: Prism has ended.

        """
        try:
            code = self._guard.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        message = f"{RUNNER} ended with exit code {code if code >= 0 else 128 - code}"
        raise RunnerError(message)

    def wait(self) -> None:
        """Wait until Prism ends.

        Raises:
            RunnerError: it has ended.

        """
        self._guard.wait()
        self.check()

    def end(self) -> None:
        """End Prism at once, also if it is stopped."""
        if self._guard.stdin is not None:
            with suppress(BrokenPipeError):
                self._guard.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._guard.wait(_END_SECONDS)
        self._guard.kill()  # with it the kernel ends Prism
        self._guard.wait()


@contextmanager
def prism(options: PipelineOptions) -> Iterator[Prism]:
    """Start Prism on a free loopback port, and end it when the context ends.

    Raises:
        ConfigError: Prism is not installed and cannot be downloaded.
        RunnerError: Prism does not start.

    """
    binary = _binary(options)
    port = _free_port()
    command = [binary, f"--job_port={port}", "--log_level=error", "--log_kind=text", "--serve_http=false"]
    guard = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _GUARD, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # Prism logs an error for each bundle without a finalizer
        process_group=0,  # Ctrl-C is for the launcher, which then ends Prism
    )
    server = Prism(f"localhost:{port}", guard)
    try:
        _wait_until_listening(server, port)
        yield server
    finally:
        server.end()


def _binary(options: PipelineOptions) -> str:
    chosen = options.view_as(PrismRunnerOptions).prism_location
    if chosen is None:
        for candidate in (str(_IN_CHECKOUT), "prism"):
            path = shutil.which(candidate)
            if path is not None:
                return os.path.abspath(path)
    try:
        job_server = PrismJobServer(options)
        return str(job_server.local_bin(job_server.path_to_binary()))
    except (RuntimeError, ValueError, OSError) as error:
        message = (
            "expected Prism, the runner of streaming jobs: in .tools/bin (scripts/tools builds it), on PATH, at "
            f"--prism_location, or to fetch; got {' '.join(str(error).split())}"
        )
        raise ConfigError(message) from error


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_until_listening(server: Prism, port: int) -> None:
    def listens() -> bool:
        server.check()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    if not wait_until(listens, _START_SECONDS, _POLL_SECONDS):
        message = f"{RUNNER} did not listen within {_START_SECONDS:g} s"
        raise RunnerError(message)
