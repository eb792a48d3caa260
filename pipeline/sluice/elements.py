"""What passes between the steps of the graph. An element is a batch, never a single event.

Beam costs microseconds for each element and msgspec less than one for each event, so records move in
batches, and what crosses a shuffle is compressed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sluice.line_block import size_of
from sluice.provenance import CsvDialect, CsvProvenance, Origin, Provenance, RedeliveryProvenance, Source
from sluice.source_tallies import SourceTallies, SourceTally
from sluice.timeline import LatestWindows, Timeline, WindowEvents

Acks = Mapping[int, int]
"""Ack token of a batch -> how many of its records are stored, or will be once something is. Empty without tokens."""

DEAD_LETTER = "dead_letter"
"""Event type of dead letters, which have a log and a table of their own."""

REDELIVERY = "redelivery"
"""Event type of redelivery entries, which are in the log of the dead letters, and have a table of their own."""

QUARANTINE = "quarantine"
"""Event type of dead letters that cannot be searched for values to mask, which are in a log of their own only."""

SOURCE_FILE = "source_file"
"""Event type of the rows of manifests, which have a log and a table of their own."""

INTERNAL_TYPES = frozenset({DEAD_LETTER, REDELIVERY, QUARANTINE, SOURCE_FILE})
"""What Sluice itself writes; not counted as events."""


class OffsetSpan(NamedTuple):
    """The offsets that a batch covers in its partition: from `start` up to `end`, including those without a record.

    The next span starts where this one ends. The `first` one starts where the job began to read.
    """

    start: int
    end: int
    first: bool


RECORD_BYTES = 150
"""What Python keeps of a record besides its bytes: the object, its offset and its arrival in three lists."""

ATTRIBUTE_BYTES = 150
"""What Python keeps of an attribute besides its text: two objects, and their place in a dictionary."""


def attributes_footprint(attributes: Mapping[str, str]) -> int:
    """Return about how many bytes of memory the attributes of a record take."""
    texts = (text for pair in attributes.items() for text in pair)
    return ATTRIBUTE_BYTES * len(attributes) + sum(
        len(text) if text.isascii() else len(text.encode()) for text in texts
    )


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records as they arrived, and where each came from.

    `records` are the exact bytes, without the line feed that ended them: JSON, or rows of a `dialect`. `ack_token`
    identifies the batch to a source that acknowledges what is stored. A source that acknowledges offsets on a cluster
    adds an `offset_span`; such a batch may have no records.
    """

    records: Sequence[bytes]
    provenance: Provenance
    ack_token: int | None = None
    offset_span: OffsetSpan | None = None

    @property
    def size(self) -> int:
        """Bytes of all records."""
        return size_of(self.records)

    @property
    def footprint(self) -> int:
        """About how many bytes of memory the batch takes: records, attributes, and what Python adds to each."""
        given = getattr(self.provenance, "attributes", None) or ()
        return self.size + RECORD_BYTES * len(self.records) + sum(map(attributes_footprint, given))

    @property
    def arrival(self) -> float:
        """When the source received the first record, in epoch seconds."""
        return self.provenance.arrival

    @property
    def dialect(self) -> CsvDialect | None:
        """How the records are read, if they are rows of CSV."""
        return (
            self.provenance.dialect
            if isinstance(self.provenance, CsvProvenance | RedeliveryProvenance)
            else None
        )

    def acks(self, records: int) -> Acks:
        """Return the acks of `records` records of the batch, due once they are stored."""
        return {} if self.ack_token is None else {self.ack_token: records}

    def origin(self, index: int) -> Origin:
        """Return where record `index` (0-based) came from."""
        return self.provenance.origin(index)


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a record breaks its contract.

    `path` is as `sluice.contracts.path_text` writes it, such as `items.0.price`; '' is the record.
    """

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
    keys: bytes = field(default=b"", compare=False, repr=False)
    """Deduplication keys of the lines, 16 bytes each, if this process has just appended them."""
    plain: bool = field(default=False, compare=False, repr=False)
    """Whether all of its lines are, see `OrderedLines`."""

    @property
    def size(self) -> int:
        """Bytes of all lines, without line feeds."""
        return size_of(self.lines)


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment that is in the log; `EventLog.read` returns its lines. `path` is a full address."""

    event_type: str
    path: str
    minute: int
    id: str


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """Segments of one event type and minute that a warehouse may not have; `acks` are due once all are loaded."""

    segments: Sequence[Segment | StoredSegment]
    acks: Acks = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all lines in it, without line feeds."""
        return sum(segment.size for segment in self.segments if isinstance(segment, Segment))


class LogKey(NamedTuple):
    """What events must share to be appended together; `minute` is in epoch seconds, UTC."""

    event_type: str
    minute: int
    shard: int


@dataclass(frozen=True, slots=True)
class OrderedLines:
    """Lines of one log key that stood in one record batch, in order; `uri` and `offset` say where they begin."""

    uri: str
    offset: int
    lines: Sequence[bytes]
    acks: Acks = field(default_factory=dict)
    """Due once the lines are stored."""
    export_time: float = 0.0
    """When the export that they are from arrived, in epoch seconds: exports are put in order by it first."""
    partition: int | None = None
    """Of the topic at `uri`."""
    plain: bool = False
    """Whether the decoder of this run has accepted the lines, and no value in them has an unusual spelling."""

    @property
    def source(self) -> Source:
        """What the manifest counts the lines for."""
        return Source(self.uri, self.partition)

    @property
    def size(self) -> int:
        """Bytes of all lines, without line feeds."""
        return size_of(self.lines)


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Accepted lines on their way to one folder of the log, with enough origin to put them in order again."""

    ordered_lines: Sequence[OrderedLines]

    @property
    def size(self) -> int:
        """Bytes of all lines, without line feeds."""
        return sum(group.size for group in self.ordered_lines)

    @property
    def plain(self) -> bool:
        """Whether all lines are, see `OrderedLines`."""
        return all(group.plain for group in self.ordered_lines)


