"""CPU time and memory of processes and of all that they start, sampled from /proc. Linux only."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

_SECONDS = 0.5
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Sample(NamedTuple):
    """Epoch seconds, CPU seconds used since the beginning, resident bytes now."""

    at: float
    cpu: float
    memory: int


class ResourceSampler(threading.Thread):
    """Samples the trees below `roots` until it is stopped; a process that ends keeps its last CPU time."""

    def __init__(self, roots: Collection[int]) -> None:
        """Start at once."""
        super().__init__(daemon=True)
        self.samples: list[Sample] = []
        self._roots = roots
        self._cpu: dict[int, float] = {}
        self._ended = threading.Event()
        self._before = dict(_look(roots)[0])
        self.start()

    def run(self) -> None:
        """Sample."""
        while not self._ended.wait(_SECONDS):
            self.sample()

    def sample(self) -> Sample:
        """Take a sample now."""
        cpu, memory = _look(self._roots)
        self._cpu |= cpu
        used = sum(self._cpu.values()) - sum(self._before.values())
        self.samples.append(Sample(time.time(), used, memory))
        return self.samples[-1]

    def stop(self) -> None:
        """Take a last sample, and end."""
        self._ended.set()
        self.join()
        self.sample()

    def cpu_since(self, time: float) -> float:
        """Return the CPU seconds used since an epoch time, to the last sample."""
        before = [sample.cpu for sample in self.samples if sample.at <= time]
        return self.samples[-1].cpu - (before[-1] if before else 0.0)

    @property
    def peak(self) -> int:
        """Most resident bytes."""
        return max((sample.memory for sample in self.samples), default=0)


def children(parent: int) -> set[int]:
    """Return the living processes that `parent` has started."""
    return {pid for pid, (ancestor, _, _) in _processes().items() if ancestor == parent}


def _look(roots: Collection[int]) -> tuple[dict[int, float], int]:
    """Return CPU seconds of each process below `roots`, and the resident bytes of all."""
    processes = _processes()
    tree: set[int] = set()
    added = {pid for pid in roots if pid in processes}
    while added:
        tree |= added
        added = {pid for pid, (parent, _, _) in processes.items() if parent in tree} - tree
    return {pid: processes[pid][1] for pid in tree}, sum(processes[pid][2] for pid in tree)


def _processes() -> dict[int, tuple[int, float, int]]:
    """Return parent, CPU seconds and resident bytes of every process."""
    processes = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        cpu = (int(words[11]) + int(words[12])) / _TICKS
        processes[int(name)] = (int(words[1]), cpu, int(words[21]) * _PAGE)
    return processes
