"""The `sluice` command with one process that dies, or one folder that is deleted, at one moment.

`python -m tests.runtime.killed_run MOMENT VICTIM END ARGUMENT…`: when the run comes to MOMENT, VICTIM ends by END, a
signal's name or `exit:CODE`; with `delete:PATH` it deletes a file or folder instead, once in the run. The moment is the
call of a function of the product or of Beam; no clock decides.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.runners.worker import bundle_processor, sdk_worker_main
from sluice.cli.main import main
from sluice.dead_letters.log import DeadLetterLog
from sluice.eventlog.log import EventLog
from sluice.graph.segment_loader import SegmentLoader
from sluice.runtime import launch, local_workers

LAUNCHER = os.getpid()

IN_LAUNCHER: dict[str, tuple[Any, str]] = {
    "open": (launch, "open_source"),
    "fork": (local_workers, "_hand_out"),
    "build": (launch, "build"),
    "prepare": (launch, "_open"),
    "submit": (FnApiRunner, "run_pipeline"),
    "submit_streaming": (PrismRunner, "run_pipeline"),
    "start": (local_workers._Worker, "start"),
    "report": (launch, "report_of_job"),
    "end": (local_workers._Worker, "end"),
    "clean_up": (TemporaryDirectory, "cleanup"),
}
"""Moment -> the function that the launcher calls then."""

IN_WORKER: dict[str, tuple[Any, str]] = {
    "ready": (local_workers, "serve"),
    "set_up": (sdk_worker_main, "main"),
    "work": (bundle_processor.BundleProcessor, "process_bundle"),
}
"""Moment -> the function that each worker calls then."""

AFTER: dict[str, tuple[Any, str]] = {
    "appended": (EventLog, "append"),
    "dead_letters": (DeadLetterLog, "append"),
    "loaded": (SegmentLoader, "load"),
    "done": (sdk_worker_main, "main"),
}
"""Moment -> the function behind whose call it is: a worker has appended or loaded once, or done all its work."""


def before_call(place: Any, name: str, action: Callable[[], None]) -> None:
    call = getattr(place, name)

    def wrapper(*arguments: Any, **named: Any) -> Any:
        action()
        return call(*arguments, **named)

    setattr(place, name, wrapper)


def after_call(place: Any, name: str, action: Callable[[], None]) -> None:
    call = getattr(place, name)

    def wrapper(*arguments: Any, **named: Any) -> Any:
        result = call(*arguments, **named)
        action()
        return result

    setattr(place, name, wrapper)


def end(pid: int, how: str) -> None:
    """End a process, and return when it has ended; or delete something."""
    if how.startswith("delete:"):
        delete(Path(how.partition(":")[2]))
        return
    if how.startswith("exit:"):
        os._exit(int(how.partition(":")[2]))
    os.kill(pid, signal.Signals[how])
    if pid != os.getpid():
        with suppress(ChildProcessError, ProcessLookupError):  # who made it has waited for it
            os.waitid(os.P_PIDFD, os.pidfd_open(pid), os.WEXITED | os.WNOWAIT)


def delete(path: Path) -> None:
    """Take a file or folder away in one step, unless a process of the run has done so before."""
    gone = path.with_name(f"{path.name}.deleted")
    with suppress(OSError):
        if not gone.exists():
            path.rename(gone)


def children(of: int) -> list[int]:
    """Return the processes that a process has made, oldest first."""
    return sorted(int(pid) for pid in Path(f"/proc/{of}/task/{of}/children").read_text().split())


def victim_of(victim: str) -> int:
    if victim == "launcher":
        return LAUNCHER
    if victim == "runner":  # Prism, which its guard has made
        return children(children(LAUNCHER)[0])[0]
    return children(LAUNCHER)[0]  # a worker, or Prism's guard


def arm(moment: str, victim: str, how: str) -> None:
    """Have `victim` end at `moment`."""
    once = iter((True,))

    def act_in_launcher() -> None:
        if os.getpid() == LAUNCHER and next(once, False):
            end(victim_of(victim), how)

    def act_in_worker() -> None:
        if os.getpid() != LAUNCHER:
            end(LAUNCHER if victim == "launcher" else os.getpid(), how)

    if moment in IN_LAUNCHER:
        before_call(*IN_LAUNCHER[moment], act_in_launcher)
    elif moment in AFTER:
        after_call(*AFTER[moment], act_in_worker)
    else:
        before_call(*IN_WORKER[moment], act_in_worker)


if __name__ == "__main__":
    MOMENT, VICTIM, END, *ARGUMENTS = sys.argv[1:]
    if VICTIM == "spawned":  # a process with threads cannot fork its workers
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    arm(MOMENT, VICTIM, END)
    # A shell has its background jobs ignore SIGINT, and nohup SIGHUP.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    sys.argv = ["sluice", *ARGUMENTS]
    sys.exit(main())
