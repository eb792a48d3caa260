"""The `sluice` command, run to its end in a process of its own.

A new interpreter imports Beam for longer than most commands of tests work, so the processes are forked from one that
has imported it. Where the start itself is tested, tests run `SLUICE` of `devservers.sluice_process`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import NamedTuple

from devservers.process import PROGRAMS
from devservers.sluice_process import EXIT_SECONDS
from devservers.tools import ROOT

AS_A_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else list[str]()
"""With it, root too reads and writes only what the mode of a file allows."""


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def sluice(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    seconds: float = EXIT_SECONDS,
) -> Finished:
    """Run one command to its end, in this process's environment and `environment`.

    Raises:
        subprocess.TimeoutExpired: it takes longer than `seconds`; it was killed.

    """
    reading, writing = os.pipe()
    request = {
        "arguments": arguments,
        "environment": {**os.environ, **(environment or {})},
        "folder": str(folder),
    }
    with (
        open(os.devnull, "rb") as nothing,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        os.fdopen(reading, "rb", buffering=0) as reply,
    ):
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        try:
            socket.send_fds(_server()[0], [json.dumps(request).encode()], [*streams, writing])
        finally:
            os.close(writing)
        pid = int(reply.readline())
        if not select.select([reply], [], [], seconds)[0]:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["sluice", *arguments], seconds)
        code = int(reply.readline())
        out.seek(0)
        err.seek(0)
        return Finished(code, out.read().decode(), err.read().decode())


@cache
def _server() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Return a socket that a server of this process listens to, and the server; both end with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(theirs):
        command = [sys.executable, "-P", str(PROGRAMS / "command_server.py"), str(theirs.fileno())]
        process = subprocess.Popen(
            [*AS_A_USER, *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    return ours, process
