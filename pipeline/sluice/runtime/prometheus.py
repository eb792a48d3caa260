"""The state of a run as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sluice.run_state import LostRecords, RunState
from sluice.telemetry import NAMESPACE, RunTotals

_HELP = {
    "read": "Records that the source handed over.",
    "bytes": "Bytes of records that the source handed over.",
    "accepted": "Events appended to the log, by event type.",
    "duplicates": "Events that were in the log already, by event type.",
    "conflicting": "Duplicates whose content differs from that of the stored event, by event type.",
    "rejected": "Records that broke their contract, by event type.",
    "code": "Records that broke their contract, by the code of their dead letter.",
    "unknown_type": "Records whose event type no contract has, by that type.",
    "unknown_property": "Events with a property that their table has no column for, by event type and path.",
    "loaded": "Events loaded into the warehouse, by event type.",
    "load_rejected": "Events that the warehouse rejected, by event type.",
    "backfilled": "Events of earlier runs loaded into the warehouse, by event type.",
    "segments": "Segments appended to the log, by event type.",
}
"""Figure of step counts -> what it counts."""

_LABELS = {"code": "code", "unknown_property": "property"}
"""Label of the figures that are not counted by event type."""

_NAMES = {
    "code": "rejected_by_code",
    "unknown_property": "unknown_properties",
    "unknown_type": "unknown_types",
}
"""Name of the metrics that are not named like their figure."""

_RESTARTS = "How often the runner ended by itself and was started again."

_LOST = "Records that the source deleted before they were read, by partition."

_WITHOUT_LABELS = frozenset({"read", "bytes"})


def registry_of(run: RunState) -> CollectorRegistry:
    """Return what a Prometheus endpoint serves of `run`."""
    registry = CollectorRegistry()
    registry.register(_RunCollector(run))
    return registry


class _RunCollector(Collector):
    def __init__(self, run: RunState) -> None:
        self._run = run

    def collect(self) -> Iterator[Metric]:
        yield from _counters(self._run.totals)
        outstanding = self._run.acks.outstanding()
        yield _gauge("unacknowledged_records", "Records handed over and not stored yet.", outstanding.records)
        yield _gauge("unacknowledged_bytes", "Bytes handed over and not stored yet.", outstanding.bytes)
        yield _gauge("oldest_unacknowledged_seconds", "Age of the oldest of them.", outstanding.seconds)
        yield _gauge(
            "rejections_over_limit",
            "1 while more records were rejected than max_rejected allows.",
            float(self._run.over_limit.is_set()),
        )
        silent, idle = self._run.backlog.silent(), self._run.activity.idle()
        yield _gauge("source_silent_seconds", "Seconds since the source last answered.", silent)
        yield _gauge("runner_idle_seconds", "Seconds since the runner last worked.", idle)
        yield CounterMetricFamily(f"{NAMESPACE}_restarts", _RESTARTS, value=self._run.restarts)
        yield _lost(self._run.lost)
        waiting = self._run.backlog.total()
        if waiting is not None:
            yield _gauge("backlog_records", "Records that wait at the source, unread.", waiting)
        yield _gauge(
            "loaded_until_seconds",
            "End of the latest window with loaded events, epoch seconds.",
            self._run.totals.loaded_until() or 0.0,
        )


def _counters(totals: RunTotals) -> Iterator[Metric]:
    counts = totals.counts()
    for figure, text in _HELP.items():
        labels = [] if figure in _WITHOUT_LABELS else [_LABELS.get(figure, "event_type")]
        name = _NAMES.get(figure, figure)
        family = CounterMetricFamily(f"{NAMESPACE}_{name}", text, labels=labels)
        values = sorted((label, number) for (key, label), number in counts.items() if key == figure)
        for value, number in values or ([("", 0)] if not labels else []):
            family.add_metric([value] if labels else [], number)
        yield family


def _lost(lost: LostRecords) -> Metric:
    family = CounterMetricFamily(f"{NAMESPACE}_lost_at_source", _LOST, labels=["source", "partition"])
    for (uri, part), number in lost.numbers().items():
        family.add_metric([uri, str(part)], number)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{NAMESPACE}_{name}", text, value=value)
