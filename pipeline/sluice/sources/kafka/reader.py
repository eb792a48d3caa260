"""What a process keeps of the Kafka source between bundles: a reader for each partition, and commits."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sluice.clock import Clock
from sluice.errors import SourceError
from sluice.retry import wait_until
from sluice.run_state import Backlog, RunState
from sluice.sources.kafka.client import (
    ANSWER_SECONDS,
    Outage,
    Topic,
    client_settings,
    find_start,
    make_consumer,
    reason_of,
)
from sluice.sources.streaming import EARLIEST, END, SharedWatermark

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka import ConsumerGroupTopicPartitions
    from confluent_kafka.admin import AdminClient

_LOGGER = logging.getLogger("sluice")

WATERMARK_SLACK = 2.0
"""Seconds by which the watermark stays below the latest log time, and below now where nothing is to be read:
records of several producers are out of order by about so much."""

_LOOK_SECONDS = 1.0
"""How often the broker is asked for the end of a partition that brings nothing."""

_QUICK_ANSWER_SECONDS = 0.5
"""How long a bundle waits for that answer; another one asks again."""

_COMMIT_SECONDS = 1.0

_CLOSE_SECONDS = 20.0
"""How long the last commit is tried: a client that has lost its broker needs one attempt to find out."""

_CLOSE_PAUSE_SECONDS = 0.5


class Prefix:
    """How far a partition is stored without a gap, though its batches may be stored in any order."""

    def __init__(self, start: int) -> None:
        """Begin at the offset `start`: all below it is stored."""
        self.end = start
        self.stored = start
        self._lock = threading.Lock()
        self._ends: deque[int] = deque()
        self._done: set[int] = set()

    def add(self, end: int) -> Callable[[], None]:
        """Add the batch from the last one's end to the offset `end`; return what to call when it is stored."""
        with self._lock:
            self._ends.append(end)
            self.end = end
        return partial(self._settle, end)

    def _settle(self, end: int) -> None:
        with self._lock:
            self._done.add(end)
            while self._ends and self._ends[0] in self._done:
                self.stored = self._ends.popleft()
                self._done.remove(self.stored)


class Commits:
    """The offsets of a consumer group: committed about once a second, without waiting for the broker.

    A commit that fails is a warning: nothing is lost, records only come again and are recognized as repeats.
    They go through the admin client, because a consumer with a commit on its way cannot be closed for 45 s while
    the broker is down.
    """

    def __init__(self, topic: Topic) -> None:
        """Commit for the group of `topic`."""
        self._topic = topic
        self._admin: AdminClient | None = None
        self._lock = threading.Lock()
        self._wanted: dict[int, int] = {}
        self._asked: dict[int, int] = {}
        self._answer: Future[ConsumerGroupTopicPartitions] | None = None
        self._next = 0.0
        self._warned = False

    def want(self, partition: int, offset: int) -> None:
        """Have an offset committed, unless one behind it is: all below it is stored."""
        with self._lock:
            self._wanted[partition] = max(offset, self._wanted.get(partition, offset))

    def partitions(self) -> list[int]:
        """Return those whose offsets are committed here."""
        with self._lock:
            return list(self._wanted)

    def go_on(self) -> None:
        """Look after the last commit, and begin the next one when it is time."""
        with self._lock:
            if self._answer is not None and self._answer.done():
                self._take(self._answer)
            new = {each: at for each, at in self._wanted.items() if self._asked.get(each) != at}
            if self._answer is None and new and time.monotonic() >= self._next:
                self._next = time.monotonic() + _COMMIT_SECONDS
                self._ask(new)

    def finish(self) -> bool:
        """Commit what is wanted, and wait for the answer; False if that failed."""
        with self._lock:
            if self._answer is not None:
                self._take(self._answer)
            new = {each: at for each, at in self._wanted.items() if self._asked.get(each) != at}
            if new:
                self._ask(new)
                assert self._answer is not None
                self._take(self._answer)
            return self._asked == self._wanted

    def _ask(self, offsets: dict[int, int]) -> None:
        from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
        from confluent_kafka.admin import AdminClient

        self._admin = self._admin or AdminClient(client_settings(self._topic))
        group, name = self._topic.group, self._topic.name
        parts = [TopicPartition(name, each, at) for each, at in offsets.items()]
        request = [ConsumerGroupTopicPartitions(group, parts)]
        answers = self._admin.alter_consumer_group_offsets(request, request_timeout=ANSWER_SECONDS)
        self._answer = answers[group]
        self._asked |= offsets

    def _take(self, answer: Future[ConsumerGroupTopicPartitions]) -> None:
        from confluent_kafka import KafkaException

        self._answer = None
        try:
            failed = [each.error for each in answer.result().topic_partitions or () if each.error is not None]
            reason = failed[0].str() if failed else None
        except KafkaException as error:
            reason = reason_of(error)
        if reason is None:
            self._warned = False
            return
        self._asked.clear()
        self._admin = None  # one that has lost its broker finds the group's coordinator never again
        if not self._warned:
            _LOGGER.warning(
                "%s: cannot commit the offsets of the group %s: %s; trying on. Nothing is lost: after a restart "
                "records come again, and are recognized as repeats",
                *(self._topic.uri, self._topic.group, reason),
            )
            self._warned = True


