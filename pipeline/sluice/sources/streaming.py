"""What all streaming sources share: the state of their run, endless restrictions, and the time of a record."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.utils.timestamp import Timestamp

from sluice.run_state import RunHandle

TRACKER: Any = beam.DoFn.RestrictionParam()
WATERMARK: Any = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())
"""Arguments of an endless DoFn's `process`, last of all: a BundleFinalizerParam behind them breaks Beam's binding."""

EARLIEST = 0.0
"""The watermark of what has not been read yet, in epoch seconds: no live source hands over anything older."""

END = sys.maxsize
"""Where an endless restriction stops; no offset ever reaches it."""

MAX_BEHIND_WATERMARK = 31 * 86400.0
"""Seconds that a record's arrival may lie behind its source's watermark: as long as Pub/Sub keeps a message. The
runner's windows are kept that much longer than `allowed_lateness`, so that only our own age rule rejects anything;
what a source delivers even later counts as arrived just then."""


class StreamingSource(beam.PTransform):
    """A source without an end; what it shares with the steps behind it is in the state of its run."""

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

    They do on Prism, which the launcher chooses for live jobs and which keeps nothing when it dies. Any other
    runner must keep what it has taken over: there bundle finalization tells the source.
    """
    runner = options.get_all_options(drop_default=True).get("runner")
    return runner is None or runner.rpartition(".")[2] == "PrismRunner"


def arrivals_above(times: Iterable[float], watermark: float) -> list[float]:
    """Return when records arrived, in epoch seconds: at their own `times`, but hardly ever below `watermark`.

    decode rejects what is older than allowed_lateness at its arrival; a runner drops in silence what lies further
    below its watermark than its windows' lateness, which is allowed_lateness + MAX_BEHIND_WATERMARK. So an arrival
    is never lower than that below the watermark: whatever the runner might drop has been rejected, as a dead letter.
    The slack leaves the true times to all records but those whose order in their source is off by a month.
    """
    lowest = watermark - MAX_BEHIND_WATERMARK
    return [time if time >= lowest else lowest for time in times]


def watermark_of(estimator: ManualWatermarkEstimator) -> float:
    """Return the watermark in epoch seconds; EARLIEST at first."""
    watermark = estimator.current_watermark()
    return EARLIEST if watermark is None else float(watermark.micros / 1e6)


def advance(estimator: ManualWatermarkEstimator, seconds: float) -> None:
    """Move the watermark to an epoch time, unless it is there or further already: it must never go back."""
    if seconds > watermark_of(estimator):
        estimator.set_watermark(Timestamp.of(seconds))


class EndlessTracker(OffsetRestrictionTracker):
    """Claims ever higher offsets of a range that has no end."""

    def try_split(self, fraction_of_remainder: float) -> tuple[OffsetRange, OffsetRange] | None:
        """Split behind what is claimed, never further on: half of an endless range would never be reached."""
        split: tuple[OffsetRange, OffsetRange] | None = (
            super().try_split(0) if fraction_of_remainder == 0 else None
        )
        return split

    def is_bounded(self) -> bool:
        """Tell runners that they must not wait for its end."""
        return False


def finish(tracker: Any) -> None:
    """End an endless restriction, so that its watermark goes to the end of time."""
    tracker.try_claim(tracker.current_restriction().stop)


class EndlessRestrictions(RestrictionProvider):
    """Restrictions from an offset on, without an end; a runner that drains ends them where they are."""

    def initial_restriction(self, element: Any) -> OffsetRange:
        """Begin at 0; sources that begin elsewhere say so."""
        return OffsetRange(0, END)

    def create_tracker(self, restriction: OffsetRange) -> EndlessTracker:
        """Return a tracker of `restriction`."""
        return EndlessTracker(restriction)

    def restriction_size(self, element: Any, restriction: OffsetRange) -> int:
        """Return 1: all restrictions weigh the same."""
        return 1

    def truncate(self, element: Any, restriction: OffsetRange) -> None:
        """Read no more when a runner drains."""


class SharedWatermark:
    """The lowest watermark of the parts of a source that are read in this process.

    Prism takes the latest report of any restriction for the watermark of the whole step: it has no lowest of them.
    So on Prism every part reports the lowest of all. A part moves on only by what its runner has taken over: by what
    was read in bundles before the one that reports it.
    """

    def __init__(self) -> None:
        """Begin without any part."""
        self._lock = threading.Lock()
        self._parts: dict[int, float] = {}

    def move(self, part: int, seconds: float) -> float:
        """Add a part or move it on, to an epoch time; return the lowest of all."""
        with self._lock:
            self._parts[part] = max(seconds, self._parts.get(part, seconds))
            return min(self._parts.values())

    def leave(self, part: int) -> None:
        """Wait for a part no more: it has ended."""
        with self._lock:
            self._parts.pop(part, None)
