"""Sources: where records come from. One file for each kind, chosen by the scheme of its URL."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import apache_beam as beam

from sluice.elements import RecordBatch
from sluice.errors import ConfigError
from sluice.sources.dead_letters.source import DeadLetterSource
from sluice.sources.files.source import FileSource
from sluice.sources.http_api.source import HttpSource
from sluice.sources.kafka.source import KafkaSource
from sluice.sources.mongodb.source import MongoSource
from sluice.sources.pubsub.source import PubSubSource

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?")


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
    """A source that the graph can tell what is stored, where its steps do not share a process with it."""

    def acknowledge(self) -> beam.PTransform:
        """Return the step for `graph.Run.acknowledge`."""
        ...


SOURCES: dict[str, Callable[[str], Source]] = {
    "dead-letters": DeadLetterSource,
    "file": FileSource,
    "gs": FileSource,
    "http": HttpSource,
    "https": HttpSource,
    "kafka": KafkaSource,
    "mongodb": MongoSource,
    "mongodb+srv": MongoSource,
    "pubsub": PubSubSource,
    "s3": FileSource,
}
"""Scheme -> source. What has no scheme is a local path."""


def open_source(url: str) -> Source:
    """Return the source at `url`. Touches nothing yet: see `Source.check`.

    Raises:
        ConfigError: the scheme is unknown, or its client is not installed.

    """
    match = _SCHEME.match(url)
    scheme = match[1] if match is not None else "file"
    if scheme in SOURCES:
        return SOURCES[scheme](url)
    if match is not None and match[2]:
        known = ", ".join(f"{name}{':' if name == 'dead-letters' else '://'}" for name in sorted(SOURCES))
        message = f"{url}: expected a path or one of {known}, got the scheme {scheme!r}"
        raise ConfigError(message)
    return SOURCES["file"](url)  # a path may hold a colon
