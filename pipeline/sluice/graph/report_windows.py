"""The events over time of a run, as its report has them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from sluice.clock import window_time
from sluice.timeline import WindowEvents


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
    return [
        Window(window_time(start), window_time(end), events) for (start, end), events in by_window.items()
    ]
