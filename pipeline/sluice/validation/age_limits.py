"""How old or new an event may be when it arrives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import repeat

from sluice.elements import RecordBatch, Violation
from sluice.provenance import RedeliveryProvenance


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """How old or new an event may be when it arrives; all in seconds.

    In a bounded run, age counts from `started` (epoch seconds) for every event: historical data is never late, and
    an event may not lie further in the future than `max_skew` after the run began. The age of a redelivered record
    counts from its first arrival, or from the start of the bounded run that rejected it.
    """

    max_skew: float
    allowed_lateness: float
    started: float | None = None

    def references(self, batch: RecordBatch) -> Iterable[float]:
        """Return, for each record of `batch`, the moment from which the age of its event counts."""
        started = self._started(batch)
        return batch.provenance.arrivals if started is None else repeat(started)

    def lateness(self, batch: RecordBatch) -> float:
        """How far back an event of `batch` may lie; infinite in a bounded run."""
        return float("inf") if self._started(batch) is not None else self.allowed_lateness

    def _started(self, batch: RecordBatch) -> float | None:
        provenance = batch.provenance
        return provenance.run_started if isinstance(provenance, RedeliveryProvenance) else self.started

    def violation(self, time: datetime, reference: float) -> Violation:
        """Return how an event at `time`, which is outside the limits around `reference`, breaks them."""
        got, arrived = _text(time), _text(datetime.fromtimestamp(reference, UTC))
        if time.timestamp() > reference:
            return Violation("in_future", "", f"at most {self.max_skew:g} s after {arrived}", got)
        return Violation("too_late", "", f"at most {self.allowed_lateness:g} s before {arrived}", got)


def _text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
