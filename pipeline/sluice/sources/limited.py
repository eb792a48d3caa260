"""Some records of another source, for a run with `--limit`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import apache_beam as beam

from sluice.elements import RecordBatch
from sluice.errors import ConfigError
from sluice.sources.source import Sampled, Source


def first_records(batches: Iterator[RecordBatch], number: int) -> Iterator[RecordBatch]:
    """Yield at most `number` records of a generator of batches, and close it; none is asked for if `number` is 0."""
    with closing(batches):  # type: ignore[type-var]  # a generator
        for batch in batches if number > 0 else ():
            yield replace(batch, records=batch.records[:number])
            number -= len(batch.records)
            if number <= 0:
                return


class LimitedSource(beam.PTransform):
    """PBegin -> RecordBatch: at most so many records of a source, read by one worker. Nothing is acknowledged."""

    bounded = True

    def __init__(self, source: Source, number: int, label: str) -> None:
        """Read `number` records of `source`; `label` is how a message names it.

        Raises:
            ConfigError: records of the source cannot be looked at without a run; only dead letters cannot.

        """
        super().__init__()
        if not isinstance(source, Sampled):
            message = f"--limit: expected a source other than dead letters, got {label}"
            raise ConfigError(message)
        self._source = source
        self._number = number

    @property
    def of_stream(self) -> bool:
        """The records come from a source that has no end, though there are only so many of them."""
        return not self._source.bounded

    def check(self) -> None:
        """Check as the source does."""
        self._source.check()

    def size(self) -> int | None:
        """Return None: nobody knows how many bytes the records have."""
        return None

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Read some records."""
        return (
            begin
            | "Begin" >> beam.Create([self._number])
            | "Read some" >> beam.FlatMap(self._source.sample).with_output_types(RecordBatch)
        )
