from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from sluice.errors import WorkerError
from sluice.runtime.local_workers import on_sigchld


def ended(code: int) -> int:
    """Return the id of a process that ended with `code` and has not been waited for."""
    process = subprocess.Popen([sys.executable, "-S", "-E", "-c", f"raise SystemExit({code})"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    process.returncode = code  # subprocess shall not wait for it
    return process.pid


def look_after(workers: list[int]) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    try:
        on_sigchld(workers, threading.Event(), signal.SIGCHLD, None)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_worker_that_exited_is_forgotten() -> None:
    workers = [ended(0)]
    look_after(workers)
    assert workers == []


def test_worker_that_died_is_reported() -> None:
    message = "^a worker process died: exit code 3; what was written stays valid, run again$"
    with pytest.raises(WorkerError, match=message):
        look_after([ended(3)])


def test_worker_reaped_by_the_handler_is_ignored() -> None:
    gone, other = ended(0), ended(0)
    os.waitpid(gone, 0)
    workers = [gone, other]
    look_after(workers)
    assert workers == [gone]
