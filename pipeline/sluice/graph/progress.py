"""Progress on one machine: each step of each worker keeps its running totals in a small file of its own.

Runners on one machine report nothing before they end, so the launcher reads these files while it waits.
Progress is only shown; the report's figures come from the graph.
"""

from __future__ import annotations

import os
import struct
import tempfile
import weakref
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from sluice.elements import INTERNAL_TYPES, StepCounts

_TOTALS = struct.Struct("<qqqqqq")

_APPENDED = frozenset({"accepted", "duplicates"})
_LOADED = frozenset({"loaded", "load_rejected", "backfilled", "backfill_rejected"})


@dataclass(frozen=True, slots=True)
class Totals:
    """What has been decoded, and then appended to the event log and loaded, so far; dead letters are not counted."""

    bytes: int = 0
    records: int = 0
    rejected: int = 0
    appended: int = 0
    """Events that are in the event log, be it that they were there before."""
    duplicates: int = 0
    """Those of them that need not be loaded."""
    loaded: int = 0

    def __add__(self, other: Totals) -> Totals:
        """Return the sum."""
        return Totals(*map(int.__add__, _numbers(self), _numbers(other)))


_numbers = attrgetter(*(field.name for field in fields(Totals)))


class Phase(NamedTuple):
    """What a batch run does now, how much of it is done, and of how much, if that is known."""

    name: str
    unit: str
    done: int
    of: int | None


def phase_of(totals: Totals, size: int | None, *, loads_apart: bool) -> Phase:
    """Return the phase of a run that reads `size` bytes, if that is known.

    Nothing is appended before all is read, since a minute is complete only then. With `loads_apart`, nothing is loaded
    before all is appended; otherwise a segment is loaded as soon as it is appended, and both are one phase.
    """
    if not totals.appended and not totals.loaded:
        return Phase("reading", "bytes", totals.bytes, size)
    if not totals.records:
        return Phase("loading", "events", totals.loaded, None)
    events = totals.records - totals.rejected
    if not loads_apart:
        return Phase("storing and loading", "events", totals.duplicates + totals.loaded, events)
    if totals.appended < events:
        return Phase("storing", "events", totals.appended, events)
    return Phase("loading", "events", totals.loaded, events - totals.duplicates)


class Progress:
    """Running totals of all workers of a run, in `folder`, one file for each instance that counts something."""

    def __init__(self, folder: str) -> None:
        """Begin with nothing counted, and no file."""
        self.folder = folder
        self.loads_apart = False
        """Segments are loaded when all are appended; for who shows the progress."""
        self._own = Totals()
        self._file: int | None = None

    def __reduce__(self) -> tuple[type[Progress], tuple[str]]:
        """Leave the totals behind: each worker counts its own."""
        return Progress, (self.folder,)

    def add(self, size: int, records: int, rejected: int) -> None:
        """Add what one batch held to this worker's totals."""
        self._add(Totals(size, records, rejected))

    def add_stored(self, step_counts: StepCounts) -> None:
        """Add what a step appended or loaded."""
        appended = duplicates = loaded = 0
        for (figure, event_type), number in step_counts.counts.items():
            if event_type not in INTERNAL_TYPES:
                appended += number if figure in _APPENDED else 0
                duplicates += number if figure == "duplicates" else 0
                loaded += number if figure in _LOADED else 0
        if appended or loaded:
            self._add(Totals(appended=appended, duplicates=duplicates, loaded=loaded))

    def totals(self) -> Totals:
        """Return the sum over all workers, as of now."""
        written = (path.read_bytes() for path in Path(self.folder).iterdir())
        # A file that was made just now is empty.
        return sum((Totals(*_TOTALS.unpack(data)) for data in written if data), Totals())

    def _add(self, more: Totals) -> None:
        self._own += more
        if self._file is None:
            self._file, _ = tempfile.mkstemp(dir=self.folder)
            weakref.finalize(self, os.close, self._file)
        # In place, which takes microseconds. Each number only grows, so a reader between two of them is not misled.
        os.pwrite(self._file, _TOTALS.pack(*_numbers(self._own)), 0)
