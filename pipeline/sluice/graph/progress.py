"""Progress on one machine: each worker keeps its running totals in a small file of its own.

Runners on one machine report nothing before they end, so the launcher reads these files while it waits.
Progress is only shown; the report's figures come from the graph.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_TOTALS = struct.Struct("<qqq")

_SECONDS = 0.2
"""Between two writes of a worker's totals: a person sees no more."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What has been decoded so far."""

    bytes: int = 0
    records: int = 0
    rejected: int = 0

    def __add__(self, other: Totals) -> Totals:
        """Return the sum."""
        return Totals(self.bytes + other.bytes, self.records + other.records, self.rejected + other.rejected)


class Progress:
    """Running totals of all workers of a run, in `folder`, one file a worker."""

    def __init__(self, folder: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` tells seconds, for how long ago the last write is."""
        self.folder = folder
        self._monotonic = monotonic
        self._own = Totals()
        self._written = float("-inf")

    def __reduce__(self) -> tuple[type[Progress], tuple[str]]:
        """Leave the totals behind: each worker counts its own."""
        return Progress, (self.folder,)

    def add(self, size: int, records: int, rejected: int) -> None:
        """Add what one batch held to this worker's totals."""
        self._own += Totals(size, records, rejected)
        now = self._monotonic()
        if now - self._written >= _SECONDS:
            self._written = now
            path = Path(self.folder) / f"{os.getpid()}-{threading.get_ident()}-{id(self)}"
            path.write_bytes(_TOTALS.pack(self._own.bytes, self._own.records, self._own.rejected))

    def totals(self) -> Totals:
        """Return the sum over all workers, as of their last writes."""
        return sum((_read(path) for path in Path(self.folder).iterdir()), Totals())


def _read(path: Path) -> Totals:
    """Return a worker's totals; a file that is just being written counts as nothing yet."""
    packed = path.read_bytes()
    return Totals(*_TOTALS.unpack(packed)) if len(packed) == _TOTALS.size else Totals()
