"""The `sluice` command in a session of its own, so that all its processes can be found and killed. Linux only."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from devservers.tools import ROOT
from devservers.waiting import wait_until

SLUICE = str(Path(sys.executable).with_name("sluice"))
"""The command of this environment."""

EXIT_SECONDS = 280
"""Longer than any command of a test takes; pytest gives up after 300."""

ORPHAN_SECONDS = 20
"""Within which everything that a killed command started must have ended."""

_LOOK_SECONDS = 0.005


class Process(NamedTuple):
    """One process of a run; `role` is launcher, worker, messenger or runner (Prism)."""

    pid: int
    role: str


class RunningProcess(Protocol):
    """What tests ask of the first process of a command, as `subprocess.Popen` answers it."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code; None: it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when it has ended; raise `subprocess.TimeoutExpired` after so many seconds."""

    def terminate(self) -> None:
        """Send SIGTERM."""


class SluiceProcess:
    """A command that runs; what it prints goes to the file `output`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], output: Path) -> None:
        """Start it."""
        self._output = output
        with output.open("wb") as file:
            self.process = self._start(command, environment, file)

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], output: IO[bytes]
    ) -> RunningProcess:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )

    def processes(self) -> list[Process]:
        """Return the living processes of the session."""
        session = str(self.process.pid)
        return [
            Process(int(entry.name), _role(entry, session))
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and (words := _stat(entry)) and words[3] == session
        ]

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until a condition holds; return False if the command ended before."""
        wait_until(
            lambda: condition() or self.process.poll() is not None,
            "the moment that the test waits for, or the end of the command",
            EXIT_SECONDS,
            _LOOK_SECONDS,
        )
        return self.process.poll() is None

    def kill(self, *roles: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to the processes with these roles; without roles to the whole group, as a terminal does."""
        with suppress(ProcessLookupError):  # it may have ended by itself, just now
            if not roles:
                os.killpg(self.process.pid, number)
            for process in self.processes():
                if process.role in roles:
                    os.kill(process.pid, number)

    def finish(self) -> int:
        """Wait until the command and all that it started have ended; return the exit code."""
        code = self.process.wait(EXIT_SECONDS)
        for process in self.processes():
            with suppress(ProcessLookupError):
                ended = os.pidfd_open(process.pid)
                select.select([ended], [], [], ORPHAN_SECONDS)
                os.close(ended)
        orphans = self.processes()
        if orphans:
            os.killpg(self.process.pid, signal.SIGKILL)
        assert not orphans, self.output()
        return code

    def output(self) -> str:
        """Return what was printed so far, on both streams."""
        return _read(self._output)


def _role(process: Path, session: str) -> str:
    words = _stat(process)
    command = _read(process / "cmdline").split("\0")
    if process.name == session:
        return "launcher"
    if command[0].endswith("prism"):
        return "runner"
    is_child = words is not None and words[1] == session
    return "worker" if is_child and not {"-c", "-S"} & set(command) else "messenger"


def _stat(process: Path) -> list[str] | None:
    """Return state, parent, group, session and so on of a living process.

    Of a process that was killed while it wrote, the first thread may be a zombie before the others have ended: until
    then its files are open, and its locks are held.
    """
    words = _read(process / "stat").rpartition(")")[2].split()
    return words if words and (words[0] not in "ZX" or _has_other_threads(process)) else None


def _has_other_threads(process: Path) -> bool:
    try:
        return len(os.listdir(process / "task")) > 1
    except OSError:  # the process has ended
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:  # the process has ended
        return ""
