"""What every source offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import apache_beam as beam

    from sluice.elements import RecordBatch


class Source(Protocol):
    """A PTransform from the pipeline's begin to RecordBatches; `pipeline | label >> source` reads it."""

    bounded: bool
    """It has an end, so that a run of it has one, too."""

    def check(self) -> None:
        """Make sure that there is something to read; called in the launcher, before Beam starts.

        Raises:
            SourceError: there is not, in one line.

        """
        ...

    def size(self) -> int | None:
        """Return the bytes of records to read, for a progress bar; None if they are not known."""
        ...

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Apply the transform."""
        ...

    def __rrshift__(self, label: str) -> beam.PTransform:
        """Name the step: `"Read" >> source`."""
        ...


@runtime_checkable
class Acknowledging(Protocol):
    """A source that the graph notifies of stored records, where its steps do not share a process with it."""

    def acknowledge(self) -> beam.PTransform:
        """Return the step for `graph.Run.acknowledge`."""
        ...


@runtime_checkable
class Sampled(Source, Protocol):
    """A source of which some records can be looked at without a run; nothing is acknowledged."""

    def sample(self, number: int) -> Iterator[RecordBatch]:
        """Yield at most `number` records that are there now.

        Raises:
            SourceError: as of a run.

        """
        ...
