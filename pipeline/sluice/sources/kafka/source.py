"""Kafka as a source: `kafka://host:9092[,host2:9092]/topic?group=NAME[&start=committed|earliest|latest|TIME]`.

A restriction is a partition from an offset on, an element is a batch of records. Partitions are assigned, never
subscribed to: the runner distributes them, and the consumer group only stores their offsets. Only
committed transactions are read. A record without a value, a tombstone of a compacted topic, is not an event: it is
counted in the metric `tombstones` and left out.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration

from sluice.clock import Clock, system_clock
from sluice.elements import ATTRIBUTE_BYTES, OffsetSpan, RecordBatch
from sluice.errors import SourceError
from sluice.provenance import KAFKA_KEY, PartitionProvenance
from sluice.run_state import RunHandle
from sluice.sources.kafka.client import Topic, check_topic
from sluice.sources.kafka.commits import CommitStored, ack_token_of
from sluice.sources.kafka.identity import TopicDescription
from sluice.sources.kafka.reader import WATERMARK_SLACK, PartitionReader, Readers, open_readers
from sluice.sources.kafka.sample import sample_topic
from sluice.sources.streaming import (
    END,
    TRACKER,
    WATERMARK,
    EndlessRestrictions,
    StreamingSource,
    acknowledges_in_process,
    advance,
    find_arrivals,
    finish,
    watermark_of,
)

UNREADABLE = "kafka.headers;unreadable"
"""Attribute in place of the headers of a record that cannot be read."""

_BATCH_RECORDS = 2_000
_BATCH_BYTES = 4 << 20
_BUNDLE_RECORDS = 20_000
_BUNDLE_BYTES = 16 << 20
_BUNDLE_SECONDS = 0.25
"""A bundle ends soon, so that its records are processed, the watermark advances and the limit of memory is asked."""

_PAUSE = Duration(seconds=0.5)
"""Until the next look at a partition that has been read to its end, or whose reading is suspended."""

_SHORT_PAUSE = Duration(seconds=0.1)
"""Until the next look at a partition whose records are on their way from the broker."""

_DISCOVERY = Duration(seconds=1)
"""How often new partitions are looked for, and how far, at most, that delays the watermark."""

_TOMBSTONES = Metrics.counter("sluice", "tombstones")


class KafkaSource(StreamingSource):
    """PBegin -> RecordBatch: the records of a topic, at their log time.

    Offsets are Kafka's, attributes are headers and key, the arrival of a record is its log time (`CreateTime` or
    `LogAppendTime`, as the topic has it). The watermark of a partition is the latest log time read, less two seconds;
    where nothing is left to read it follows the clock. At least once: the offsets of stored records are committed for
    the group, and records that are read twice are removed as duplicates by the event log.
    """

    def __init__(self, topic: Topic, clock: Clock = system_clock) -> None:
        """Read `topic`."""
        super().__init__()
        self.topic = topic
        self._clock = clock

    def check(self) -> None:
        """Raise SourceError if no broker answers, or the topic is not there."""
        check_topic(self.topic)

    def sample(self, number: int) -> Iterator[RecordBatch]:
        """Yield at most `number` of the records that the topic holds, the earliest of each partition."""
        return sample_topic(self.topic, number)

    def acknowledge(self) -> beam.PTransform:
        """Return the step that commits the offsets of stored records, where the source's process does not know them."""
        return CommitStored(self.topic)

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Discover the partitions, also those that are added later, and read each."""
        arguments = (self.topic, self._clock, self.handle)
        read = AckTokenRead if acknowledges_in_process(begin.pipeline.options) else OffsetSpanRead
        return (
            begin
            | "Start" >> beam.Impulse()
            | "Find partitions" >> beam.ParDo(PartitionDiscovery(*arguments, drains=read is AckTokenRead))
            | "Spread partitions" >> beam.Reshuffle()
            | "Read partitions" >> beam.ParDo(read(*arguments)).with_output_types(RecordBatch)
        )


class DiscoveredPartition(NamedTuple):
    """A partition to read from the offset `start` on. All its records arrived after `since`, in epoch seconds.

    The offset is one of the topic with the id `topic_id`, which is empty where brokers have no topic ids.
    """

    number: int
    since: float
    start: int
    topic_id: str = ""


class _KafkaDoFn(beam.DoFn, EndlessRestrictions):
    """A splittable DoFn that uses the readers of its run in this process."""

    def __init__(self, topic: Topic, clock: Clock, handle: RunHandle) -> None:
        """`handle` finds the state of the run."""
        self._topic = topic
        self._clock = clock
        self._handle = handle

    def _readers(self) -> Readers:
        return open_readers(self._topic, self._clock, self._handle.state)


class PartitionDiscovery(_KafkaDoFn):
    """Impulse -> DiscoveredPartition: the existing partitions, and those that are added while the job runs.

    Its restriction counts partitions, since they are numbered and never removed. Its watermark is the time of the
    last look, so that it cannot run ahead of the records of a new partition.

    If the topic was deleted and created again, the job ends with an error. With `drains`, what was read of the former
    one is stored before.
    """

    def __init__(self, topic: Topic, clock: Clock, handle: RunHandle, *, drains: bool = False) -> None:
        """`handle` finds the state of the run."""
        super().__init__(topic, clock, handle)
        self._drains = drains

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self,
        _impulse: bytes,
        tracker: Any = TRACKER,
        watermark: Any = WATERMARK,
    ) -> Iterator[TimestampedValue]:
        """Look for new partitions once."""
        with self._handle.state.activity.at_work():
            yield from self._discover(tracker, watermark)

    def _discover(self, tracker: Any, watermark: Any) -> Iterator[TimestampedValue]:
        if self._handle.state.draining.is_set():
            finish(tracker)
            return
        readers = self._readers()
        asked, since = self._clock(), watermark_of(watermark)
        known = tracker.current_restriction().start
        topic = self._look(readers)
        if topic is None:
            tracker.defer_remainder(_DISCOVERY)
            return
        for number in range(known, topic.partitions):
            if not tracker.try_claim(number):
                return
            readers.watermark.advance(number, since)
            start = readers.start_offset(number, topic.id, new=known > 0)
            yield TimestampedValue(DiscoveredPartition(number, since, start, topic.id), since)
        advance(watermark, asked - WATERMARK_SLACK)
        tracker.defer_remainder(_DISCOVERY)

    def _look(self, readers: Readers) -> TopicDescription | None:
        try:
            return readers.look()
        except SourceError as error:
            if not self._drains:
                raise
            self._handle.state.fail(error)
            return None


class _PartitionRead(_KafkaDoFn):
    def initial_restriction(self, element: DiscoveredPartition) -> OffsetRange:
        """Begin at the offset that `start` meant when the partition was discovered."""
        return OffsetRange(element.start, END)

    def _read(
        self, partition: DiscoveredPartition, reader: PartitionReader, tracker: Any, progress: float
    ) -> Iterator[tuple[RecordBatch | None, int]]:
        """Claim and yield batches, or None for offsets without a record, each with the offset behind it.

        Raises:
            SourceError: the topic was deleted and created again, or the partition ends before the position.

        """
        left, room, deadline = _BUNDLE_RECORDS, _BUNDLE_BYTES, time.monotonic() + _BUNDLE_SECONDS
        end = reader.position
        while left > 0 and room > 0 and time.monotonic() < deadline:
            messages = reader.read(left)
            if messages and not self._readers().identity.confirm(partition.topic_id, time.monotonic()):
                reader.seek(end)  # they are read again once a broker answers
                return
            left -= len(messages)
            for chunk in cut(messages):
                end = chunk[-1].offset() + 1
                if not tracker.try_claim(end - 1):
                    return
                batch = make_batch(self._topic.uri, partition, chunk, progress, self._clock())
                if batch is not None:
                    reader.observe(max(batch.provenance.arrivals))
                    room -= batch.footprint
                yield batch, end
            if reader.position > end:
                end = reader.position
                if not tracker.try_claim(end - 1):
                    return
                yield None, end
            if reader.caught_up:
                return


def _pause(reader: PartitionReader) -> Duration | None:
    if not reader.caught_up:
        return None
    return _SHORT_PAUSE if reader.waiting else _PAUSE


class AckTokenRead(_PartitionRead):
    """DiscoveredPartition -> RecordBatch with an ack token; offsets are committed once all below them is stored."""

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self,
        partition: DiscoveredPartition,
        tracker: Any = TRACKER,
        watermark: Any = WATERMARK,
    ) -> Iterator[TimestampedValue]:
        """Read the records that have arrived; end when the run drains."""
        with self._handle.state.activity.at_work():
            yield from self._read_partition(partition, tracker, watermark)

    def _read_partition(
        self, partition: DiscoveredPartition, tracker: Any, watermark: Any
    ) -> Iterator[TimestampedValue]:
        readers = self._readers()
        if self._handle.state.draining.is_set():
            readers.watermark.remove(partition.number)
            finish(tracker)
            return
        reader = readers.reader(partition.number, tracker.current_restriction().start)
        progress = max(partition.since, reader.progress)
        advance(watermark, readers.watermark.advance(partition.number, progress))
        acks = self._handle.state.acks
        full = acks.is_full()
        try:
            for batch, end in self._read(partition, reader, tracker, progress) if not full else ():
                on_stored = reader.offsets.add(end)
                if batch is None:
                    on_stored()
                    continue
                ack_token = acks.issue(len(batch.records), batch.footprint, on_stored)
                yield TimestampedValue(replace(batch, ack_token=ack_token), max(progress, batch.arrival))
        except SourceError as error:
            self._handle.state.fail(error)  # what was read cannot be read again, so it is stored first
        readers.commits.request(partition.number, reader.offsets.stored, partition.topic_id)
        readers.commits.poll()
        tracker.defer_remainder(_PAUSE if full else _pause(reader))


class OffsetSpanRead(_PartitionRead):
    """DiscoveredPartition -> RecordBatch with its offset span, which `CommitStored` commits once all is stored."""

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self,
        partition: DiscoveredPartition,
        tracker: Any = TRACKER,
        watermark: Any = WATERMARK,
    ) -> Iterator[TimestampedValue]:
        """Read the records that have arrived; end when the run drains."""
        if self._handle.state.draining.is_set():
            finish(tracker)
            return
        start = tracker.current_restriction().start
        reader = self._readers().reader(partition.number, start)
        progress = max(partition.since, reader.progress, watermark_of(watermark))
        advance(watermark, progress)
        for read, end in self._read(partition, reader, tracker, progress):
            batch = read or RecordBatch(
                [],
                PartitionProvenance(
                    self._topic.uri, progress, partition.number, [], [], topic_id=partition.topic_id
                ),
            )
            offset_span = OffsetSpan(start, end, first=start == partition.start)
            batch = replace(batch, ack_token=ack_token_of(partition.number, end), offset_span=offset_span)
            yield TimestampedValue(batch, max(progress, batch.arrival))
            start = end
        tracker.defer_remainder(_pause(reader))


def cut(messages: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield `messages` in parts of at most _BATCH_RECORDS, each ended by the one that reaches _BATCH_BYTES.

    Keys and headers count, too: a record can consist of nothing else.
    """
    start = size = 0
    for index, message in enumerate(messages, 1):
        size += len(message) + len(message.key() or b"")
        for name, value in _headers(message):
            size += ATTRIBUTE_BYTES + len(name) + len(value or b"")
        if size >= _BATCH_BYTES or index - start >= _BATCH_RECORDS:
            yield messages[start:index]
            start, size = index, 0
    if start < len(messages):
        yield messages[start:]


