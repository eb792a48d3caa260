"""A process that forks one process for each command, and has imported what commands need.

A request is a JSON object with the command's arguments, environment and folder, whether the process begins a session,
and what the server wants to know besides. It comes with four descriptors: the command's standard streams, and where its
process id and its exit code are written. Only the standard library is imported: servers run in several environments.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

_REQUEST_BYTES = 1 << 20
_STREAMS = 3


def forget_folder() -> None:
    """Take the folder that `python -m` looks for modules in off the path: a command has none of the kind."""
    sys.path.remove(os.getcwd())


def serve(number: int, run: Callable[[dict[str, Any]], int]) -> NoReturn:
    """Serve the socket with this number until whoever asks closes its end; `run` returns a command's exit code.

    In the process of a command `run` is not in the frames of the server, so it can end in any way.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, which pytest has too
    request = _fork_each(socket.socket(fileno=number))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _end(run(request))


def _fork_each(requests: socket.socket) -> dict[str, Any]:
    """Fork a process for each request; return the request in that process."""
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
                return _become(json.loads(data), streams)
            for stream in streams:
                os.close(stream)
            os.write(reply, f"{pid}\n".encode())
            running[os.pidfd_open(pid)] = pid, reply


def _become(request: dict[str, Any], streams: list[int]) -> dict[str, Any]:
    """Make this process one of a command: its streams, environment and folder."""
    if request["session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    return request


def _end(code: int) -> NoReturn:
    """End this process as Python does, but for taking apart what it has imported: that takes longer than a command."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
