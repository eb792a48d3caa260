"""Worker processes on one machine that start at once, because they are forked from a launcher that has Beam.

Beam's own way of starting local workers is a command that imports everything anew, seconds for each core. Here the
launcher forks its workers before it has threads or connections, and Beam's local runner finds them through a worker
handler, as it finds its own. A process that has threads, as one that has run a pipeline before, cannot be forked: it
spawns its workers. Launcher and worker share a pair of sockets: the launcher sends the worker's settings, the worker
answers when its work is done, and the end of the connection tells each that the other has died. On Linux the kernel
ends a worker with its launcher, too, since code that keeps Python's lock never looks at a connection.
"""

from __future__ import annotations

import base64
import ctypes
import io
import logging
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner.worker_handlers import GrpcWorkerHandler, WorkerHandler
from apache_beam.runners.worker import sdk_worker_main
from apache_beam.transforms.environments import Environment, python_sdk_capabilities
from grpc import RpcError

from sluice.errors import WorkerError
from sluice.runtime.garbage_collection import WORKING, heap_frozen, rare_collections
from sluice.runtime.process_settings import broken_connections_ignored

_URN = "sluice:env:local_worker:v1"

_DONE = b"0"

_PR_SET_PDEATHSIG = 1
"""Option of Linux's prctl(2): the signal that a process gets when the thread that made it ends."""

_LOG = 3
"""Descriptor that a spawned worker writes its log lines to: its launcher's standard error."""

_FAIL_SECONDS = 0.1
"""Between two looks for requests that wait for a dead worker."""

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_STOP_SECONDS = 10.0
"""For a worker to end after its work; one that has not connected yet would look for its runner for ever."""

_DEATH_SECONDS = 5.0
"""From a broken connection until the death that broke it must be known."""


@dataclass(slots=True)
class _Worker:
    """A worker process, as the launcher sees it."""

    pid: int
    connection: socket.socket

    def start(self, settings: Mapping[str, str]) -> None:
        """Have it work. If it has died, its handler learns that from the connection."""
        with suppress(OSError):
            self.connection.sendall(msgspec.json.encode(settings) + b"\n")

    def cause_of_death(self) -> str | None:
        """Wait until its work is done or it dies; return None, or what ended it."""
        if self._answer() == _DONE:
            return None
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:
            # Who started the launcher has it ignore SIGCHLD, so the kernel kept no exit code.
            return "exit code unknown"
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name
        return f"killed by {name}, as a full memory would" if -code == signal.SIGKILL else f"killed by {name}"

    def _answer(self) -> bytes:
        with suppress(OSError):
            return self.connection.recv(1)
        return b""

    def end(self, *, at_once: bool) -> None:
        """Wait until it has ended; a worker that nobody started ends when its connection does."""
        self.connection.close()
        with suppress(ProcessLookupError, ChildProcessError):  # its handler has waited for it
            if at_once:
                os.kill(self.pid, signal.SIGKILL)  # it would wait for a runner that has given up
            os.waitpid(self.pid, 0)


class _LostWorker:
    """The error of the first worker of a run that died, once one has."""

    def __init__(self) -> None:
        self._known = threading.Event()
        self._error: WorkerError | None = None

    def add(self, cause: str) -> WorkerError:
        error = WorkerError(f"a worker process died: {cause}; what was written stays valid, run again")
        self._error = self._error or error
        self._known.set()
        return error

    def wait(self, seconds: float) -> WorkerError | None:
        self._known.wait(seconds)
        return self._error


