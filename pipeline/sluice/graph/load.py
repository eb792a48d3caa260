"""Load segments into a warehouse: new ones, those of earlier runs, and those of the dead letters.

Each step counts what it did for the ledger. The work is that of `segment_loader.SegmentLoader`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.transforms.window import TimestampedValue
from apache_beam.typehints import with_output_types

from sluice.clock import Clock
from sluice.elements import Acks, LoadRequest, Rejected, Segment, StepCounts, StoredSegment
from sluice.graph.segment_loader import LoadedSegment, SegmentLoader
from sluice.run_state import NewSegments, RunHandle
from sluice.timeline import WindowEvents


class LoadStep(beam.DoFn):
    """What the steps share: a loader, compiled once in each worker."""

    def __init__(self, loader: SegmentLoader, handle: RunHandle | None = None) -> None:
        """`loader` is that of the log whose segments come.

        `handle` finds the state of a run whose segments are counted in this process: see `NewSegments`.
        """
        self._loader = loader
        self._handle = handle

    def setup(self) -> None:
        """Compile the contracts."""
        self._loader.compile()

    def _load(self, segment: Segment | StoredSegment) -> LoadedSegment | None:
        """Load a segment; None if there is nothing to do or to count."""
        if self._handle is None:
            return self._load_as(segment, None)
        with self._handle.state.activity.at_work(stores=True):
            return self._load_as(segment, self._handle.state.new_segments)

    def _load_as(self, segment: Segment | StoredSegment, new: NewSegments | None) -> LoadedSegment | None:
        """Load a segment as one of this run, if its lines come with it or it is `new`, or else as one of an earlier."""
        is_new = isinstance(segment, Segment) or (new is not None and segment.id in new)
        if not self._loader.loads(segment.event_type):
            if new is not None:
                new.count(segment.id)
            return None
        if not is_new:
            return self._loader.backfill(segment)
        loaded = self._loader.load(segment)
        return loaded if new is None or new.count(segment.id) else loaded.repeated()


@with_output_types(StepCounts, rejected=list[Rejected], acks=Acks)
class LoadSegments(LoadStep):
    """LoadRequest -> StepCounts of each segment; `rejected`: lists of Rejected, the rows that were not loaded; `acks`.

    The acks of the request are emitted when all is loaded; if rows were rejected, with those, since they are due when
    the dead letters are stored.
    """

    REJECTED = "rejected"
    ACKS = "acks"

    def __init__(self, loader: SegmentLoader, clock: Clock, handle: RunHandle | None = None) -> None:
        """`clock` gives the time of rejection; `handle` is as in `LoadDeadLetters`."""
        super().__init__(loader, handle)
        self._clock = clock

    def process(self, request: LoadRequest) -> Iterator[Any]:
        """Load the segments of one request that the warehouse does not have."""
        rejected: list[Rejected] = []
        for loaded in filter(None, map(self._load, request.segments)):
            yield with_windows(loaded)
            rejected += loaded.rejected
        yield from outcome_of(rejected, request.acks, self._clock)


@with_output_types(StepCounts, acks=Acks)
class LoadDeadLetters(LoadStep):
    """LoadRequest of dead letters -> StepCounts of each segment; `acks`.

    A dead letter whose row was not loaded does not become a dead letter again: it stays in the log, and in the counts.
    """

    ACKS = "acks"

    def process(self, request: LoadRequest) -> Iterator[Any]:
        """Load the segments of one request that the warehouse does not have."""
        for loaded in filter(None, map(self._load, request.segments)):
            yield loaded.counts
        if request.acks:
            yield pvalue.TaggedOutput(self.ACKS, request.acks)


@with_output_types(StepCounts, rejected=list[Rejected])
class BackfillSegments(LoadStep):
    """Segment of an earlier run -> StepCounts; `rejected`: lists of Rejected, the rows that were not loaded."""

    REJECTED = "rejected"

    def __init__(self, loader: SegmentLoader, clock: Clock) -> None:
        """`clock` gives the time of rejection."""
        super().__init__(loader)
        self._clock = clock

    def process(self, segment: Segment) -> Iterator[Any]:
        """Load one segment that the warehouse does not have."""
        loaded = self._loader.backfill(segment) if self._loader.loads(segment.event_type) else None
        if loaded is None:
            return
        yield with_windows(loaded)
        if loaded.rejected:
            yield pvalue.TaggedOutput(self.REJECTED, TimestampedValue(list(loaded.rejected), self._clock()))


def outcome_of(rejected: list[Rejected], acks: Acks, clock: Clock) -> Iterator[pvalue.TaggedOutput]:
    """Yield the rejected rows of a load, with its acks, or the acks alone: see `LoadSegments`."""
    if rejected:
        rejected[0] = replace(rejected[0], acks=acks)
        yield pvalue.TaggedOutput(LoadSegments.REJECTED, TimestampedValue(rejected, clock()))
    elif acks:
        yield pvalue.TaggedOutput(LoadSegments.ACKS, acks)


def with_windows(loaded: LoadedSegment) -> StepCounts:
    """Return the counts of a segment with the windows of its events, which are shown while the run lasts."""
    windows = [
        WindowEvents(
            count.window_start, count.window_end, count.event_type or loaded.event_type, count.events
        )
        for count in loaded.windows
    ]
    return replace(loaded.counts, windows=windows)
