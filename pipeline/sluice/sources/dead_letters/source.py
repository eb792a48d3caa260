"""Dead letters as a source: records that a job rejected, redelivered with the origin that they had first.

The source reads the open dead letters in the folder that a job's `dead_letters` names, minute by minute. Those of rows
that the warehouse rejected are no records: `RejectedRows` reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import apache_beam as beam

from sluice.config.urls import Url
from sluice.dead_letters.log import DeadLetterLog
from sluice.dead_letters.reading import MinuteSegments, OpenDeadLetter, find_minutes, read_batches, read_rows
from sluice.dead_letters.selection import Selection
from sluice.elements import RecordBatch
from sluice.errors import SourceError
from sluice.eventlog.type_log import LOG_FILE

RowsOfSegment = tuple[tuple[str, str], Iterable[OpenDeadLetter]]
"""((event type, address of a segment), open dead letters of its rows)."""


class DeadLetterSource(beam.PTransform):
    """PBegin -> RecordBatch: the records of open dead letters, each with its first origin and arrival.

    A batch holds dead letters of one minute that runs of the same kind rejected. Bounded: dead letters that are
    stored while it reads may be left for the next redelivery.
    """

    bounded = True

    def __init__(self, folder: Url, selection: Selection, quarantine: Url | None = None) -> None:
        """Read `selection` from a job's folder of dead letters and from its quarantine; see `DeadLetterLog.at`."""
        super().__init__()
        self.url = folder
        self.selection = selection
        self.log = DeadLetterLog.at(folder, quarantine, redeliveries=True)

    def check(self) -> None:
        """Raise SourceError if there is no log of dead letters."""
        if LOG_FILE not in self.log.store.list(""):
            message = f"{self.url}: expected the dead letters of a job, got no {LOG_FILE}"
            raise SourceError(message)

    def size(self) -> int | None:
        """Return None: the size of the records is known only when they are read."""
        return None

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Read the dead letters of each minute."""
        return (
            begin
            | "Find minutes" >> _Minutes(self.log)
            | "Read dead letters"
            >> beam.FlatMap(read_batches, self.log, self.selection).with_output_types(RecordBatch)
        )


@dataclass(eq=False)  # Beam sets the label of a transform
class RejectedRows(beam.PTransform):
    """PBegin -> ((event type, address of a segment), open dead letters of the rows of it that were rejected)."""

    log: DeadLetterLog
    selection: Selection

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RowsOfSegment]:
        """Read the dead letters, and bring together those of a segment: they may be of many minutes."""
        return (
            begin
            | "Find minutes" >> _Minutes(self.log)
            | "Read rows"
            >> beam.FlatMap(read_rows, self.log, self.selection).with_output_types(
                tuple[tuple[str, str], OpenDeadLetter]
            )
            | "Group by segment" >> beam.GroupByKey()
        )


@dataclass(eq=False)
class _Minutes(beam.PTransform):
    """PBegin -> MinuteSegments, found where the workers are, and spread over them."""

    log: DeadLetterLog

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[MinuteSegments]:
        """List the log."""
        return (
            begin
            | "Create dead-letter log" >> beam.Create([self.log])
            | "List minutes" >> beam.FlatMap(find_minutes)
            | "Spread minutes" >> beam.Reshuffle()
        )
