"""Dead letters as a source: records that a job rejected, redelivered with the origin that they had first.

`dead-letters:URL` reads the open dead letters in the folder that a job's `dead_letters` names, minute by minute.
A query chooses among them, such as `?code=enum&event_type=order`.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, unquote

import apache_beam as beam

from sluice.dead_letters.log import DeadLetterLog
from sluice.dead_letters.reading import find_minutes, read_batches
from sluice.dead_letters.selection import Selection, make_selection
from sluice.elements import QUARANTINE, RecordBatch
from sluice.errors import SourceError
from sluice.eventlog.type_log import LOG_FILE

SCHEME = "dead-letters"

_UNQUOTED = "/:.-_~@+=, "


def source_url(folder: str, selection: Selection, quarantine: str | None = None) -> str:
    """Return the URL of the source that reads `selection` from `folder`; see `DeadLetterLog.at`."""
    query = [(name, value) for name, values in selection.values.items() for value in sorted(values)]
    if selection.since is not None:
        query.append(("since", selection.since.isoformat()))
    if quarantine is not None:
        query.append((QUARANTINE, quarantine))
    text = "&".join(f"{name}={quote(value)}" for name, value in query)
    return f"{SCHEME}:{quote(folder, safe=_UNQUOTED)}{'?' if text else ''}{text}"


class DeadLetterSource(beam.PTransform):
    """PBegin -> RecordBatch: the records of open dead letters, each with its first origin and arrival.

    A batch holds dead letters of one minute that runs of the same kind rejected. Bounded: dead letters that are
    stored while it reads may be left for the next redelivery.
    """

    bounded = True

    def __init__(self, url: str) -> None:
        """Take `dead-letters:FOLDER?name=value&…`; ConfigError if a name is unknown."""
        super().__init__()
        folder, _, query = url.removeprefix(f"{SCHEME}:").partition("?")
        self.url = unquote(folder)
        parameters = parse_qsl(query, keep_blank_values=True)
        self.selection = make_selection(
            [(name, text) for name, text in parameters if name != QUARANTINE], url
        )
        self.log = DeadLetterLog.at(self.url, dict(parameters).get(QUARANTINE), redeliveries=True)

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
