"""Where records came from: for each record of a batch enough to find it again, and to redeliver it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from typing import NamedTuple

import msgspec

KAFKA_KEY = "kafka.key"
ORDERING_KEY = "orderingKey"
"""Attributes that hold the key of a Kafka record, and the ordering key of a Pub/Sub message."""


class Source(NamedTuple):
    """What a row of the manifest is about: a file, a subscription or another address, or one partition of a topic."""

    uri: str
    partition: int | None = None

    @property
    def order(self) -> tuple[str, int]:
        """What sorts sources: by name, then by number of the partition."""
        return self.uri, -1 if self.partition is None else self.partition


@dataclass(frozen=True, slots=True)
class RedeliveryOrigin:
    """The dead letter that a record is redelivered from: if the record is rejected again, it is the same dead letter.

    `attempt` counts deliveries, this one included. `time` is that of the dead letter, and chooses its folder.
    `run_started` is when the run that first rejected the record began, in epoch seconds; None if its source was
    unbounded. A `quarantined` dead letter stays in the quarantine.
    """

    letter_id: str
    attempt: int
    time: datetime
    run_started: float | None = None
    quarantined: bool = False


class Origin(msgspec.Struct, frozen=True):
    """Where one record came from: enough to find it again, and part of a dead letter's deduplication key.

    `offset` is the byte offset of the record in a file (decompressed), or its Kafka offset; `line` is 1-based
    where it is known; `arrival` is when the source received the record, in epoch seconds: publish time, log
    time or the file's modification time. It is not `timed` if the source gave no time that can be stored: then the
    arrival is when the record was read, and another one when it is read again. `redelivery` is set on a record that is
    redelivered.
    """

    uri: str
    arrival: float
    partition: int | None = None
    offset: int | None = None
    line: int | None = None
    message_id: str | None = None
    attributes: Mapping[str, str] = msgspec.field(default_factory=dict)
    redelivery: RedeliveryOrigin | None = None
    timed: bool = True
    place: int = 0
    """The number of records before it in one reading of a source without offsets, such as an API; else 0."""


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """How the rows of a CSV file become objects: the names in its header, its delimiter, its encoding.

    `encoding` is utf-8, cp1252 (Windows-1252), or empty if the first rows are ASCII and could be either.
    `decimal_commas` are the columns whose numbers have a comma before their decimals, as the first rows show.
    """

    columns: tuple[str, ...]
    delimiter: str
    encoding: str
    decimal_commas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileProvenance:
    """Records of one file: `offsets` are byte offsets in the decompressed file, `arrival` its modification time.

    `size` is that of the file as stored, in bytes; None if nobody knows it. `etag` is that of an object.
    """

    uri: str
    arrival: float
    offsets: Sequence[int]
    size: int | None = field(default=None, kw_only=True)
    etag: str | None = field(default=None, kw_only=True)

    @property
    def source(self) -> Source:
        """The file."""
        return Source(self.uri)

    @property
    def position(self) -> int:
        """Where the batch begins in its source, to put batches in order."""
        return self.offsets[0]

    @property
    def arrivals(self) -> Iterable[float]:
        """The arrival of each record, in epoch seconds."""
        return repeat(self.arrival)

    @property
    def export_time(self) -> float:
        """The arrival of the export that the batch is a part of: of two exports the later one counts."""
        return self.arrival

    def origin(self, index: int) -> Origin:
        """Return where record `index` (0-based) came from."""
        return Origin(self.uri, self.arrival, offset=self.offsets[index])


@dataclass(frozen=True, slots=True)
class RowProvenance(FileProvenance):
    """Rows of an Avro or Parquet file: `offsets` are the numbers of the rows, from 0."""

    def origin(self, index: int) -> Origin:
        """Return where row `index` (0-based) of the batch came from; its line is the number of the row, from 1."""
        row = self.offsets[index]
        return Origin(self.uri, self.arrival, offset=row, line=row + 1)


@dataclass(frozen=True, slots=True)
class CsvProvenance(FileProvenance):
    """Rows of one CSV file: `lines` are the 1-based lines at which they begin."""

    lines: Sequence[int]
    dialect: CsvDialect

    def origin(self, index: int) -> Origin:
        """Return where row `index` (0-based) came from."""
        return Origin(self.uri, self.arrival, offset=self.offsets[index], line=self.lines[index])


@dataclass(frozen=True, slots=True)
class PartitionProvenance:
    """Records of one partition of a topic, found again by their offsets.

    `topic_id` distinguishes the topic from others of its name, which have other records at the same offsets; it is
    empty where brokers have no topic ids. `arrivals` are their log times and `arrival` is the earliest, in epoch
    seconds. `attributes` are their headers and keys; None if no record has any.
    """

    uri: str
    arrival: float
    partition: int
    offsets: Sequence[int]
    arrivals: Sequence[float]
    attributes: Sequence[Mapping[str, str]] | None = None
    topic_id: str = ""
    untimed: frozenset[int] = frozenset()
    """Indexes of the records whose source gave no time that can be stored."""

    @property
    def source(self) -> Source:
        """The partition."""
        return Source(self.uri, self.partition)

    @property
    def position(self) -> int:
        """Where the batch begins in its source, to put batches in order."""
        return self.offsets[0]

    @property
    def export_time(self) -> float:
        """0, since a partition has no exports; its order is that of its offsets."""
        return 0.0

    def origin(self, index: int) -> Origin:
        """Return where record `index` (0-based) came from."""
        offset = self.offsets[index]
        return Origin(
            self.uri,
            self.arrivals[index],
            partition=self.partition,
            offset=offset,
            message_id=f"{self.uri}/{self.partition}/{offset}/{self.topic_id}" if self.topic_id else None,
            attributes=self.attributes[index] if self.attributes is not None else {},
            timed=index not in self.untimed,
        )


@dataclass(frozen=True, slots=True)
class MessageProvenance:
    """Messages, documents or pages, found again by the identifier that their source gives each.

    `arrivals` are their publish times and `arrival` is the earliest, in epoch seconds. `position` puts batches of
    one source in order.
    """

    uri: str
    arrival: float
    message_ids: Sequence[str]
    arrivals: Sequence[float]
    attributes: Sequence[Mapping[str, str]] | None = None
    position: int = 0
    untimed: frozenset[int] = frozenset()
    """Indexes of the records whose source gave no time that can be stored."""
    in_places: bool = False
    """The source is read in an order that means something, and `position` counts the records before the batch."""

    @property
    def source(self) -> Source:
        """The subscription, collection or API."""
        return Source(self.uri)

    @property
    def export_time(self) -> float:
        """0, since messages are no exports; their order is that of their batches."""
        return 0.0

    def origin(self, index: int) -> Origin:
        """Return where message `index` (0-based) came from."""
        return Origin(
            self.uri,
            self.arrivals[index],
            message_id=self.message_ids[index],
            attributes=self.attributes[index] if self.attributes is not None else {},
            timed=index not in self.untimed,
            place=self.position + index if self.in_places else 0,
        )


@dataclass(frozen=True, slots=True)
class RedeliveryProvenance:
    """Records of dead letters: the first origin of each, and what they have in common.

    `run_started` is when the run that rejected them began, in epoch seconds; None if its source was unbounded.
    `masked` are the paths of values that were masked then, such as `items[].email`.
    """

    origins: Sequence[Origin]
    run_started: float | None
    masked: frozenset[str] = frozenset()
    dialect: CsvDialect | None = None

    @property
    def uri(self) -> str:
        """The source of the first record."""
        return self.origins[0].uri

    @property
    def source(self) -> Source:
        """The source of the first record; no manifest tells of a redelivery."""
        return Source(self.uri)

    @property
    def arrival(self) -> float:
        """The arrival of the first record, in epoch seconds."""
        return self.origins[0].arrival

    @property
    def position(self) -> int:
        """Where the batch begins in its source, to put batches in order."""
        return self.origins[0].offset or 0

    @property
    def export_time(self) -> float:
        """The arrival of the first record, which may be that of its file."""
        return self.arrival

    @property
    def arrivals(self) -> Sequence[float]:
        """The arrival of each record, in epoch seconds."""
        return [origin.arrival for origin in self.origins]

    def origin(self, index: int) -> Origin:
        """Return where record `index` (0-based) came from at first."""
        return self.origins[index]


Provenance = FileProvenance | CsvProvenance | PartitionProvenance | MessageProvenance | RedeliveryProvenance
