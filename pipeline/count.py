"""Event times -> events per window. Pure: no clock, no state."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

MICROSECONDS = 1_000_000
"""Microseconds in a second."""

DEFAULT_WINDOW_SECONDS = 10


@dataclass(frozen=True, slots=True, order=True)
class WindowCount:
    """How many events fell into one window, from `window_start` up to, not including, `window_end`.

    Both are microseconds since 1970-01-01T00:00:00Z, as in the columns of a table.
    """

    window_start: int
    window_end: int
    events: int


def count_windows(
    times: pa.Array | pa.ChunkedArray, window_seconds: float = DEFAULT_WINDOW_SECONDS
) -> list[WindowCount]:
    """Count events by window, in order of time; windows without events are left out.

    Windows are half-open, `window_seconds` long and aligned to 1970-01-01T00:00:00Z in both directions: an
    event at -1 µs belongs to the window that ends at 0. Null times are in no window.

    Args:
        times: event times, timestamps in microseconds UTC.
        window_seconds: length of a window, at least 1 and a whole number of microseconds.

    Raises:
        ValueError: `window_seconds` is below 1.

    """
    if window_seconds < 1:
        message = f"expected a window of at least 1 s, got {window_seconds} s"
        raise ValueError(message)
    width = round(window_seconds * MICROSECONDS)
    epoch = times.cast(pa.int64())
    toward_zero = pc.divide(epoch, width)
    # Arrow's division truncates; times before 1970 that are not on a boundary belong one window lower.
    above = pc.greater(pc.multiply(toward_zero, width), epoch)
    window = pc.subtract(toward_zero, above.cast(pa.int64()))
    counted = zip(*_values(window), strict=True)
    return sorted(WindowCount(number * width, (number + 1) * width, events) for number, events in counted)


def _values(windows: pa.Array | pa.ChunkedArray) -> tuple[list[int], list[int]]:
    """Distinct window numbers and how often each occurs."""
    found = pc.value_counts(pc.drop_null(windows))
    return found.field(0).to_pylist(), found.field(1).to_pylist()
