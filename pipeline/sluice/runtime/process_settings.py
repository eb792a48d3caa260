"""Settings of the process that a run changes while it lasts, each restored when its context ends."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from apache_beam.runners.worker import sdk_worker
from grpc import RpcError


@contextmanager
def logging_disabled(level: int) -> Iterator[None]:
    """Log nothing of `level` and below: what Beam logs as an error comes as an exception as well."""
    before = logging.root.manager.disable
    logging.disable(max(level, before))
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def root_log_level(level: int) -> Iterator[None]:
    """Let libraries log nothing below `level`; the product's own logger has a level of its own."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(level)
    try:
        yield
    finally:
        root.setLevel(before)


@contextmanager
def root_handlers_restored() -> Iterator[None]:
    """Remove the handler that Python adds when a library logs through the root logger, which has none."""
    root = logging.getLogger()
    before = list(root.handlers)
    try:
        yield
    finally:
        root.handlers[:] = before


@contextmanager
def broken_connections_ignored() -> Iterator[None]:
    """Print no traceback of a thread of Beam's whose gRPC connection breaks: the run reports why it broke.

    If such a thread has not noticed when the context ends, that holds until it has. Threads of an earlier run do not
    count.
    """
    earlier = stream_readers()
    hook = _BrokenConnectionsHook(threading.excepthook)

    def restore(readers: list[threading.Thread]) -> None:
        for reader in readers:
            reader.join()
        hook.remove()

    threading.excepthook = hook
    try:
        yield
    finally:
        readers = [reader for reader in stream_readers() if reader not in earlier]
        if readers:
            threading.Thread(target=restore, args=(readers,), name="restore_hook", daemon=True).start()
        else:
            restore([])


class _BrokenConnectionsHook:
    """Passes on why a thread failed, unless its gRPC connection broke. Runs may overlap, and end in any order."""

    def __init__(self, before: Callable[[threading.ExceptHookArgs], object]) -> None:
        self.before = before

    def __call__(self, failed: threading.ExceptHookArgs) -> None:
        if not issubclass(failed.exc_type, RpcError):
            self.before(failed)

    def remove(self) -> None:
        """Take the hook out of the chain that begins at `threading.excepthook`."""
        if threading.excepthook is self:
            threading.excepthook = self.before
        later: object = threading.excepthook
        while isinstance(later, _BrokenConnectionsHook):
            if later.before is self:
                later.before = self.before
            later = later.before


_STREAM_READERS = ("run_worker_", "read_grpc_client_inputs", "read_state")
"""How the names of Beam's threads begin that read what a runner sends: its instructions, its data and its state."""


def stream_readers() -> list[threading.Thread]:
    """Return the threads of workers in this process that read the streams of a runner, until it ends them."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(_STREAM_READERS)]


@contextmanager
def bundle_tracebacks_discarded() -> Iterator[None]:
    """Print no traceback of a failed bundle: it comes as an exception as well.

    If a bundle of a graph that has ended still waits for a store or a warehouse, that holds until a later run ends.
    """
    run = object()
    names = vars(sdk_worker)
    stand_in = names.setdefault("print", _DiscardingPrint())
    stand_in.runs.add(run)
    try:
        yield
    finally:
        stand_in.runs.remove(run)
        if not stand_in.runs and not bundles_are_processed() and names.get("print") is stand_in:
            del names["print"]


class _DiscardingPrint:
    """Stands in for the `print` of Beam's worker, which on a full disk fails, and hangs the run.

    Runs may overlap, and end in any order: it stays until the last of them has ended.
    """

    def __init__(self) -> None:
        self.runs = set[object]()

    def __call__(self, *_: object, **__: object) -> None:
        """Print nothing."""


def bundles_are_processed() -> bool:
    """Return whether a thread of this process processes a bundle: Beam offers no other way to know."""
    execute = sdk_worker.SdkHarness._execute.__code__
    return any(
        frame.f_code is execute
        for top in sys._current_frames().values()
        for frame, _ in traceback.walk_stack(top)
    )
