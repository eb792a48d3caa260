"""The common parts of all streaming sources: the state of the run, endless restrictions, the time of a record."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.utils.timestamp import Timestamp

from sluice.clock import LAST_SECOND
from sluice.run_state import RunHandle

TRACKER: Any = beam.DoFn.RestrictionParam()
WATERMARK: Any = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())
"""Last arguments of an endless DoFn's `process`: a BundleFinalizerParam behind them breaks Beam's binding."""

EARLIEST = 0.0
"""The watermark before the first read, in epoch seconds: no streaming source emits an older record."""

END = sys.maxsize
"""Where an endless restriction stops; no offset ever reaches it."""

MAX_BEHIND_WATERMARK = 31 * 86400.0
"""Seconds that a record's arrival may lie behind its source's watermark: as long as Pub/Sub retains a message. The
lateness of the runner's windows is that much longer than `allowed_lateness`, so that the runner drops no record and
the check of the age in `decode` rejects it. A record that is even later gets the latest arrival that is too late."""


class StreamingSource(beam.PTransform):
    """A source without an end; it shares the state of its run with the later steps of the graph."""

    bounded = False

    def __init__(self) -> None:
        """Begin as the source of a run of its own; the launcher sets `handle` to that of its run."""
        super().__init__()
        self.handle = RunHandle()

    def size(self) -> int | None:
        """Return None: a source without an end has no size."""
        return None


def acknowledges_in_process(options: PipelineOptions) -> bool:
    """Return whether the steps of the job complete acknowledgements in the process of its source.

    They do on Prism, which the launcher chooses for streaming jobs and which loses its state when it dies. Any other
    runner must persist the bundles that it has committed: there bundle finalization notifies the source.
    """
    runner = options.get_all_options(drop_default=True).get("runner")
    return runner is None or runner.rpartition(".")[2] == "PrismRunner"


class Arrivals(NamedTuple):
    """When the records of a batch arrived, in epoch seconds, and the indexes of those whose source gave no time."""

    times: list[float]
    unknown: frozenset[int]


def find_arrivals(times: Sequence[float], watermark: float, now: float) -> Arrivals:
    """Return the arrivals of records: their own `times`, at most 31 days below `watermark`.

    All are epoch seconds. A time before 1970 or after the year 9999 is none: brokers take any number from a producer,
    such as microseconds in place of milliseconds. Such a record has arrived `now`.

    `decode` rejects events that are older than allowed_lateness at their arrival. A runner silently drops elements
    that are further below its watermark than the lateness of its windows, allowed_lateness + MAX_BEHIND_WATERMARK.
    With this limit, every event that the runner might drop has already been rejected, as a dead letter. Only records
    that are out of order by a month lose their true time.
    """
    lowest = watermark - MAX_BEHIND_WATERMARK
    unknown = frozenset(index for index, time in enumerate(times) if not 0 <= time <= LAST_SECOND)
    known = [now if index in unknown else time for index, time in enumerate(times)] if unknown else times
    return Arrivals([time if time >= lowest else lowest for time in known], unknown)


def watermark_of(estimator: ManualWatermarkEstimator) -> float:
    """Return the watermark in epoch seconds; EARLIEST at first."""
    watermark = estimator.current_watermark()
    return EARLIEST if watermark is None else float(watermark.micros / 1e6)


def advance(estimator: ManualWatermarkEstimator, seconds: float) -> None:
    """Advance the watermark to an epoch time; an earlier time has no effect, since a watermark never goes back."""
    if seconds > watermark_of(estimator):
        estimator.set_watermark(Timestamp.of(seconds))


class EndlessTracker(OffsetRestrictionTracker):
    """Claims ever higher offsets of a range that has no end."""

    def try_split(self, fraction_of_remainder: float) -> tuple[OffsetRange, OffsetRange] | None:
        """Split directly behind the claimed offset: half of an endless range would never be reached."""
        split: tuple[OffsetRange, OffsetRange] | None = (
            super().try_split(0) if fraction_of_remainder == 0 else None
        )
        return split

    def is_bounded(self) -> bool:
        """Return False, so that runners do not wait for its end."""
        return False


def finish(tracker: Any) -> None:
    """End an endless restriction, so that its watermark advances to the end of time."""
    tracker.try_claim(tracker.current_restriction().stop)


class EndlessRestrictions(RestrictionProvider):
    """Restrictions from an offset on, without an end; a runner that drains ends them where they are."""

    def initial_restriction(self, element: Any) -> OffsetRange:
        """Begin at 0; sources that begin elsewhere override this."""
        return OffsetRange(0, END)

    def create_tracker(self, restriction: OffsetRange) -> EndlessTracker:
        """Return a tracker of `restriction`."""
        return EndlessTracker(restriction)

    def restriction_size(self, element: Any, restriction: OffsetRange) -> int:
        """Return 1: all restrictions have the same size."""
        return 1

    def truncate(self, element: Any, restriction: OffsetRange) -> None:
        """Read no more when a runner drains."""


class SharedWatermark:
    """The lowest watermark of the partitions of a source that are read in this process.

    Prism uses the latest report of any restriction as the watermark of the whole step, not the lowest. So on Prism
    every partition reports the lowest of all. A partition's watermark covers only records of earlier bundles, which
    the runner has committed.
    """

    def __init__(self) -> None:
        """Begin without any partition."""
        self._lock = threading.Lock()
        self._watermarks: dict[int, float] = {}

    def advance(self, partition: int, seconds: float) -> float:
        """Add a partition or advance it to an epoch time; return the lowest of all."""
        with self._lock:
            self._watermarks[partition] = max(seconds, self._watermarks.get(partition, seconds))
            return min(self._watermarks.values())

    def remove(self, partition: int) -> None:
        """Remove a partition that has ended."""
        with self._lock:
            self._watermarks.pop(partition, None)
