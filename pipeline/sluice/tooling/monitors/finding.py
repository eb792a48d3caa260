"""What a monitor finds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Finding:
    """One thing that a monitor found. Key: (monitor, check, metric, day, kind)."""

    monitor: str
    """Name of the monitor file, such as commerce."""
    check: str
    """Name of the check in it, such as daily_revenue."""
    metric: str
    """What was measured, such as revenue, rows, or the name of a file."""
    day: date | None
    """The day that it is about; None: now."""
    kind: str
    """high, low, missing, unbalanced, stale, error_rate, volume or drift."""
    observed: float | None
    expected: float | None
    low: float | None
    high: float | None
    severity: float
    """How far outside of what is usual; the largest is the worst."""
    explanation: str
    """One sentence: what, when, observed, usual."""
    where: str
    """Where to look: table, file or page; no secret."""
    command: str
    """A command that helps."""