class PartitionReader:
    """Reads one partition, from any offset on. Used by one bundle at a time."""

    def __init__(self, topic: Topic, partition: int, outage: Outage, clock: Clock, backlog: Backlog) -> None:
        """Connect to nothing yet."""
        from confluent_kafka import TopicPartition

        self.progress = EARLIEST
        """Epoch seconds: how far the watermark may go once all that was read is handed over."""
        self.position = -1
        """The offset of the record to read next."""
        self.caught_up = False
        """The last read brought nothing."""
        self.waiting = 0
        """Records that the broker has beyond the position, as far as it has told by now."""
        self.prefix = Prefix(0)
        self._topic = topic
        self._partition = partition
        self._outage = outage
        self._clock = clock
        self._backlog = backlog
        self._reason = "no answer"
        self._consumer = make_consumer(topic, self._told)
        self._part = TopicPartition(topic.name, partition)
        self._lost = False
        self._next_look = 0.0

    def _told(self, reason: str) -> None:
        self._reason = reason

    def seek(self, offset: int) -> None:
        """Go to an offset, unless the reader stands there."""
        if offset != self.position:
            self._assign(offset)
            self.progress = EARLIEST
        if offset != self.prefix.end:
            self.prefix = Prefix(offset)

    def _assign(self, offset: int) -> None:
        from confluent_kafka import TopicPartition

        self._consumer.assign([TopicPartition(self._topic.name, self._partition, offset)])
        self.position = offset
        self._lost = False

    def read(self, most: int) -> Sequence[Any]:
        """Return at most so many messages of what has come, without waiting; `position` lies behind them.

        `position` also moves over offsets that no record has: markers of transactions, what was aborted, what
        was compacted.

        Raises:
            SourceError: the partition ends before the position.

        """
        if self._lost:
            self.caught_up = True
            self._find_again()
            return []
        messages: list[Any] = self._consumer.consume(most, 0.0)
        records = [each for each in messages if each.error() is None]
        self.caught_up = not messages
        if records:
            self._outage.worked(self._partition)
            self.position = records[-1].offset() + 1
        if len(records) != len(messages):
            for each in messages:
                if each.error() is not None:
                    self._handle(each)
        self._watch(anything=bool(records))
        return records

    def observe(self, latest: float) -> None:
        """Move the progress on by the latest log time that was read. A time in the future does not count."""
        self._move(min(latest, self._clock()))

    def _move(self, seconds: float) -> None:
        self.progress = max(self.progress, seconds - WATERMARK_SLACK)

    def _handle(self, message: Any) -> None:
        from confluent_kafka import KafkaError

        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            self.position = max(self.position, message.offset() or 0)
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION):
            self._lost = True
        else:
            self._outage.failed(self._partition, error.str())

    def _find_again(self) -> None:
        """Go on where the partition begins by now, if what was to be read next has been deleted."""
        bounds = self._bounds()
        if bounds is None:
            return
        low, high = bounds
        if self.position > high:
            message = (
                f"{self._topic.uri}, partition {self._partition}: expected offset {self.position}, got a partition "
                f"that ends at {high}: it was made anew or lost records; run again to begin where it begins"
            )
            raise SourceError(message)
        if self.position < low:
            _LOGGER.warning(
                "%s, partition %d: offsets %d to %d were deleted before they were read (retention); reading from %d",
                *(self._topic.uri, self._partition, self.position, low - 1, low),
            )
        self._assign(max(self.position, low))

    def _watch(self, *, anything: bool) -> None:
        """Tell what waits. Where nothing has come for a while, ask: it may be that nothing is there."""
        _, latest = self._consumer.get_watermark_offsets(self._part, cached=True) or (0, 0)
        if latest >= 0:
            self.waiting = max(0, latest - self.position)
            self._backlog.set(self._topic.uri, self._partition, self.waiting)
        if anything or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        asked = self._clock()
        bounds = self._bounds()
        # A transaction that is open keeps the end that is told below the latest record: its records are still to come.
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
        self._outage.worked(self._partition)
        return bounds

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


