"""Processes that a server of devservers/programs has forked: they start in milliseconds."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from devservers.errors import ServerError
from devservers.tools import ROOT


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class ForkServer:
    """The server of a module that imports for long; it ends with this process."""

    def __init__(
        self,
        python: Sequence[str],
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start `python -m module` with the number of its socket and the arguments."""
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with closing(theirs):
            self._process = subprocess.Popen(
                [*python, "-m", module, str(theirs.fileno()), *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.end)

    def ask(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """Ask for a process; the descriptors are its streams, and where it tells its id and its exit code."""
        socket.send_fds(self._requests, [json.dumps(request).encode()], descriptors)

    def end(self) -> None:
        """End it; processes that it has forked go on."""
        atexit.unregister(self.end)
        self._requests.close()
        self._process.wait()


class ForkedProcess:
    """A process that a server has forked; the exit code comes through a pipe."""

    def __init__(
        self,
        server: ForkServer,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        streams: Sequence[int],
        *,
        session: bool = False,
        module: str | None = None,
    ) -> None:
        """Start a process of the server's program, or of a module that it runs, with the arguments of a command.

        Raises:
            ServerError: the server has ended.

        """
        self._command = command
        self._code: int | None = None
        request = {
            "module": module,
            "arguments": command[1:],
            "environment": dict(environment),
            "folder": str(folder),
            "session": session,
        }
        reading, writing = os.pipe()
        self._reply = os.fdopen(reading, "rb", buffering=0)
        try:
            server.ask(request, [*streams, writing])
        finally:
            os.close(writing)
        self.pid = self._read()

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended by then.
            ServerError: the server has ended.

        """
        if self._code is None:
            if not select.select([self._reply], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._command, timeout or 0)
            self._code = self._read()
            self._reply.close()
        return self._code

    def _read(self) -> int:
        """Return the next number that the server says."""
        said = self._reply.readline()
        if not said:
            self._reply.close()
            message = f"the server that runs {self._command[0]} has ended; it has printed why"
            raise ServerError(message)
        return int(said)

    def poll(self) -> int | None:
        """Return the exit code if it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        """Ask it to end."""
        os.kill(self.pid, signal.SIGTERM)


def run_forked(
    server: ForkServer, command: Sequence[str], environment: Mapping[str, str], folder: Path, seconds: float
) -> Finished:
    """Run one command to its end.

    Raises:
        subprocess.TimeoutExpired: it takes longer than `seconds`; it was killed.

    """
    with (
        open(os.devnull, "rb") as nothing,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        process = ForkedProcess(server, command, environment, folder, streams)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            raise
        out.seek(0)
        err.seek(0)
        return Finished(code, out.read().decode(), err.read().decode())
