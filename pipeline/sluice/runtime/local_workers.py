"""Worker processes on one machine that start at once, because they are forked from a launcher that has Beam.

Beam's own way of starting local workers is a command that imports everything anew, seconds for each core. Here
the launcher forks its workers before it has threads or connections; Beam's command is then only a messenger
that hands a waiting worker its environment and stays until that worker is done.
"""

from __future__ import annotations

import gc
import json
import os
import select
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

import msgspec
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import sdk_worker_main
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from sluice.errors import WorkerError

_PATIENCE = 100
"""Hundredths of a second."""

_MESSENGERS_THREAD = "run_worker"
"""Name of the threads in which Beam's local runner waits for the messengers."""

_MESSENGER = """\
import json, os, socket, sys
try:
    with socket.socket(socket.AF_UNIX) as worker:
        worker.connect(sys.argv[1])
        worker.sendall(json.dumps(dict(os.environ)).encode())
        worker.shutdown(socket.SHUT_WR)
        sys.exit(int(worker.recv(8) or 1))
except OSError:
    sys.exit(1)
"""
"""Beam runs this with the worker's addresses in the environment; the answer is the worker's exit code."""


@contextmanager
def forked_workers(count: int, folder: Path, options: PipelineOptions) -> Iterator[SubprocessSDKEnvironment]:
    """Fork `count` waiting workers; yield the environment in which Beam wakes them, each once.

    `options` are for the workers' file systems; Beam's local runner does not hand them over itself. Call it in
    the main thread, before anything starts threads: they do not survive a fork. The workers end when their work
    is done, when this context ends or when the launcher dies, whichever is first. What Beam prints in them
    is not shown: their exceptions reach the launcher by themselves.

    Raises:
        WorkerError: inside the context, when a worker dies or cannot be reached; Beam would wait for ever.

    """
    address = str(folder / "workers.socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(count)
        alive, launcher = os.pipe()
        settings = json.dumps({"options": options.get_all_options(drop_default=True)})
        gc.freeze()  # what is imported stays; collecting it again and again costs workers a tenth of their time
        try:
            workers = [_fork(listener, alive, launcher, settings) for _ in range(count)]
        finally:
            gc.unfreeze()
        os.close(alive)
        # Ctrl-C is for the launcher: neither the shell in which Beam runs this nor the messenger shall end of it.
        command = "trap '' INT; exec " + shlex.join([sys.executable, "-S", "-E", "-c", _MESSENGER, address])
        unreachable = threading.Event()
        hook, threading.excepthook = threading.excepthook, partial(_thread_failed, unreachable)
        before = signal.signal(signal.SIGCHLD, partial(on_sigchld, workers, unreachable))
        finished = False
        try:
            yield SubprocessSDKEnvironment.from_command_string(command)
            finished = True
        finally:
            signal.signal(signal.SIGCHLD, before)
            threading.excepthook = hook
            os.close(launcher)  # wakes the workers that nobody called for
            for worker in list(workers):
                with suppress(ProcessLookupError, ChildProcessError):  # it has just been waited for
                    if not finished:
                        os.kill(worker, signal.SIGKILL)  # it would wait for a runner that has given up
                    os.waitpid(worker, 0)


def _thread_failed(unreachable: threading.Event, failed: threading.ExceptHookArgs) -> None:
    """Have the main thread raise the reason why one of the runner's threads failed; it knows it, or looks."""
    if failed.thread is not None and failed.thread.name == _MESSENGERS_THREAD:
        unreachable.set()
        os.kill(os.getpid(), signal.SIGCHLD)


def on_sigchld(
    workers: list[int], unreachable: threading.Event, _signal: int, _frame: FrameType | None
) -> None:
    """Raise in the main thread, which waits for the runner, when a worker has died before its time; once."""
    reasons: list[str] = []
    # A dying worker's socket closes a moment before the worker can be waited for, and its death is the reason.
    for _ in range(_PATIENCE if unreachable.is_set() else 1):
        reasons += _deaths(workers)
        if reasons:
            break
        time.sleep(0.01)
    if unreachable.is_set():
        reasons.append("a worker process cannot be reached")
    if reasons:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # what follows from it would only hide the reason
        message = f"{reasons[0]}; what was written stays valid, run again"
        raise WorkerError(message)


def _deaths(workers: list[int]) -> Iterator[str]:
    """Yield how each worker ended that ended badly, and strike off all that ended."""
    for worker in list(workers):
        try:
            ended, status = os.waitpid(worker, os.WNOHANG)
        except ChildProcessError:
            continue  # when two end at once, the handler interrupts itself: it has been waited for meanwhile
        if ended:
            workers.remove(worker)
            if code := os.waitstatus_to_exitcode(status):
                yield f"a worker process died: {_cause(code)}"


def _cause(code: int) -> str:
    return (
        f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}, as a full memory would"
    )


def _fork(listener: socket.socket, alive: int, launcher: int, settings: str) -> int:
    worker = os.fork()
    if worker:
        return worker
    os.close(launcher)
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the launcher, which ends its workers
        with Path(os.devnull).open("wb") as nothing:  # a file could be on a full disk: Beam would hang
            os.dup2(nothing.fileno(), sys.stderr.fileno())
        code = _serve(listener, alive, settings)
    finally:
        os._exit(code)  # a forked child must not run the launcher's clean-up


def _serve(listener: socket.socket, alive: int, settings: str) -> int:
    """Wait for one messenger, work, and tell it the exit code."""
    ready, _, _ = select.select([listener.fileno(), alive], [], [])
    if listener.fileno() not in ready:
        return 0
    messenger, _ = listener.accept()
    listener.close()
    with messenger, messenger.makefile("rb") as request:
        os.environ.update(msgspec.json.decode(request.read(), type=dict[str, str]))
        os.environ["PIPELINE_OPTIONS"] = settings
        sdk_worker_main.main([])
        messenger.sendall(b"0")
    return 0
