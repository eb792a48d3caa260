"""The `sluice` command in a process of its own: run to its end, or running until a test disturbs it.

A new interpreter imports Beam for longer than most commands of tests work, so the processes are forked from one that
has imported it. Where the start itself is tested, tests run `SLUICE` of `devservers.sluice_process`.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

from sluice.config.urls import Url
from sluice.runtime.beam_import import needs_cloud_packages

from devservers.process import PROGRAMS
from devservers.sluice_process import EXIT_SECONDS, SLUICE, RunningProcess, SluiceProcess
from devservers.tools import ROOT

AS_A_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else list[str]()
"""With it, root too reads and writes only what the mode of a file allows."""


LOCAL, CLOUD = "history.json", "gs://bucket/history.json"
"""Sources for which Beam is imported without its cloud packages, and with them."""


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def sluice(*arguments: str, environment: Mapping[str, str] | None = None, folder: Path = ROOT) -> Finished:
    """Run one command to its end in `folder`, in this process's environment and `environment`.

    Raises:
        subprocess.TimeoutExpired: it takes longer than EXIT_SECONDS; it was killed.

    """
    with (
        open(os.devnull, "rb") as nothing,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        process = _ForkedProcess([SLUICE, *arguments], {**os.environ, **(environment or {})}, folder, streams)
        try:
            code = process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            raise
        out.seek(0)
        err.seek(0)
        return Finished(code, out.read().decode(), err.read().decode())


class ForkedSluiceProcess(SluiceProcess):
    """A command that runs; its first word is SLUICE, or a module of tests that runs it."""

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], output: IO[bytes]
    ) -> RunningProcess:
        with open(os.devnull, "rb") as nothing:
            streams = [nothing.fileno(), output.fileno(), output.fileno()]
            return _ForkedProcess(command, environment, ROOT, streams, session=True)


class _ForkedProcess:
    """A process that the server for its command has forked; the exit code comes through a pipe."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        streams: Sequence[int],
        *,
        session: bool = False,
    ) -> None:
        self._command = command
        self._code: int | None = None
        program, *arguments = command
        request = {
            "module": None if program == SLUICE else program,
            "arguments": arguments,
            "environment": dict(environment),
            "folder": str(folder),
            "session": session,
        }
        reading, writing = os.pipe()
        self._reply = os.fdopen(reading, "rb", buffering=0)
        try:
            server = _server(_like(arguments))
            socket.send_fds(server[0], [json.dumps(request).encode()], [*streams, writing])
        finally:
            os.close(writing)
        self.pid = int(self._reply.readline())

    def wait(self, timeout: float | None = None) -> int:
        if self._code is None:
            if not select.select([self._reply], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._command, timeout or 0)
            self._code = int(self._reply.readline())
            self._reply.close()
        return self._code

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)


def _like(arguments: Sequence[str]) -> str:
    """Return a source for which Beam is imported as it is for a command, CLOUD also if that has options of Beam."""
    options = [word.partition("=") for word in arguments if word.startswith("--")]
    sources = [Url(value) for name, _, value in options if name == "--source"]
    beam_args = [name for name, _, _ in options if name == "--runner" or "_" in name]
    return CLOUD if any(needs_cloud_packages(source, beam_args) for source in sources) else LOCAL


@cache
def _server(source: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Return a socket that the server for sources such as `source` listens to, and it; they end with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(theirs):
        command = [sys.executable, "-P", str(PROGRAMS / "command_server.py"), str(theirs.fileno()), source]
        process = subprocess.Popen(
            [*AS_A_USER, *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(_end, ours, process)
    return ours, process


def _end(requests: socket.socket, process: subprocess.Popen[bytes]) -> None:
    requests.close()
    process.wait()