class _LocalWorkerHandler(GrpcWorkerHandler):
    """Starts one worker for Beam's local runner, and fails the runner's requests when the worker dies."""

    def __init__(
        self, worker: _Worker, settings: Mapping[str, str], lost: _LostWorker, *arguments: Any
    ) -> None:
        """Take environment variables for the worker, and the arguments that Beam gives to every handler."""
        super().__init__(*arguments)
        self._worker = worker
        self._settings = settings
        self._lost = lost
        self._stopped = threading.Event()
        self._abandoned = False

    def start_worker(self) -> None:
        """Send the worker where the runner listens, and watch it."""
        from google.protobuf import text_format

        control = text_format.MessageToString(self.control_api_service_descriptor())
        self._worker.start(
            {**self._settings, "CONTROL_API_SERVICE_DESCRIPTOR": control, "WORKER_ID": self.worker_id}
        )
        self._watcher = threading.Thread(target=self._watch, name="sluice-worker", daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        cause = self._worker.cause_of_death()
        if cause is None or self._abandoned:
            return
        error = "\n".join(self._lost.add(cause).__notes__)
        while not self._stopped.wait(_FAIL_SECONDS):
            self._fail_requests(error)

    def _fail_requests(self, error: str) -> None:
        """Answer as the worker would if it had failed: what aborts a request leaves one waiting for its data."""
        for number, request in list(self.control_conn._futures_by_id.items()):
            request.set(beam_fn_api_pb2.InstructionResponse(instruction_id=number, error=error))

    def close(self) -> None:
        """End the conversation with the worker, be it alive or not."""
        try:
            with suppress(RpcError):  # the conversation has ended with the worker
                super().close()
        finally:
            self.stop_worker()

    def stop_worker(self) -> None:
        """Wait until the worker's work is done, or its death is known; after an error end it at once."""
        self._stopped.set()
        self._watcher.join(0.0 if sys.exc_info()[0] is not None else _STOP_SECONDS)
        if self._watcher.is_alive():
            self._abandoned = True
            # Its watcher has not waited for it, so the number is still that of the worker.
            os.kill(self._worker.pid, signal.SIGKILL)
            self._watcher.join()


@Environment.register_urn(_URN, bytes)
class _LocalEnvironment(Environment):
    """Where steps run: in the local workers of this run."""

    def to_runner_api_parameter(self, _context: Any) -> tuple[str, bytes]:
        return _URN, b""

    @staticmethod
    def from_runner_api_parameter(
        _payload: bytes,
        capabilities: Iterable[str],
        artifacts: Iterable[Any],
        resource_hints: Mapping[str, bytes],
        _context: Any,
    ) -> _LocalEnvironment:
        return _LocalEnvironment(capabilities, artifacts, resource_hints)


@contextmanager
def local_workers(count: int, options: PipelineOptions) -> Iterator[Environment]:
    """Make waiting workers; yield the environment in which Beam starts them, each once.

    `options` are for the workers' file systems; Beam's local runner does not hand them over itself. The workers end
    when their work is done, when this context ends or when the launcher dies, whichever is first. What Beam prints
    in them is not shown: their exceptions reach the launcher by themselves.

    Raises:
        WorkerError: inside the context, when a worker dies; Beam would wait for ever. At its end, if one died since.

    """
    given = msgspec.json.encode({"options": options.get_all_options(drop_default=True)})
    settings = {"PIPELINE_OPTIONS": given.decode()}
    make = _fork if _can_fork() else _spawn
    lost = _LostWorker()
    workers: list[_Worker] = []
    finished = False
    try:
        # Collecting what is imported again and again costs workers a tenth of their time.
        with heap_frozen(), rare_collections(WORKING):
            for _ in range(count):
                workers.append(make([worker.connection for worker in workers]))
        _hand_out(workers, settings, lost)
        with broken_connections_ignored():
            yield _LocalEnvironment(python_sdk_capabilities(), ())
            finished = True
        error = lost.wait(0.0)
        if error is not None:  # it died between its last answer and its end
            raise error
    except (RpcError, RuntimeError) as broken:
        # Which of its connections the runner finds closed first, that for control or that for data, is a matter of
        # chance; of the latter it says so in a RuntimeError. Errors of ours have been raised as themselves by then.
        error = lost.wait(_DEATH_SECONDS)
        if error is None:
            raise
        raise error from broken
    finally:
        for worker in workers:
            worker.end(at_once=not finished)


def _hand_out(workers: Iterable[_Worker], settings: Mapping[str, str], lost: _LostWorker) -> None:
    """Let Beam start `workers`, each once; it keeps what was registered by the latest run."""
    waiting = iter(tuple(workers))

    def make_handler(_payload: bytes, *arguments: Any) -> _LocalWorkerHandler:
        return _LocalWorkerHandler(next(waiting), settings, lost, *arguments)

    WorkerHandler.register_environment(_URN, bytes)(make_handler)


def _can_fork() -> bool:
    """Tell whether a fork of this process can work: it has one thread, and libraries of the system start none.

    Those of macOS do, and end a process that was forked.
    """
    return sys.platform == "linux" and threading.active_count() == 1


def _fork(others: Iterable[socket.socket]) -> _Worker:
    """Fork a worker that waits for its settings; `others` are the launcher's connections with earlier ones."""
    launchers, workers = socket.socketpair()
    # A signal must not meet the launcher's handlers in the worker, nor be lost among what runs after a fork.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        workers.close()
        return _Worker(pid, launchers)
    code = 1
    try:
        for connection in (launchers, *others):
            connection.close()  # else the launcher's death would not end it
        _log_to(os.dup(_standard_error()))
        with Path(os.devnull).open("wb") as nothing:  # a file could be on a full disk: Beam would hang
            os.dup2(nothing.fileno(), _standard_error())
        code = serve(workers)
    finally:
        os._exit(code)  # a forked child must not run the launcher's clean-up


def _standard_error() -> int:
    """Return the descriptor of standard error: the process's own, where notebooks have an object that has none."""
    try:
        return sys.stderr.fileno()
    except io.UnsupportedOperation:
        return 2


def _log_to(descriptor: int) -> None:
    """Have the product's own logger write there, where its launcher's does: warnings of sources and retries.

    The launcher disables what Beam logs before it forks; what Beam logs in a worker reaches only the launcher.
    """
    logging.disable(logging.NOTSET)
    stream = os.fdopen(descriptor, "w", errors="backslashreplace")
    for handler in _log_handlers():
        handler.setStream(stream)


def _log_handlers() -> list[logging.StreamHandler[Any]]:
    """Return the handlers that write what the product itself logs."""
    handlers = logging.getLogger("sluice").handlers
    return [handler for handler in handlers if isinstance(handler, logging.StreamHandler)]


def _spawn(_others: Iterable[socket.socket]) -> _Worker:
    """Start a worker that imports everything anew, which takes seconds; its standard input is the connection."""
    launchers, workers = socket.socketpair()
    program = f"import sys; from {__name__} import serve_spawned; sys.exit(serve_spawned(sys.argv[1]))"
    formatters = base64.b64encode(pickle.dumps([handler.formatter for handler in _log_handlers()])).decode()
    with workers:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", program, formatters],
            {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, workers.fileno(), 0),
                (os.POSIX_SPAWN_DUP2, _standard_error(), _LOG),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )
    return _Worker(pid, launchers)


def serve_spawned(formatters: str) -> int:
    """Log as the launcher does, whose formatters these are, pickled, in base64; then work, and return the exit code."""
    logger = logging.getLogger("sluice")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    stream = os.fdopen(_LOG, "w", errors="backslashreplace")
    for formatter in pickle.loads(base64.b64decode(formatters)):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    return serve(socket.socket(fileno=0))


def serve(connection: socket.socket) -> int:
    """Wait for settings, work, and answer when it is done; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the launcher, which ends its workers
    for number in (signal.SIGTERM, signal.SIGHUP):  # the launcher's handlers are for the command as a whole
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING_SIGNALS)
    # Elsewhere only the end of the connection ends it, which C code may never see.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with connection.makefile("rb") as request:
        settings = request.readline()
    if not settings:
        return 0  # the launcher has no work for it, or has died
    os.environ.update(msgspec.json.decode(settings, type=dict[str, str]))
    sdk_worker_main.main([])
    connection.sendall(_DONE)
    return 0
