"""Events over time, in few numbers: windows become wider as there are more of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

_DAY = 86_400
_WIDTHS = tuple(
    seconds * 1_000_000
    for seconds in (10, 60, 600, 3600, 21_600, *(days * _DAY for days in (1, 7, 28, 364, 3_640, 36_400)))
)
"""In microseconds. Each is a multiple of the one before: windows are only ever put together, never cut."""

OTHER_TYPES = "(others)"
"""Stands for the event types that are not counted apart."""

_MOST_WINDOWS = 240
_MOST_TYPES = 12
_MOST_TYPES_KEPT = 120
_LATEST = 12

Key = TypeVar("Key", int, tuple[int, int])


class WindowEvents(NamedTuple):
    """How many events of a type a step loaded into one window; `start` and `end` are in microseconds."""

    start: int
    end: int
    event_type: str
    events: int


class _Counts(Generic[Key]):
    """Events by window and type. The most frequent types are counted apart, the others together as OTHER_TYPES."""

    def __init__(self) -> None:
        self.by_window: dict[Key, Counter[str]] = {}
        self._types: set[str] = set()

    def add(self, key: Key, event_type: str, events: int) -> None:
        self.by_window.setdefault(key, Counter())[event_type] += events
        self._types.add(event_type)
        if len(self._types) > _MOST_TYPES_KEPT:
            self._fold()

    def pop(self, key: Key) -> Counter[str]:
        return self.by_window.pop(key)

    def rows(self) -> list[tuple[Key, str, int]]:
        """Return window, type and events, in order."""
        if len(self._types) > _MOST_TYPES:
            self._fold()
        return [
            (key, name, events)
            for key in sorted(self.by_window)
            for name, events in sorted(self.by_window[key].items())
        ]

    def _fold(self) -> None:
        total: Counter[str] = Counter()
        for counts in self.by_window.values():
            total.update(counts)
        del total[OTHER_TYPES]
        apart = set(sorted(total, key=lambda name: (-total[name], name))[:_MOST_TYPES])
        for counts in self.by_window.values():
            for name in [name for name in counts if name not in apart and name != OTHER_TYPES]:
                counts[OTHER_TYPES] += counts.pop(name)
        self._types = apart | {OTHER_TYPES}


class Timeline:
    """Counts events by window and type, whatever the order in which they come. Sums stay exact.

    It has at most 240 windows: if there are more, all become wider. Of more than twelve types, the most frequent are
    counted apart.
    """

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._width = 0
        self._counts: _Counts[int] = _Counts()

    def add(self, windows: Iterable[WindowEvents]) -> None:
        """Add the events of some windows, all of which begin at a multiple of their width."""
        for start, end, event_type, events in windows:
            if end - start > self._width:
                self._widen(end - start)
            self._counts.add(start // self._width * self._width, event_type, events)
            while len(self._counts.by_window) > _MOST_WINDOWS:
                self._widen(next(width for width in _WIDTHS if width > self._width))

    def windows(self) -> list[WindowEvents]:
        """Return the windows that have events, in order of time, then of type."""
        return [
            WindowEvents(start, start + self._width, name, events)
            for start, name, events in self._counts.rows()
        ]

    def _widen(self, width: int) -> None:
        narrower, self._counts, self._width = self._counts, _Counts(), width
        for start, name, events in narrower.rows():
            self._counts.add(start // width * width, name, events)


class LatestWindows:
    """Counts events by window and type in the twelve latest windows alone, as wide as they are."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._counts: _Counts[tuple[int, int]] = _Counts()

    def add(self, windows: Iterable[WindowEvents]) -> None:
        """Add the events of some windows."""
        for start, end, event_type, events in windows:
            key = (start, end)
            by_window = self._counts.by_window
            if len(by_window) == _LATEST and key not in by_window:
                earliest = min(by_window)
                if key < earliest:
                    continue
                self._counts.pop(earliest)
            self._counts.add(key, event_type, events)

    def windows(self) -> list[WindowEvents]:
        """Return the windows in order of time, then of type."""
        return [WindowEvents(*key, name, events) for key, name, events in self._counts.rows()]
