"""Decode records: the step around `validation.records.RecordDecoder`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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
    StepCountsSum,
)
from sluice.graph.progress import Progress
from sluice.graph.shuffle import BundleBuffer
from sluice.provenance import Provenance, RedeliveryProvenance
from sluice.source_tallies import SourceTally
from sluice.validation.age_limits import AgeLimits
from sluice.validation.decoded_counts import count_decoded
from sluice.validation.masking_key import read_privacy_key
from sluice.validation.records import Decoded, RecordDecoder


@with_output_types(tuple[LogKey, EventBatch], rejected=list[Rejected], step_counts=StepCounts)
class DecodeRecords(beam.DoFn):
    """RecordBatch -> (LogKey, EventBatch) at its event minute; `rejected`; `step_counts`.

    `rejected` are lists of Rejected, one for each batch that has any, at its arrival. The step counts are `routed` and
    `rejected` by event type (`unknown` where a record has none), rejections by `code`, what was `repaired` of the
    accepted, and the first and last event time.
    """

    REJECTED = "rejected"
    STEP_COUNTS = "step_counts"

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        route_by: str | None,
        ages: AgeLimits,
        shards: int,
        progress: Progress | None,
        privacy_key: str | None,
        *,
        safe_attributes: Collection[str] = (),
    ) -> None:
        """Keep the arguments for the workers, which compile them; `privacy_key` is the name of a secret."""
        self._arguments = (contracts, route_by, ages, shards)
        self._privacy_key = privacy_key
        self._safe_attributes = safe_attributes
        self._progress = progress

    def setup(self) -> None:
        """Compile the contracts."""
        self._key = read_privacy_key(self._arguments[0].values(), self._privacy_key)
        self._decoders: dict[frozenset[str], RecordDecoder] = {}

    def start_bundle(self) -> None:
        """Begin with an empty buffer."""
        self._buffer = BundleBuffer()
        self._counts = StepCountsSum()

    def process(self, batch: RecordBatch) -> Iterator[Any]:
        """Decode one batch."""
        provenance = batch.provenance
        decoded = self._decoder(provenance).decode(batch)
        for key, lines in decoded.events.items():
            acks = batch.acks(len(lines))
            ordered = OrderedLines(
                provenance.uri,
                provenance.position,
                lines,
                acks,
                provenance.export_time,
                provenance.source.partition,
                plain=key.event_type not in decoded.unusual,
            )
            self._buffer.add(key, key.minute, ordered)
        if decoded.rejected:
            yield pvalue.TaggedOutput(self.REJECTED, TimestampedValue(decoded.rejected, batch.arrival))
        self._count(batch, decoded)
        if self._progress is not None:
            size = batch.size + len(batch.records)
            records = len(batch.records) + decoded.separated
            self._progress.add(size, records, len(decoded.rejected))
        yield from self._buffer.flush_if_full()

    def _count(self, batch: RecordBatch, decoded: Decoded) -> None:
        counts = count_decoded(decoded)
        self._counts.add(counts)
        # A line may hold more records than its source has counted.
        tally = SourceTally(
            read=decoded.separated, rejected=len(decoded.rejected), first=counts.first, last=counts.last
        )
        self._counts.sources.add(batch.provenance.source, tally)

    def _decoder(self, provenance: Provenance) -> RecordDecoder:
        """Return the decoder for records whose values are masked at some paths already, as redelivered ones are."""
        masked = provenance.masked if isinstance(provenance, RedeliveryProvenance) else frozenset[str]()
        if masked not in self._decoders:
            self._decoders[masked] = RecordDecoder(
                *self._arguments, self._key, masked, safe_attributes=self._safe_attributes
            )
        return self._decoders[masked]

    def finish_bundle(self) -> Iterator[Any]:
        """Emit what is left in the buffer, and the step counts of the bundle."""
        yield from self._buffer.flush()
        counts = self._counts.total()
        if counts.counts:
            yield pvalue.TaggedOutput(self.STEP_COUNTS, WindowedValue(counts, 0, (GlobalWindow(),)))
