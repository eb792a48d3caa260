"""Figures of a run while it lasts: Beam metrics on every runner, and running totals in the process of the steps.

Every step reports what it did as step counts; `measure` turns them into both, in one place. On runners that keep
workers elsewhere, only their Beam metrics can be seen.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from apache_beam.metrics import Metrics

from sluice.clock import MICROSECONDS
from sluice.elements import INTERNAL_TYPES, NAMED_FIGURES, StepCounts, StepCountsSum, bound_names

NAMESPACE = "sluice"
"""Of all metrics, those of Beam and those of Prometheus."""

_KEPT_WINDOWS = 60


class RunTotals:
    """Running totals of what the steps of a run did in this process, and the latest windows that were loaded."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._windows: dict[tuple[int, int], Counter[str]] = {}

    def add(self, step_counts: StepCounts) -> None:
        """Add what one step did."""
        with self._lock:
            self._counts.update(step_counts.counts)
            bound_names(self._counts)
            for window in step_counts.windows:
                self._windows.setdefault((window.start, window.end), Counter())[window.event_type] += (
                    window.events
                )
            for key in sorted(self._windows)[:-_KEPT_WINDOWS]:
                del self._windows[key]

    def counts(self) -> Counter[tuple[str, str]]:
        """Return (figure, event type or code) -> number; dead letters are not among the events."""
        with self._lock:
            return Counter({key: n for key, n in self._counts.items() if key[1] not in INTERNAL_TYPES})

    def windows(self, number: int) -> Sequence[tuple[int, int, Counter[str]]]:
        """Return the latest windows that hold loaded events: start and end in microseconds, events by type."""
        with self._lock:
            latest = sorted(self._windows)[-number:]
            return [(*key, Counter(self._windows[key])) for key in latest]

    def loaded_until(self) -> float | None:
        """Return the end of the latest window that holds loaded events, in epoch seconds; None if there is none."""
        latest = self.windows(1)
        return latest[0][1] / MICROSECONDS if latest else None


def figure_sums(counts: Counter[tuple[str, str]]) -> Counter[str]:
    """Return each figure of `RunTotals.counts`, summed over all event types."""
    sums: Counter[str] = Counter()
    for (figure, _), number in counts.items():
        sums[figure] += number
    return sums


class StepTotals:
    """The sum of what the steps of one graph counted in this process; that of dead letters included."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._lock = threading.Lock()
        self._sum = StepCountsSum()

    def add(self, step_counts: StepCounts) -> None:
        """Add what one step did."""
        with self._lock:
            self._sum.add(step_counts)

    def total(self) -> StepCounts:
        """Return the sum so far."""
        with self._lock:
            return self._sum.total()


def measure(step_counts: StepCounts, totals: RunTotals) -> StepCounts:
    """Add step counts to Beam's metrics and to the run's totals in this process, and return them."""
    for (figure, name), number in step_counts.counts.items():
        by_name = name and figure not in NAMED_FIGURES
        Metrics.counter(NAMESPACE, f"{figure}.{name}" if by_name else figure).inc(number)
    totals.add(step_counts)
    return step_counts
