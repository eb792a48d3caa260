"""What travels between the steps of the graph. An element is a batch, never a single event.

Beam costs microseconds for each element and msgspec less than one for each event, so records move in
batches, and what crosses a shuffle is compressed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

Acks = Mapping[int, int]
"""Ticket -> how many records of its batch are stored, or owed once something is. Empty where sources need none."""

DEAD_LETTER = "dead_letter"
"""Event type of dead letters, which have a log and a table of their own."""

REDELIVERY = "redelivery"
"""Event type of redelivery entries, which are in the log of the dead letters only."""

QUARANTINE = "quarantine"
"""Event type of dead letters that cannot be searched for values to mask, which are in a log of their own only."""

INTERNAL_TYPES = frozenset({DEAD_LETTER, REDELIVERY, QUARANTINE})
"""What Sluice itself writes; not counted as events."""


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


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one record came from: enough to find it again, and part of a dead letter's deduplication key.

    `offset` is the byte offset of the record in a file (decompressed), or its Kafka offset; `line` is 1-based
    where it is known; `arrival` is when the source received the record, in epoch seconds: publish time, log
    time or the file's modification time. `redelivery` is set on a record that is redelivered.
    """

    uri: str
    arrival: float
    partition: int | None = None
    offset: int | None = None
    line: int | None = None
    message_id: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    redelivery: RedeliveryOrigin | None = None


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """How the rows of a CSV file become objects: the names in its header, its delimiter, its encoding.

    `encoding` is utf-8, cp1252 (Windows-1252), or empty if the first rows are ASCII and could be either.
    """

    columns: tuple[str, ...]
    delimiter: str
    encoding: str


@dataclass(frozen=True, slots=True)
class RedeliveryBatch:
    """What the records of a batch of dead letters have in common, and the first origin of each.

    `started` is when the run that rejected them began, in epoch seconds; None if its source had no end. `protected`
    are the paths of values that were protected then, such as `items[].email`.
    """

    origins: Sequence[Origin]
    started: float | None
    masked: frozenset[str] = frozenset()


class OffsetSpan(NamedTuple):
    """What a batch covers of its partition: all offsets from `start` up to `end`, also those that no record has.

    The next claim starts where this one ends; the `first` one, where the job began to read.
    """

    start: int
    end: int
    first: bool


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records as they arrived, and where each came from.

    `records` are the exact bytes, without the line feed that ended them: JSON, or rows of a `layout`.
    `offsets` holds one number a record
    (see `Origin.offset`). `arrivals`, `lines`, `message_ids` and `attributes` are None where a source has no such
    thing for each record; `arrival` then stands for all of them. `ticket` names the batch to its source, if that
    acknowledges what is stored; on a cluster a batch may also have a `claim`, and then no records. `redelivered` is
    set on a batch of dead letters.
    """

    uri: str
    records: Sequence[bytes]
    offsets: Sequence[int]
    arrival: float
    partition: int | None = None
    arrivals: Sequence[float] | None = None
    lines: Sequence[int] | None = None
    message_ids: Sequence[str] | None = None
    attributes: Sequence[Mapping[str, str]] | None = None
    ack_token: int | None = None
    offset_span: OffsetSpan | None = None
    dialect: CsvDialect | None = None
    redelivered: RedeliveryBatch | None = None

    @property
    def size(self) -> int:
        """Bytes of all records."""
        return sum(map(len, self.records))

    def acks(self, records: int) -> Acks:
        """Return what `records` of the batch owe to its source once they are stored."""
        return {} if self.ack_token is None else {self.ack_token: records}

    def origin(self, index: int) -> Origin:
        """Where record `index` (0-based) came from."""
        if self.redelivered is not None:
            return self.redelivered.origins[index]
        return Origin(
            uri=self.uri,
            arrival=self.arrivals[index] if self.arrivals is not None else self.arrival,
            partition=self.partition,
            offset=self.offsets[index] if self.message_ids is None else None,
            line=self.lines[index] if self.lines is not None else None,
            message_id=self.message_ids[index] if self.message_ids is not None else None,
            attributes=self.attributes[index] if self.attributes is not None else {},
        )


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a record breaks its contract: `path` is dotted, as in `items.0.price`; '' is the record."""

    code: str
    path: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Segment:
    """An immutable file of the log: the accepted lines of one event type and minute, in order.

    `id` hashes event type, minute and content: the same events appended anywhere have the same id. `minute` is in
    epoch seconds. `lines` have no line feed.
    """

    id: str
    event_type: str
    path: str
    minute: int
    lines: Sequence[bytes]

    @property
    def size(self) -> int:
        """Bytes of all lines, without line feeds."""
        return sum(map(len, self.lines))


class LogKey(NamedTuple):
    """What events must share to be appended together; `minute` is in epoch seconds, UTC."""

    event_type: str
    minute: int
    shard: int


@dataclass(frozen=True, slots=True)
class OrderedLines:
    """Lines of one log key that stood in one record batch, in order; `uri` and `offset` say where they began."""

    uri: str
    offset: int
    lines: list[bytes]
    acks: Acks = field(default_factory=dict)
    """What is owed once the lines are stored."""

    @property
    def size(self) -> int:
        """Bytes of all lines, without line feeds."""
        return sum(map(len, self.lines))


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Accepted lines on their way to one folder of the log, with enough origin to put them in order again."""

    parts: Sequence[OrderedLines]

    @property
    def size(self) -> int:
        """Bytes of all lines, without line feeds."""
        return sum(part.size for part in self.parts)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that did not become an event: the exact bytes, where they came from, and every reason."""

    record: bytes
    origin: Origin
    step: str
    violations: Sequence[Violation]
    event_type: str | None = None
    contract: str | None = None
    event_time: datetime | None = None
    """In UTC, when the record has a readable event time."""
    partition_minutes: int = 1
    """Minutes in one folder of its event type's log; the dead letter is placed as coarsely."""
    acks: Acks = field(default_factory=dict)
    """What is owed once the record's dead letter is stored."""
    dialect: CsvDialect | None = None
    masked: frozenset[str] = frozenset()
    """Paths of the values that were protected, such as `items[].email`."""
    quarantine: bytes | None = None
    """Keyed hash of a record that cannot be searched for values to protect, and still has them."""

    @property
    def size(self) -> int:
        """Bytes of the record."""
        return len(self.record)


@dataclass(frozen=True, slots=True)
class StepCounts:
    """What one step counted: `counts` maps (figure, event type or reject code) to a number.

    `first` and `last` are the earliest and latest event time of accepted events, in epoch seconds.
    """

    counts: Mapping[tuple[str, str], int]
    first: float | None = None
    last: float | None = None


def add_acks(acks: Iterable[Acks]) -> Acks:
    """Return the sum of `receipts`, ticket by ticket."""
    total: Counter[int] = Counter()
    for each in acks:
        total.update(each)
    return total


def add_step_counts(tallies: Iterable[StepCounts]) -> StepCounts:
    """Return the sum of `tallies`: counts added up, the span of times widened. Associative, commutative."""
    counts: Counter[tuple[str, str]] = Counter()
    firsts, lasts = [], []
    for tally in tallies:
        counts.update(tally.counts)
        firsts += [tally.first] if tally.first is not None else []
        lasts += [tally.last] if tally.last is not None else []
    return StepCounts(dict(counts), min(firsts, default=None), max(lasts, default=None))
