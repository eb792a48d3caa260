"""The events over time of a run, as its report has them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from sluice.arrow.window_counts import MICROSECONDS
from sluice.clock import LAST_SECOND
from sluice.timeline import WindowEvents

_FIRST_SECOND = -62_135_596_800
"""The first second of the year 1, in epoch seconds."""


class Window(msgspec.Struct):
    """Events of a span of event time that a run loaded, by event type (or by what its contract counts by)."""

    start: datetime
    end: datetime
    """In UTC; not included."""
    events: dict[str, int]


def reported_windows(windows: Iterable[WindowEvents]) -> list[Window]:
    """Return windows in the order in which they come, each once, with the events of all types in it."""
    by_window: dict[tuple[int, int], dict[str, int]] = {}
    for start, end, name, events in windows:
        by_window.setdefault((start, end), {})[name] = events
    return [Window(_utc(start), _utc(end), events) for (start, end), events in by_window.items()]


def _utc(microseconds: int) -> datetime:
    """Return a time; a wide window may begin before the year 1 and end after the year 9999."""
    seconds = min(max(microseconds // MICROSECONDS, _FIRST_SECOND), int(LAST_SECOND))
    return datetime.fromtimestamp(seconds, UTC)
