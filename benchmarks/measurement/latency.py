"""How long events took from their time to the log, to the warehouse, and to the last count of their window.

Read from the files of a streaming job: a file's change time is when it got its final name, complete and synced; a
segment's mark in the embedded warehouse is the last file of its load, and names its segment and its windows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

EVENT_TIME = re.compile(rb'"(?:order_date|timestamp)":"([^"]+)"')
SHARES = (0.5, 0.95, 0.99, 1.0)


class Latencies(NamedTuple):
    """Seconds of each event, from its time on, and of each window, from its end on; sorted."""

    log: Sequence[float]
    warehouse: Sequence[float]
    windows: Sequence[float]


def measure(warehouse: Path, begin: float, end: float, time_of: re.Pattern[bytes] = EVENT_TIME) -> Latencies:
    """Return what events, and windows, of the time from `begin` to `end` took, in epoch seconds.

    `time_of` finds the time of each line from which its event is measured.
    """
    log: list[float] = []
    loaded: list[float] = []
    final: dict[tuple[str, float], float] = {}
    for mark in sorted((warehouse / "_segments").rglob("*.parquet")):
        rows = pq.ParquetFile(mark).read(columns=["event_type", "path", "window_end"]).to_pylist()
        if not rows or rows[0]["event_type"] == "dead_letter":
            continue
        marked = mark.stat().st_ctime
        path = Path(rows[0]["path"].removeprefix("file://"))
        named = path.stat().st_ctime
        for time in _times(path, time_of):
            if begin <= time < end:
                log.append(named - time)
                loaded.append(marked - time)
        for row in rows:
            if row["window_end"] is not None:
                window = (row["event_type"], row["window_end"].timestamp())
                final[window] = max(marked, final.get(window, 0.0))
    windows = [at - over for (_, over), at in final.items() if begin + 10 <= over < end]
    return Latencies(sorted(log), sorted(loaded), sorted(windows))


def _times(path: Path, time_of: re.Pattern[bytes]) -> Sequence[float]:
    return [datetime.fromisoformat(text.decode()).timestamp() for text in time_of.findall(path.read_bytes())]


def percentiles(values: Sequence[float]) -> list[str]:
    """Return the SHARES of sorted `values`, in seconds; the last is the highest of all."""
    return [
        f"{values[min(int(len(values) * share), len(values) - 1)]:.2f}" if values else "" for share in SHARES
    ]
