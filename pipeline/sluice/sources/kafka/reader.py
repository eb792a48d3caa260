"""The state of the Kafka source in a process between bundles: a reader for each partition, and the commits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sluice.clock import Clock
from sluice.errors import SourceError
from sluice.retry import wait_until
from sluice.run_state import RunState
from sluice.sources.kafka.client import (
    ANSWER_SECONDS,
    Outage,
    Topic,
    client_settings,
    commit_metadata,
    find_start,
    make_consumer,
    reason_of,
)
from sluice.sources.kafka.identity import TopicDescription, TopicIdentity, another_topic
from sluice.sources.kafka.prefix import ReadOffsets
from sluice.sources.streaming import EARLIEST, END, SharedWatermark

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka import ConsumerGroupTopicPartitions
    from confluent_kafka.admin import AdminClient

_LOGGER = logging.getLogger("sluice")

WATERMARK_SLACK = 2.0
"""Seconds by which the watermark stays below the latest log time, and below the clock of an idle partition:
records of several producers are out of order by about as much."""

_LOOK_SECONDS = 1.0
"""How often the broker is asked for the end of an idle partition."""

_QUICK_ANSWER_SECONDS = 0.5
"""How long a bundle waits for that answer; a later bundle asks again."""

_COMMIT_SECONDS = 1.0

_CLOSE_SECONDS = 20.0
"""How long the last commit is retried: a client that has lost its broker notices it in its first attempt."""

_CLOSE_PAUSE_SECONDS = 0.5


class Position(NamedTuple):
    """An offset of the topic with this id, which is empty where brokers have no topic ids."""

    offset: int
    topic_id: str


class Commits:
    """The offsets of a consumer group: committed about once a second, without waiting for the broker.

    A failed commit is a warning: no record is lost, some are only read again and removed as duplicates.
    Commits use the admin client, because a consumer with a commit in flight cannot be closed for 45 s while the
    broker is down.
    """

    def __init__(self, topic: Topic) -> None:
        """Commit for the group of `topic`."""
        self._topic = topic
        self._admin: AdminClient | None = None
        self._lock = threading.Lock()
        self._requested: dict[int, Position] = {}
        self._sent: dict[int, Position] = {}
        self._answer: Future[ConsumerGroupTopicPartitions] | None = None
        self._next = 0.0
        self._warned = False

    def request(self, partition: int, offset: int, topic_id: str = "") -> None:
        """Request the commit of an offset below which all is stored, of the topic with this id.

        A lower offset of this topic than before has no effect.
        """
        with self._lock:
            before = self._requested.get(partition)
            if before is None or before.topic_id != topic_id or before.offset < offset:
                self._requested[partition] = Position(offset, topic_id)

    def partitions(self) -> list[int]:
        """Return the partitions whose offsets are committed here."""
        with self._lock:
            return list(self._requested)

    def poll(self) -> None:
        """Receive the answer to the last commit, and send the next one when it is due."""
        with self._lock:
            if self._answer is not None and self._answer.done():
                self._receive(self._answer)
            new = self._unsent()
            if self._answer is None and new and time.monotonic() >= self._next:
                self._next = time.monotonic() + _COMMIT_SECONDS
                self._answer = self._send(new)

    def flush(self) -> bool:
        """Commit all requested offsets and wait for the answer; return False if that failed."""
        with self._lock:
            if self._answer is not None:
                self._receive(self._answer)
            new = self._unsent()
            if new:
                self._receive(self._send(new))
            return self._sent == self._requested

    def _unsent(self) -> dict[int, Position]:
        return {part: at for part, at in self._requested.items() if self._sent.get(part) != at}

    def _send(self, positions: dict[int, Position]) -> Future[ConsumerGroupTopicPartitions]:
        from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
        from confluent_kafka.admin import AdminClient

        self._admin = self._admin or AdminClient(client_settings(self._topic))
        group, name = self._topic.group, self._topic.name
        parts = [
            TopicPartition(name, part, at.offset, metadata=commit_metadata(at.topic_id))
            for part, at in positions.items()
        ]
        request = [ConsumerGroupTopicPartitions(group, parts)]
        answers = self._admin.alter_consumer_group_offsets(request, request_timeout=ANSWER_SECONDS)
        self._sent |= positions
        return answers[group]

    def _receive(self, answer: Future[ConsumerGroupTopicPartitions]) -> None:
        from confluent_kafka import KafkaException

        self._answer = None
        try:
            errors = [part.error for part in answer.result().topic_partitions or () if part.error is not None]
            reason = errors[0].str() if errors else None
        except KafkaException as error:
            reason = reason_of(error)
        if reason is None:
            self._warned = False
            return
        self._sent.clear()
        self._admin = None  # a client that has lost its broker never finds the group's coordinator again
        if not self._warned:
            _LOGGER.warning(
                "%s: cannot commit the offsets of the group %s: %s; retrying. Nothing is lost: after a restart "
                "records are read again and removed as duplicates",
                *(self._topic.uri, self._topic.group, reason),
            )
            self._warned = True


class PartitionReader:
    """Reads one partition, from any offset on. Used by one bundle at a time."""

    def __init__(self, topic: Topic, partition: int, outage: Outage, clock: Clock, run: RunState) -> None:
        """Prepare the client; nothing is connected yet."""
        from confluent_kafka import TopicPartition

        self.progress = EARLIEST
        """Epoch seconds: how far the watermark may advance once all records that were read are emitted."""
        self.position = -1
        """The offset of the next record to read."""
        self.caught_up = False
        """The last read returned nothing."""
        self.waiting = 0
        """Records that the broker has beyond the position, by its last answer."""
        self.offsets = ReadOffsets(0)
        self._topic = topic
        self._partition = partition
        self._outage = outage
        self._clock = clock
        self._backlog = run.backlog
        self._lost_records = run.lost
        self._reason = "no answer"
        self._consumer = make_consumer(topic, self._on_error)
        self._part = TopicPartition(topic.name, partition)
        self._lost = False
        self._next_look = 0.0

    def _on_error(self, reason: str) -> None:
        self._reason = reason

    def seek(self, offset: int) -> None:
        """Go to an offset, unless the reader is already there."""
        if offset != self.position:
            self._assign(offset)
            self.progress = EARLIEST
        if offset != self.offsets.end:
            self.offsets = ReadOffsets(offset)

    def _assign(self, offset: int) -> None:
        from confluent_kafka import TopicPartition

        self._consumer.assign([TopicPartition(self._topic.name, self._partition, offset)])
        self.position = offset
        self._lost = False

    def read(self, most: int) -> Sequence[Any]:
        """Return at most `most` messages that have arrived, without waiting; `position` lies behind them.

        `position` also moves over offsets without a record: markers of transactions, aborted and compacted records.

        Raises:
            SourceError: the partition ends before the position.

        """
        if self._lost:
            self.caught_up = True
            self._resume()
            return []
        messages: list[Any] = self._consumer.consume(most, 0.0)
        records = [message for message in messages if message.error() is None]
        self.caught_up = not messages
        if records:
            self._outage.succeeded(self._partition)
            self._backlog.answered(self._topic.uri, self._partition)
            self.position = records[-1].offset() + 1
        if len(records) != len(messages):
            for message in messages:
                if message.error() is not None:
                    self._handle_error(message)
        self._update_backlog(idle=not records)
        return records

    def observe(self, latest: float) -> None:
        """Advance the progress to the latest log time that was read, or to the clock if that is earlier."""
        self._move(min(latest, self._clock()))

    def _move(self, seconds: float) -> None:
        self.progress = max(self.progress, seconds - WATERMARK_SLACK)

    def _handle_error(self, message: Any) -> None:
        from confluent_kafka import KafkaError

        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            self.position = max(self.position, message.offset() or 0)
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION):
            self._lost = True
        else:
            self._outage.failed(self._partition, error.str())

    def _resume(self) -> None:
        """Continue at the beginning of the partition, if the next record has been deleted."""
        bounds = self._bounds()
        if bounds is None:
            return
        low, high = bounds
        if self.position > high:
            message = (
                f"{self._topic.uri}, partition {self._partition}: expected offset {self.position}, got a partition "
                f"that ends at {high}: it was recreated or lost records; run again to read it from its beginning"
            )
            raise SourceError(message)
        if self.position < low:
            _LOGGER.warning(
                "%s, partition %d: offsets %d to %d were deleted before they were read (retention); reading from %d",
                *(self._topic.uri, self._partition, self.position, low - 1, low),
            )
            self._lost_records.add(self._topic.uri, self._partition, self.position, low)
        self._assign(max(self.position, low))

    def _update_backlog(self, *, idle: bool) -> None:
        """Report the backlog. Of an idle partition, ask for the end: if it is reached, the watermark advances."""
        _, latest = self._consumer.get_watermark_offsets(self._part, cached=True) or (0, 0)
        if latest >= 0:
            self.waiting = max(0, latest - self.position)
            self._backlog.set(self._topic.uri, self._partition, self.waiting)
        if not idle or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        asked = self._clock()
        bounds = self._bounds()
        # An open transaction keeps the reported end below the latest record: its records are yet to come.
        if bounds is not None and self.position >= max(bounds[1], latest):
            self._move(asked)

    def _bounds(self) -> tuple[int, int] | None:
        """Ask the broker where the partition begins and ends; None if it does not answer now."""
        from confluent_kafka import KafkaException

        try:
            bounds = self._consumer.get_watermark_offsets(self._part, timeout=_QUICK_ANSWER_SECONDS)
        except KafkaException:
            self._outage.failed(self._partition, self._reason)
            return None
        self._outage.succeeded(self._partition)
        self._backlog.answered(self._topic.uri, self._partition)
        return bounds

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


class Readers:
    """All readers of one run in this process."""

    def __init__(self, topic: Topic, clock: Clock, run: RunState) -> None:
        """Prepare the client; nothing is connected yet."""
        self.watermark = SharedWatermark()
        self.commits = Commits(topic)
        self.identity = TopicIdentity(topic)
        self._topic = topic
        self._topic_id = run.identities.get(topic.uri, "")  # of an earlier graph of the run
        self._clock = clock
        self._run = run
        self._outage = Outage(topic.uri)
        self._lock = threading.Lock()
        self._readers: dict[int, PartitionReader] = {}
        self._reason = "no answer"
        self._metadata_client = make_consumer(topic, self._on_error)

    def _on_error(self, reason: str) -> None:
        self._reason = reason

    def look(self) -> TopicDescription | None:
        """Return id and number of partitions of the topic; None if no broker answers now, or has no such topic.

        Raises:
            SourceError: it is another topic than at the run's first look.

        """
        description = self.identity.describe()
        if description is not None and description.id != self._topic_id:
            if self._topic_id:
                raise another_topic(self._topic, self._topic_id, description.id)
            self._run.identities[self._topic.uri] = self._topic_id = description.id
        return description

    def start_offset(self, partition: int, topic_id: str, *, new: bool) -> int:
        """Return the first offset to read of a partition of the topic with this id; see `find_start`.

        It waits until a broker answers or the run drains.
        """
        from confluent_kafka import KafkaException

        where = self._topic.uri, partition
        if where in self._run.positions:  # the runner was started again
            return self._run.positions[where]
        # Not a RetryPolicy: the wait must end when the run drains, and has no limit of its own.
        while not self._run.draining.is_set():
            try:
                if new:  # the client knows the partitions of its last look alone
                    self._metadata_client.list_topics(self._topic.name, timeout=ANSWER_SECONDS)
                start = find_start(self._metadata_client, self._topic, partition, new=new, topic_id=topic_id)
                self._run.lost.add(*where, start.lost_from, start.offset)
                return self._run.positions.setdefault(where, start.offset)
            except KafkaException as error:
                self._metadata_client.poll(0)  # calls _on_error with the reason
                self._outage.failed(partition, f"{reason_of(error)}: {self._reason}")
                self._run.draining.wait(_LOOK_SECONDS)
        return END

    def reader(self, partition: int, offset: int) -> PartitionReader:
        """Return the reader of a partition, at an offset."""
        with self._lock:
            if partition not in self._readers:
                self._readers[partition] = PartitionReader(
                    self._topic, partition, self._outage, self._clock, self._run
                )
            reader = self._readers[partition]
        reader.seek(offset)
        return reader

    def close(self) -> None:
        """Commit the stored prefixes, if this process knows them, and disconnect."""
        for partition in self.commits.partitions():
            stored = self._readers[partition].offsets.stored
            self._run.positions[self._topic.uri, partition] = stored
            self.commits.request(partition, stored, self._topic_id)
        wait_until(self.commits.flush, _CLOSE_SECONDS, _CLOSE_PAUSE_SECONDS)
        for reader in self._readers.values():
            reader.close()
        self._metadata_client.close()


def open_readers(topic: Topic, clock: Clock, run: RunState) -> Readers:
    """Return the readers that a run has in this process; they are closed with it."""
    return run.resources.get(topic, lambda: Readers(topic, clock, run))
