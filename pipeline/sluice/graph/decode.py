"""Decode records: the step around `validation.records.RecordDecoder`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.typehints import with_output_types
from apache_beam.utils.windowed_value import WindowedValue

from sluice.contracts import Contract
from sluice.elements import (
    EventBatch,
    LogKey,
    OrderedLines,
    RecordBatch,
    Rejected,
    StepCounts,
    add_step_counts,
)
from sluice.graph.progress import Progress
from sluice.graph.shuffle import BundleBuffer
from sluice.provenance import Provenance, RedeliveryProvenance
from sluice.validation.age_limits import AgeLimits
from sluice.validation.masking_key import read_privacy_key
from sluice.validation.records import RecordDecoder, count_decoded


@with_output_types(tuple[LogKey, EventBatch], rejected=list[Rejected], tallies=StepCounts)
class DecodeRecords(beam.DoFn):
    """RecordBatch -> (LogKey, EventBatch) at its event minute; `rejected`; `tallies`.

    `rejected` are lists of Rejected, one for each batch that has any, at its arrival. Tallies carry `routed` and
    `rejected` by event type (`unknown` where a record has none), rejections by code, what was `salvaged` of the
    accepted, and the span of event times.
    """

    REJECTED = "rejected"
    TALLIES = "tallies"

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        route_by: str | None,
        ages: AgeLimits,
        shards: int,
        progress: Progress | None,
        secret: str | None,
    ) -> None:
        """Keep what the workers need; nothing is compiled here, and of the privacy key only the secret's name."""
        self._arguments = (contracts, route_by, ages, shards)
        self._secret = secret
        self._progress = progress

    def setup(self) -> None:
        """Compile the contracts."""
        self._key = read_privacy_key(self._arguments[0].values(), self._secret)
        self._decoders = {frozenset[str](): RecordDecoder(*self._arguments, self._key)}

    def start_bundle(self) -> None:
        """Begin with nothing held back."""
        self._buffer = BundleBuffer()
        self._tally = StepCounts({})

    def process(self, batch: RecordBatch) -> Iterator[Any]:
        """Decode one batch."""
        origin = batch.provenance
        decoded = self._decoder(origin).decode(batch)
        for key, lines in decoded.events.items():
            self._buffer.add(
                key, key.minute, OrderedLines(origin.uri, origin.position, lines, batch.acks(len(lines)))
            )
        if decoded.rejected:
            yield pvalue.TaggedOutput(self.REJECTED, TimestampedValue(decoded.rejected, batch.arrival))
        self._tally = add_step_counts([self._tally, count_decoded(decoded)])
        if self._progress is not None:
            size = batch.size + len(batch.records)
            self._progress.add(size, len(batch.records), len(decoded.rejected))
        yield from self._buffer.flush_if_full()

    def _decoder(self, provenance: Provenance) -> RecordDecoder:
        """Return the decoder of records in which the same values are protected already: none, unless redelivered."""
        done = provenance.masked if isinstance(provenance, RedeliveryProvenance) else frozenset[str]()
        if done not in self._decoders:
            self._decoders[done] = RecordDecoder(*self._arguments, self._key, done)
        return self._decoders[done]

    def finish_bundle(self) -> Iterator[Any]:
        """Let go of what is held back, and of the bundle's tally."""
        yield from self._buffer.flush()
        if self._tally.counts:
            yield pvalue.TaggedOutput(self.TALLIES, WindowedValue(self._tally, 0, (GlobalWindow(),)))