def make_batch(
    uri: str, partition: DiscoveredPartition, messages: Sequence[Any], watermark: float, now: float
) -> RecordBatch | None:
    """Return the records of `messages` that have a value; None if none has.

    A record without a log time that can be stored has arrived `now`, in epoch seconds, as `watermark` is.
    """
    valued = [message for message in messages if message.value() is not None]
    if len(valued) < len(messages):
        _TOMBSTONES.inc(len(messages) - len(valued))
    if not valued:
        return None
    # Brokers take any number from a producer; -1 is what records written before Kafka 0.10 have.
    arrivals = find_arrivals([message.timestamp()[1] / 1000 for message in valued], watermark, now)
    attributes = [attributes_of(message.key(), _headers(message)) for message in valued]
    provenance = PartitionProvenance(
        uri=uri,
        arrival=min(arrivals.times),
        partition=partition.number,
        offsets=[message.offset() for message in valued],
        arrivals=arrivals.times,
        attributes=attributes if any(attributes) else None,
        topic_id=partition.topic_id,
        untimed=arrivals.unknown,
    )
    return RecordBatch([message.value() for message in valued], provenance)


def _headers(message: Any) -> Sequence[tuple[str, bytes | None]]:
    """Return the headers of a message; the client raises if one of their names is not UTF-8."""
    try:
        return message.headers() or ()
    except UnicodeDecodeError as error:
        return [(UNREADABLE, str(error).encode())]


def attributes_of(key: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> Mapping[str, str]:
    """Return a record's headers, and its key as KAFKA_KEY.

    A value that is not UTF-8, or has a zero character, is in base64, under its name with `;base64` behind. A header
    without a value is empty. Of headers with the same name the second is `NAME#2`, and so on.
    """
    if key is None and not headers:
        return {}
    attributes: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for header, value in ((KAFKA_KEY, key), *headers) if key is not None else headers:
        text, is_text = _text(value or b"")
        name = base = header if is_text else f"{header};base64"
        while name in attributes:  # from the last number on: a record may have a name thousands of times
            numbers[base] = numbers.get(base, 1) + 1
            name = f"{base}#{numbers[base]}"
        attributes[name] = text
    return attributes


def _text(value: bytes) -> tuple[str, bool]:
    """Return a value as text, and whether it is the value itself; otherwise it is in base64."""
    try:
        if b"\0" not in value:
            return value.decode(), True
    except UnicodeDecodeError:
        pass
    return base64.b64encode(value).decode(), False
