"""Runs `sluice` commands, each in a process that is forked from this one, which has imported what commands need.

It is given the number of a socket, and the address of a source: Beam is imported as runs that read it do. A request is
a JSON object with a module that runs `sluice`, if one does, the arguments, the environment, the folder, and whether the
process begins a session, and four descriptors: the command's standard streams, and where its process id and its exit
code are written.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any, NoReturn

import duckdb  # noqa: F401  with the next ones, what most commands need
from sluice.cli import commands  # noqa: F401  which main imports
from sluice.cli.main import main
from sluice.config.urls import Url
from sluice.runtime.beam_import import import_beam

_REQUEST_BYTES = 1 << 20
_STREAMS = 3


def serve(requests: socket.socket) -> str | None:
    """Serve until whoever asks closes its end; return in the process of a command the module that runs it, if any."""
    running: dict[int, tuple[int, int]] = {}
    """By descriptor of the process: its id, and where its exit code goes."""
    while True:
        wanted: list[Any] = [requests, *running]
        ready, _, _ = select.select(wanted, [], [])
        for process in set(ready) & running.keys():
            pid, reply = running.pop(process)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            with suppress(BrokenPipeError):  # who asked has killed it, and gone
                os.write(reply, f"{code}\n".encode())
            os.close(reply)
            os.close(process)
        if requests in ready:
            data, descriptors, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, _STREAMS + 1)
            if not data:
                sys.exit(0)
            *streams, reply = descriptors
            pid = os.fork()
            if pid == 0:
                for descriptor in (reply, *running, *(other for _, other in running.values())):
                    os.close(descriptor)
                requests.close()
                return become(json.loads(data), streams)
            for stream in streams:
                os.close(stream)
            os.write(reply, f"{pid}\n".encode())
            running[os.pidfd_open(pid)] = pid, reply


def become(request: dict[str, Any], streams: list[int]) -> str | None:
    """Make this process one of a command: its streams, environment, folder, arguments; return its module."""
    if request["session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[1:1] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = ["sluice", *request["arguments"]]
    module: str | None = request["module"]
    if module is not None:
        sys.path.insert(0, request["folder"])  # as `python -m` does
    return module


def run(module: str | None) -> int:
    """Run `sluice`, or a module; return the exit code."""
    if module is None:
        return main()
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def end(code: int) -> NoReturn:
    """End this process as Python does, but for taking apart what it has imported: that takes longer than a command."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, which pytest has too
    import_beam(Url(sys.argv[2]), [])
    importlib.import_module("sluice.runtime.launch")
    wanted = serve(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end(run(wanted))
