"""Figures of a run while it lasts: Beam metrics on every runner, Prometheus metrics in this process.

Every step already says what it did in tallies; here each tally becomes metrics, in one place. On runners
that keep workers elsewhere, their Beam metrics are what can be seen.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from apache_beam.metrics import Metrics
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sluice.arrow.window_counts import MICROSECONDS, WindowCount
from sluice.elements import INTERNAL_TYPES, StepCounts
from sluice.sources.acknowledgements import BACKLOG, PENDING_ACKS

_NAMESPACE = "sluice"

_HELP = {
    "read": "Records that the source handed over.",
    "bytes": "Bytes of records that the source handed over.",
    "accepted": "Events appended to the log, by event type.",
    "duplicates": "Events that were in the log already, by event type.",
    "rejected": "Records that broke their contract, by event type.",
    "code": "Records that broke their contract, by the code of their dead letter.",
    "loaded": "Events loaded into the warehouse, by event type.",
    "load_rejected": "Events that the warehouse refused, by event type.",
    "backfilled": "Events of earlier runs loaded into the warehouse, by event type.",
    "segments": "Segments appended to the log, by event type.",
}
"""Figure of a tally -> what it counts."""

_KEPT_WINDOWS = 60


class Figures:
    """Running sums of what all steps of this process did, and the latest windows that were loaded."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._windows: dict[tuple[int, int], Counter[str]] = {}

    def add(self, tally: StepCounts) -> None:
        """Add what one step did."""
        with self._lock:
            self._counts.update(tally.counts)

    def add_windows(self, event_type: str, windows: Iterable[WindowCount]) -> None:
        """Add the counts of a segment that was loaded."""
        with self._lock:
            for each in windows:
                key = (each.window_start, each.window_end)
                self._windows.setdefault(key, Counter())[each.event_type or event_type] += each.events
            for key in sorted(self._windows)[:-_KEPT_WINDOWS]:
                del self._windows[key]

    def counts(self) -> Counter[tuple[str, str]]:
        """Return (figure, event type or code) -> number; letters are not among the events."""
        with self._lock:
            return Counter({key: n for key, n in self._counts.items() if key[1] not in INTERNAL_TYPES})

    def total(self, figure: str) -> int:
        """Return the sum of one figure over all event types."""
        return sum(number for (name, _), number in self.counts().items() if name == figure)

    def windows(self, number: int) -> Sequence[tuple[int, int, Counter[str]]]:
        """Return the latest windows that hold loaded events: start and end in microseconds, events by type."""
        with self._lock:
            latest = sorted(self._windows)[-number:]
            return [(*key, Counter(self._windows[key])) for key in latest]


FIGURES = Figures()
"""Those of this process."""


def measure(tally: StepCounts) -> StepCounts:
    """Count a tally in Beam's metrics and in this process's, and hand it on."""
    for (figure, name), number in tally.counts.items():
        Metrics.counter(_NAMESPACE, f"{figure}.{name}" if name else figure).inc(number)
    FIGURES.add(tally)
    return tally


class _RunCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        counts = FIGURES.counts()
        for figure, text in _HELP.items():
            found = sorted((name, n) for (each, name), n in counts.items() if each == figure)
            label = "code" if figure == "code" else "event_type"
            name = "rejected_by_code" if figure == "code" else figure
            labels = [] if figure in ("read", "bytes") else [label]
            family = CounterMetricFamily(f"{_NAMESPACE}_{name}", text, labels=labels)
            for value, number in found or ([("", 0)] if not labels else []):
                family.add_metric([value] if labels else [], number)
            yield family
        outstanding = PENDING_ACKS.outstanding()
        yield _gauge("unacknowledged_records", "Records handed over and not stored yet.", outstanding.records)
        yield _gauge("unacknowledged_bytes", "Bytes handed over and not stored yet.", outstanding.bytes)
        yield _gauge("oldest_unacknowledged_seconds", "Age of the oldest of them.", outstanding.seconds)
        waiting = BACKLOG.total()
        if waiting is not None:
            yield _gauge("backlog_records", "Records that wait at the source, unread.", waiting)
        latest = FIGURES.windows(1)
        end = latest[0][1] / MICROSECONDS if latest else 0.0
        yield _gauge(
            "loaded_until_seconds", "End of the latest window with loaded events, epoch seconds.", end
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_NAMESPACE}_{name}", text, value=value)


def registry() -> CollectorRegistry:
    """Return what a Prometheus endpoint of this process serves."""
    made = CollectorRegistry()
    made.register(_RunCollector())
    return made
