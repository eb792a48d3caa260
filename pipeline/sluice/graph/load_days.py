"""Load the segments of a UTC day together, into a warehouse that limits the number of loads.

For jobs that end: a day is complete when all of the input is in the log. What passes the shuffle are references; the
lines are read from the log again, so that memory does not grow with the day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.typehints import with_output_types

from sluice.clock import Clock
from sluice.elements import Acks, LoadRequest, Rejected, Segment, StepCounts, StoredSegment, add_acks
from sluice.eventlog.log import EventLog
from sluice.graph.load import LoadSegments, outcome_of, with_windows
from sluice.graph.segment_loader import DAY_LOAD_BYTES, SegmentLoader
from sluice.warehouses import LoadCost

_DAY = 86_400


class _Part(msgspec.Struct, array_like=True):
    """What one LoadRequest adds to a day."""

    segments: list[tuple[str, int, str, bool]]
    """Path, minute and id of each, and whether this run wrote it."""
    acks: dict[int, int]


def day_of(minute: int) -> int:
    """Return the UTC day of a minute, both since 1970."""
    return minute // _DAY


def describe_history(cost: LoadCost) -> str:
    """Return which loads a run will use whose input nobody has counted; one line."""
    return (
        f"the segments of an event type and a day are loaded together: {cost.one} for each event type and day of the "
        f"input, and another one for every {DAY_LOAD_BYTES >> 20} MB of a day beyond the first"
    )


def describe_loads(logs: Iterable[EventLog], cost: LoadCost) -> str:
    """Return how many loads the segments of logs are at most, if the warehouse has none of them; one line."""
    segments, days = 0, set()
    for log in logs:
        for path in log.segments():
            event_type, minute = log.locate(path)
            segments += 1
            days.add((event_type, day_of(minute)))
    size = DAY_LOAD_BYTES >> 20
    return (
        f"{segments:,} segments of {len(days):,} days, counted for each event type: at most {len(days):,} {cost.many} "
        f"and another one for every {size} MB of a day beyond the first"
    )


class LoadDays(beam.PTransform):
    """LoadRequest -> what `LoadSegments` makes of it, but all segments of a type and UTC day at once.

    With `counts_alone`, for dead letters, rejected rows do not become dead letters again, and windows are not shown.
    """

    def __init__(self, loader: SegmentLoader, clock: Clock, *, counts_alone: bool = False) -> None:
        """`loader` is that of the log whose segments come; `clock` gives the time of rejection."""
        super().__init__()
        self._step = LoadDay(loader, clock, counts_alone=counts_alone)

    def expand(self, requests: beam.PCollection[LoadRequest]) -> Any:
        """Group by type and day, and load."""
        return (
            requests
            | "Refer to segments" >> beam.FlatMap(_refer)
            | "Group by day" >> beam.GroupByKey()
            | "Load a day" >> beam.ParDo(self._step).with_outputs(*self._step.outputs, main="step_counts")
        )


class BackfillDays(LoadDays):
    """Segment of an earlier run -> what `BackfillSegments` makes of it, but all of a type and UTC day at once."""

    def expand(self, segments: beam.PCollection[Segment]) -> Any:
        """Forget the lines, group by type and day, and load."""
        return super().expand(segments | "Forget lines" >> beam.Map(_request_of))


def _request_of(segment: Segment) -> LoadRequest:
    return LoadRequest([StoredSegment(segment.event_type, segment.path, segment.minute, segment.id)])


def _refer(request: LoadRequest) -> Iterator[tuple[tuple[str, int], bytes]]:
    """Yield type and day of the segments of a request, and what refers to them: a request is of one minute."""
    if not request.segments:
        return
    first = request.segments[0]
    segments = [
        (segment.path, segment.minute, segment.id, isinstance(segment, Segment))
        for segment in request.segments
    ]
    part = _Part(segments, dict(request.acks))
    yield (first.event_type, day_of(first.minute)), msgspec.msgpack.encode(part)


@with_output_types(StepCounts, rejected=list[Rejected], acks=Acks)
class LoadDay(beam.DoFn):
    """((event type, day), parts) -> StepCounts of each segment; `rejected`; `acks`; see `LoadDays`."""

    def __init__(self, loader: SegmentLoader, clock: Clock, *, counts_alone: bool) -> None:
        """Take what `LoadDays` has."""
        self._loader = loader
        self._clock = clock
        self._counts_alone = counts_alone
        rejected = () if counts_alone else (LoadSegments.REJECTED,)
        self.outputs = (*rejected, LoadSegments.ACKS)

    def setup(self) -> None:
        """Compile the contracts."""
        self._loader.compile()

    def process(self, keyed: tuple[tuple[str, int], Iterable[bytes]]) -> Iterator[Any]:
        """Load one day of one event type."""
        (event_type, _), encoded = keyed
        parts = [msgspec.msgpack.decode(part, type=_Part) for part in encoded]
        acks = add_acks(part.acks for part in parts)
        offered = [segment for part in parts for segment in part.segments]
        # Written by this run, if any request says so: another one may have found it in its folder.
        new = {id_ for _, _, id_, is_new in offered if is_new}
        segments = {
            id_: (StoredSegment(event_type, path, minute, id_), id_ in new)
            for path, minute, id_, _ in offered
        }
        rejected: list[Rejected] = []
        if self._loader.loads(event_type):
            for loaded in self._loader.load_day(list(segments.values())):
                yield loaded.counts if self._counts_alone else with_windows(loaded)
                rejected += loaded.rejected
        yield from outcome_of([] if self._counts_alone else rejected, acks, self._clock)
