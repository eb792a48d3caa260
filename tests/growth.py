"""Growth of CPU time with the size of an input: the measure of all tests that something takes linear time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

LINEAR = 2.6
"""The largest growth for twice the input: 2 for linear work, 4 for quadratic; between them lies the noise."""

_MOST_TURNS = 50
"""On a machine whose processors are shared, work takes its least time in few turns."""
_SHORTEST_SECONDS = 0.05
"""A shorter time is noise. Quadratic work at the sizes of these tests takes seconds."""


def growth_of_cpu_time(work: Callable[[int], object], size: int) -> float:
    """Return the CPU time of `work(2 * size)` over that of `work(size)`.

    Both are measured in turns, and the least of each counts, since other processes can only add to it. The turns end
    early once the growth is linear: quadratic work is quadratic in every turn. The time includes that in which `work`
    makes its input, so keep that small beside what is measured.
    """
    shorter = longer = float("inf")
    growth = float("inf")
    for _ in range(_MOST_TURNS):
        shorter = min(shorter, _cpu_seconds(work, size))
        longer = min(longer, _cpu_seconds(work, 2 * size))
        growth = longer / max(shorter, _SHORTEST_SECONDS / LINEAR)
        if growth < LINEAR:
            break
    return growth


def _cpu_seconds(work: Callable[[int], object], size: int) -> float:
    gc.collect()
    gc.freeze()  # the objects of other tests are no part of the work, but each full collection would look at them
    try:
        start = time.process_time()
        work(size)
        return time.process_time() - start
    finally:
        gc.unfreeze()