@dataclass(frozen=True, slots=True)
class ConflictingLine:
    """A line that was not stored: the segment at address `segment` has its key with other content.

    `content` and `stored_content` are hashes. `uri` is where the line's record came from, and `acks` are due once its
    dead letter is stored.
    """

    log_key: LogKey
    line: bytes
    uri: str
    key: bytes
    content: bytes
    stored_content: bytes
    segment: str
    acks: Acks


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
    """Due once the record's dead letter is stored."""
    dialect: CsvDialect | None = None
    masked: frozenset[str] = frozenset()
    """Paths of the values that are masked in it, such as `items[].email`."""
    quarantine_hash: bytes | None = None
    """Keyed hash of a record for the quarantine: it cannot be searched for values to mask, so they are raw in it."""
    identity: bytes | None = None
    """What makes its dead letter the same one; None: the record and where it came from."""

    @property
    def size(self) -> int:
        """Bytes of the record."""
        return len(self.record)


@dataclass(frozen=True, slots=True)
class StepCounts:
    """What one step counted: `counts` maps (figure, event type or reject code) to a number.

    `first` and `last` are the earliest and latest event time of accepted events, in epoch seconds. `windows` are
    those of the events that were loaded; in a sum they become wider as there are more of them, and `latest` has the
    last of them as they were, see `timeline`. `sources` has what the step did, for the manifest.
    """

    counts: Mapping[tuple[str, str], int]
    first: float | None = None
    last: float | None = None
    windows: Sequence[WindowEvents] = ()
    sources: Mapping[Source, SourceTally] = field(default_factory=dict)
    latest: Sequence[WindowEvents] = ()
    """Empty but in a sum."""


NAMED_FIGURES = {"reason": 100, "unknown_property": 20, "unknown_type": 20}
"""Figures that are counted by names from the data, of which there can be any number -> names that are kept apart."""

OTHER_NAMES = "(others)"
"""Stands for the names of such a figure that are not counted apart."""


def bound_names(counts: Counter[tuple[str, str]]) -> None:
    """Keep, of each figure in NAMED_FIGURES, the most frequent names, and add the rest up as OTHER_NAMES.

    Sums stay exact. A name that was among the others once, and is frequent later, is counted from then on.
    """
    for figure in NAMED_FIGURES.keys() & {figure for figure, _ in counts}:
        apart = [key for key in counts if key[0] == figure and key[1] != OTHER_NAMES]
        for key in sorted(apart, key=lambda key: (-counts[key], key))[NAMED_FIGURES[figure] :]:
            counts[figure, OTHER_NAMES] += counts.pop(key)


def add_acks(acks: Iterable[Acks]) -> Acks:
    """Return the sum of `acks`, token by token."""
    total: Counter[int] = Counter()
    for records in acks:
        total.update(records)
    return total


_UNBOUNDED_KEYS = 1_000
"""Keys that a sum may have before the names from the data among them are bounded."""


class StepCountsSum:
    """The sum of step counts, added up in place: what it has is not copied for each, however many sources there are."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._counts: Counter[tuple[str, str]] = Counter()
        self._first: float | None = None
        self._last: float | None = None
        self.sources = SourceTallies()
        self._timeline, self._latest = Timeline(), LatestWindows()

    def add(self, step_counts: StepCounts) -> None:
        """Add what one step did."""
        self._counts.update(step_counts.counts)
        if len(self._counts) > _UNBOUNDED_KEYS:
            bound_names(self._counts)
        self._first = min(_known(self._first, step_counts.first), default=None)
        self._last = max(_known(self._last, step_counts.last), default=None)
        self.sources.update(step_counts.sources)
        self._timeline.add(step_counts.windows)
        self._latest.add(step_counts.latest or step_counts.windows)

    def total(self) -> StepCounts:
        """Return the sum so far, with the earliest and the latest time."""
        bound_names(self._counts)
        return StepCounts(
            dict(self._counts),
            self._first,
            self._last,
            tuple(self._timeline.windows()),
            dict(self.sources.by_source),
            tuple(self._latest.windows()),
        )


def _known(*times: float | None) -> list[float]:
    return [time for time in times if time is not None]


def add_step_counts(step_counts: Iterable[StepCounts]) -> StepCounts:
    """Return the sum of `step_counts`, with the earliest and the latest time. Associative and commutative."""
    total = StepCountsSum()
    for counts in step_counts:
        total.add(counts)
    return total.total()
