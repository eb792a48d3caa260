"""Append to the log: the step around `log.Log`, with the windows that feed it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints import with_output_types
from apache_beam.utils.shared import Shared

from sluice.elements import EventBatch, LoadRequest, LogKey, Segment, StepCounts, StoredSegment, add_acks
from sluice.eventlog.log import EventLog
from sluice.graph.shuffle import Spill, pack, unpack
from sluice.graph.windowing import Windowing
from sluice.retry import RetryPolicy


@dataclass(eq=False)  # Beam sets the label of a transform
class AppendToLog(beam.PTransform):
    """(LogKey, EventBatch) of each input, by name -> `offers`: segments, new or maybe not loaded; `tallies`.

    Each input is packed before they meet, so that nothing but packed bytes leaves a worker. Both outputs are in
    the global window, so that they can be flattened with what has no windows.

    The events of one key meet in one pane and are appended in the order of their origin, so the same input
    makes the same segments. Exactly once whatever is retried, regrouped or run again: see `log.Log.append`.
    """

    log: EventLog
    windowing: Windowing
    retry: RetryPolicy
    spill: Spill | None = None

    def expand(self, inputs: dict[str, beam.PCollection[Any]]) -> dict[str, beam.PCollection[Any]]:
        """Group by minute and append."""
        packed = [
            each
            | f"Pack {name}"
            >> beam.Map(_pack, self.spill).with_output_types(tuple[tuple[str, int, int], bytes])
            for name, each in inputs.items()
        ]
        appended = (
            packed
            | "Gather" >> beam.Flatten()
            | "Window by minute" >> self.windowing.by_minute()
            | "Group by folder" >> beam.GroupByKey()
            | "Append"
            >> beam.ParDo(AppendPane(self.log, self.retry, self.spill)).with_outputs(
                AppendPane.TALLIES, main="load_requests"
            )
        )
        return {
            name: appended[name] | f"Forget minutes of {name}" >> beam.WindowInto(GlobalWindows())
            for name in ("load_requests", AppendPane.TALLIES)
        }


def _pack(keyed: tuple[LogKey, EventBatch], spill: Spill | None) -> tuple[tuple[str, int, int], bytes]:
    """Return what is shuffled; the key as a plain tuple, which has a deterministic coder on every runner."""
    key, batch = keyed
    packed = pack(batch)
    return (key.event_type, key.minute, key.shard), packed if spill is None else spill.put(packed)


@with_output_types(LoadRequest, tallies=StepCounts)
class AppendPane(beam.DoFn):
    """One pane of a folder -> an Offer of what the log made of it; `tallies`: accepted, repeated, segments.

    A store that fails is asked again for as long as `patience` lasts; then the bundle fails.
    """

    TALLIES = "tallies"

    def __init__(self, log: EventLog, retry: RetryPolicy, spill: Spill | None = None) -> None:
        """`log` has been opened by the launcher; `spill` is the one that packed the pane's batches."""
        self._log = log
        self._retry = retry
        self._spill = spill
        self._shared = Shared()

    def setup(self) -> None:
        """Have one log, and so one cache, for all threads of a process."""
        self._log = self._shared.acquire(lambda: self._log)

    def process(self, pane: tuple[tuple[str, int, int], Iterable[bytes]]) -> Iterator[Any]:
        """Append one pane."""
        (event_type, minute, shard), shuffled = pane
        batches = (unpack(each if self._spill is None else self._spill.get(each)) for each in shuffled)
        parts = sorted(
            (part for batch in batches for part in batch.parts), key=lambda part: (part.uri, part.offset)
        )
        lines = [line for part in parts for line in part.lines]
        appended = self._retry(lambda: self._log.append(event_type, minute, shard, lines))
        counts = {("duplicates", event_type): appended.duplicates}
        offered: list[Segment | StoredSegment] = [*appended.unloaded]
        if appended.segment is not None:
            counts["accepted", event_type] = len(appended.segment.lines)
            counts["segments", event_type] = 1
            offered.append(appended.segment)
        yield pvalue.TaggedOutput(self.TALLIES, StepCounts(counts))
        yield LoadRequest(offered, add_acks(part.acks for part in parts))
