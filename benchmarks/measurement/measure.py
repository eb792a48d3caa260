"""Runs one command and measures it with everything it starts: time, CPU, memory. Linux only."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.1
STRAGGLER_SECONDS = 10.0
"""Within which processes that a command leaves behind must end; then they are killed."""
_PR_SET_CHILD_SUBREAPER = 36
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Measured:
    """One run of one command.

    `seconds` of wall time from start to exit, `cpu` seconds in user and kernel mode of the whole process
    tree, `peak` the largest sum of resident bytes of the tree (shared pages count once a process).
    """

    seconds: float
    cpu: float
    peak: int
    exit_code: int

    @property
    def cores(self) -> float:
        """How many cores worked, on average."""
        return self.cpu / self.seconds


def measure(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Measured:
    """Run `command` to its end with its output in `log`."""
    # Orphans (Spark's JVM is one) become our children, so that the kernel reports their CPU time to us when they end.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=environment,
        )
        memory = _Memory(process.pid)
        memory.start()
        cpu = 0.0
        while True:
            pid, status, usage = os.wait4(-1, 0)
            cpu += usage.ru_utime + usage.ru_stime
            if pid == process.pid:
                break
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu += sum(_stragglers(process.pid))
        memory.stop()
    return Measured(seconds, cpu, memory.peak, process.returncode)


def _stragglers(session: int) -> Iterator[float]:
    """Wait for orphans of the command, and yield the CPU seconds of each."""
    deadline = time.monotonic() + STRAGGLER_SECONDS
    while True:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            yield usage.ru_utime + usage.ru_stime
            continue
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.killpg(session, signal.SIGKILL)
        if time.monotonic() > deadline + STRAGGLER_SECONDS:
            message = f"expected every process of session {session} to end, got some that outlive SIGKILL"
            raise RuntimeError(message)
        time.sleep(0.02)


class _Memory(threading.Thread):
    """Samples the resident memory of all processes of one session."""

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._session = session
        self._ours: dict[str, bool] = {str(session): True}
        self._ended = threading.Event()

    def run(self) -> None:
        """Sample until `stop` is called."""
        while not self._ended.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(map(_resident, self._pids())))

    def stop(self) -> None:
        """End the sampling."""
        self._ended.set()
        self.join()

    def _pids(self) -> Iterator[str]:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if pid not in self._ours:  # a process keeps its session, so looking once is enough
                self._ours[pid] = _session_of(pid) == self._session
            if self._ours[pid]:
                yield pid


def _session_of(pid: str) -> int | None:
    try:
        status = Path("/proc", pid, "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(status.rpartition(")")[2].split()[3])


def _resident(pid: str) -> int:
    try:
        return int(Path("/proc", pid, "statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0
