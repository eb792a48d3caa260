"""Append events to a log: the step around `EventLog.append`, with the windows that group its input."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints import with_output_types
from apache_beam.utils.shared import Shared

from sluice.elements import (
    INTERNAL_TYPES,
    Acks,
    ConflictingLine,
    EventBatch,
    LoadRequest,
    LogKey,
    OrderedLines,
    Segment,
    StepCounts,
    StoredSegment,
    add_acks,
)
from sluice.eventlog.conflicts import Conflict
from sluice.eventlog.log import AppendResult, EventLog
from sluice.graph.shuffle import Spill, pack, unpack
from sluice.graph.windowing import Windowing
from sluice.line_block import LineBlock
from sluice.retry import RetryPolicy
from sluice.run_state import RunHandle
from sluice.source_tallies import tally_stored


@dataclass(eq=False)  # Beam sets the label of a transform
class AppendToLog(beam.PTransform):
    """(LogKey, EventBatch) of each input, by name -> `load_requests`; `step_counts`; `conflicts`.

    Each input is packed before the inputs are flattened, so that only packed bytes leave a worker. All outputs are
    in the global window, so that they can be flattened with what has no windows.

    The events of one key are grouped in one pane and appended in the order of their origin, so the same input makes
    the same segments. Events are stored exactly once, whatever is retried, regrouped or run again: see
    `EventLog.append`.
    """

    log: EventLog
    windowing: Windowing
    retry: RetryPolicy
    spill: Spill | None = None
    handle: RunHandle | None = None

    def expand(self, inputs: dict[str, beam.PCollection[Any]]) -> dict[str, beam.PCollection[Any]]:
        """Group by minute and append."""
        packed = [
            batches
            | f"Pack {name}"
            >> beam.Map(_pack, self.spill).with_output_types(tuple[tuple[str, int, int], bytes])
            for name, batches in inputs.items()
        ]
        appended = (
            packed
            | "Flatten inputs" >> beam.Flatten()
            | "Window by minute" >> self.windowing.by_minute()
            | "Group by log key" >> beam.GroupByKey()
            | "Append panes"
            >> beam.ParDo(AppendPane(self.log, self.retry, self.spill, self.handle)).with_outputs(
                AppendPane.STEP_COUNTS, AppendPane.CONFLICTS, main="load_requests"
            )
        )
        return {
            name: appended[name] | f"Leave the windows of {name}" >> beam.WindowInto(GlobalWindows())
            for name in ("load_requests", AppendPane.STEP_COUNTS, AppendPane.CONFLICTS)
        }


def _pack(keyed: tuple[LogKey, EventBatch], spill: Spill | None) -> tuple[tuple[str, int, int], bytes]:
    """Return what is shuffled; the key as a tuple, which has a deterministic coder on every runner."""
    key, batch = keyed
    return (key.event_type, key.minute, key.shard), pack(batch) if spill is None else spill.put(batch)


@with_output_types(LoadRequest, step_counts=StepCounts, conflicts=list[ConflictingLine])
class AppendPane(beam.DoFn):
    """One pane of a log key -> a LoadRequest of its segments; `step_counts`; `conflicts`.

    The step counts are accepted, duplicates, those of them that are conflicting, and segments. The acks of conflicting
    lines are theirs alone; all others are in the LoadRequest. A failed append is retried as `retry` says; then the
    bundle fails.
    """

    STEP_COUNTS = "step_counts"
    CONFLICTS = "conflicts"

    def __init__(
        self,
        log: EventLog,
        retry: RetryPolicy,
        spill: Spill | None = None,
        handle: RunHandle | None = None,
    ) -> None:
        """`log` has been opened by the launcher; `spill` is the one that the batches were put into.

        `handle` finds the state of a run whose segments are counted in this process: see `NewSegments`.
        """
        self._log = log
        self._retry = retry
        self._spill = spill
        self._handle = handle
        self._shared = Shared()

    def setup(self) -> None:
        """Share one log, and so one cache, among all threads of a process."""
        self._log = self._shared.acquire(lambda: self._log)

    def process(self, pane: tuple[tuple[str, int, int], Iterable[bytes]]) -> Iterator[Any]:
        """Append one pane."""
        (event_type, minute, shard), shuffled = pane
        batches = list(map(unpack if self._spill is None else self._spill.get, shuffled))
        groups = [group for batch in batches for group in batch.ordered_lines]
        groups.sort(key=lambda group: (group.export_time, group.uri, group.offset))
        lines = LineBlock.joined(group.lines for group in groups)
        appended = self._append(pane[0], lambda: self._log.append(event_type, minute, shard, lines))
        counts = {("duplicates", event_type): appended.duplicates}
        conflicting = _conflicting_lines(LogKey(event_type, minute, shard), groups, appended.conflicts)
        if conflicting:
            counts["conflicting", event_type] = len(conflicting)
            yield pvalue.TaggedOutput(self.CONFLICTS, conflicting)
        segments: list[Segment | StoredSegment] = [*appended.unloaded]
        if appended.segment is not None:
            counts["accepted", event_type] = len(appended.segment.lines)
            counts["segments", event_type] = 1
            segments.append(replace(appended.segment, plain=all(batch.plain for batch in batches)))
        sources = {}
        if event_type not in INTERNAL_TYPES:
            sources = tally_stored([(group.source, len(group.lines)) for group in groups], appended.kept)
        yield pvalue.TaggedOutput(self.STEP_COUNTS, StepCounts(counts, sources=sources))
        acks = add_acks(group.acks for group in groups)
        yield LoadRequest(segments, _without(acks, conflicting) if conflicting else acks)

    def _append(self, key: tuple[str, int, int], append: Callable[[], AppendResult]) -> AppendResult:
        if self._handle is None:
            return self._retry(append)
        new_segments = self._handle.state.new_segments
        with self._handle.state.activity.at_work(stores=True), new_segments.appending(key):
            appended = self._retry(append)
            if appended.segment is not None:
                new_segments.add(appended.segment.id)
            return appended


def _conflicting_lines(
    log_key: LogKey, groups: Sequence[OrderedLines], conflicts: Sequence[Conflict]
) -> list[ConflictingLine]:
    """Return the lines of conflicts, each with its own part of the acks of its group."""
    ends = list(accumulate(len(group.lines) for group in groups))
    conflicting = []
    for conflict in conflicts:
        place = bisect_right(ends, conflict.index)
        group = groups[place]
        conflicting.append(
            ConflictingLine(
                log_key,
                group.lines[conflict.index - ends[place]],
                group.uri,
                conflict.key,
                conflict.content,
                conflict.stored_content,
                conflict.segment,
                # The lines of a group are of one batch, so it has one token, or none.
                dict.fromkeys(group.acks, 1),
            )
        )
    return conflicting


def _without(acks: Acks, conflicting: Iterable[ConflictingLine]) -> Acks:
    """Return `acks` without those of `conflicting`, and without tokens for which nothing is left."""
    rest = Counter(acks)
    rest.subtract(add_acks(line.acks for line in conflicting))
    return dict(+rest)
