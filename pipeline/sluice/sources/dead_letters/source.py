"""Dead letters as a source: records that a job rejected, redelivered with the origin that they had first.

The source reads the open dead letters in the folder that a job's `dead_letters` names, minute by minute.
"""

from __future__ import annotations

import apache_beam as beam

from sluice.config.urls import Url
from sluice.dead_letters.log import DeadLetterLog
from sluice.dead_letters.reading import find_minutes, read_batches
from sluice.dead_letters.selection import Selection
from sluice.elements import RecordBatch
from sluice.errors import SourceError
from sluice.eventlog.type_log import LOG_FILE


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
        """Find the segments where the workers are, and spread them by minute."""
        return (
            begin
            | "Create dead-letter log" >> beam.Create([self.log])
            | "Find minutes" >> beam.FlatMap(find_minutes)
            | "Spread minutes" >> beam.Reshuffle()
            | "Read dead letters"
            >> beam.FlatMap(read_batches, self.log, self.selection).with_output_types(RecordBatch)
        )