class Readers:
    """All readers of one run in this process."""

    def __init__(self, topic: Topic, clock: Clock, run: RunState) -> None:
        """Connect to nothing yet."""
        self.watermark = SharedWatermark()
        self.commits = Commits(topic)
        self._topic = topic
        self._clock = clock
        self._run = run
        self._outage = Outage(topic.uri)
        self._lock = threading.Lock()
        self._readers: dict[int, PartitionReader] = {}
        self._reason = "no answer"
        self._inquirer = make_consumer(topic, self._told)

    def _told(self, reason: str) -> None:
        self._reason = reason

    def partitions(self) -> int | None:
        """Return how many partitions the topic has; None if no broker answers now. They are never taken away."""
        from confluent_kafka import KafkaException

        try:
            found = self._inquirer.list_topics(self._topic.name, timeout=_QUICK_ANSWER_SECONDS)
        except KafkaException:
            return None
        return len(found.topics[self._topic.name].partitions) or None

    def start(self, partition: int, *, new: bool) -> int:
        """Return where to begin with a partition; if no broker answers, wait until one does or the run drains."""
        from confluent_kafka import KafkaException

        while not self._run.draining.is_set():
            try:
                return find_start(self._inquirer, self._topic, partition, new=new)
            except KafkaException as error:
                self._inquirer.poll(0)  # has what went wrong told
                self._outage.failed(partition, f"{reason_of(error)}: {self._reason}")
                self._run.draining.wait(_LOOK_SECONDS)
        return END

    def reader(self, partition: int, offset: int) -> PartitionReader:
        """Return the reader of a partition, at an offset."""
        with self._lock:
            if partition not in self._readers:
                self._readers[partition] = PartitionReader(
                    self._topic, partition, self._outage, self._clock, self._run.backlog
                )
            reader = self._readers[partition]
        reader.seek(offset)
        return reader

    def close(self) -> None:
        """Commit what is stored, if that is known here, and disconnect."""
        for partition in self.commits.partitions():
            self.commits.want(partition, self._readers[partition].prefix.stored)
        wait_until(self.commits.finish, _CLOSE_SECONDS, _CLOSE_PAUSE_SECONDS)
        for reader in self._readers.values():
            reader.close()
        self._inquirer.close()


def open_readers(topic: Topic, clock: Clock, run: RunState) -> Readers:
    """Return the readers that a run has in this process; they are closed with it."""
    return run.resources.get(topic, lambda: Readers(topic, clock, run))
