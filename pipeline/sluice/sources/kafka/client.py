"""The Kafka client as the source uses it: settings, the check before a run, the first offset, outages."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from sluice.errors import SourceError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

_LOGGER = logging.getLogger("sluice")

SECURITY = {
    "KAFKA_SECURITY_PROTOCOL": "security.protocol",
    "KAFKA_SASL_MECHANISM": "sasl.mechanism",
    "KAFKA_SASL_USERNAME": "sasl.username",
    "KAFKA_SASL_PASSWORD": "sasl.password",
    "KAFKA_SSL_CA_LOCATION": "ssl.ca.location",
    "KAFKA_SSL_CERTIFICATE_LOCATION": "ssl.certificate.location",
    "KAFKA_SSL_KEY_LOCATION": "ssl.key.location",
    "KAFKA_SSL_KEY_PASSWORD": "ssl.key.password",
}
"""Environment variable -> librdkafka's setting. Read where a client is made, so their values are in no graph."""

ANSWER_SECONDS = 10.0
"""How long a broker may take to answer."""

_CHECK_SECONDS = 5.0
_OUTAGE_SECONDS = 60.0


class Topic(NamedTuple):
    """What a job reads. `start` is committed, earliest, latest, or a log time in epoch seconds."""

    brokers: str
    name: str
    group: str
    start: str | float

    @property
    def uri(self) -> str:
        """The topic's name in identities and dead letters: the same, whatever broker it is read from."""
        return f"kafka://{self.name}"


def client_settings(topic: Topic) -> dict[str, Any]:
    """Return what every client needs to reach the brokers."""
    return {
        "bootstrap.servers": topic.brokers,
        "client.id": "sluice",
        "reconnect.backoff.max.ms": 2000,
        "log_level": 0,  # librdkafka would write to stderr; it reports errors to error_cb, too
    } | {setting: os.environ[name] for name, setting in SECURITY.items() if name in os.environ}


def make_consumer(topic: Topic, on_error: Callable[[str], None]) -> Consumer:
    """Return a client that is not connected yet; while it is polled, it calls `on_error` with each problem.

    Raises:
        SourceError: librdkafka rejects a setting.

    """
    from confluent_kafka import Consumer, KafkaError, KafkaException

    def report(error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # that does not say why
            on_error(error.str().partition(" (after ")[0])

    settings = {
        "group.id": topic.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # reported, so that the reader can handle it
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "queued.max.messages.kbytes": 16 << 10,  # memory of a partition, which limits its batches
        "fetch.message.max.bytes": 4 << 20,
        "fetch.queue.backoff.ms": 10,  # its own second would stall a reader that has caught up
        "error_cb": report,
    }
    try:
        return Consumer(client_settings(topic) | settings)
    except KafkaException as error:
        message = f"{topic.uri}: {reason_of(error)}; see the environment variables {', '.join(SECURITY)}"
        raise SourceError(message) from error


def reason_of(error: Exception) -> str:
    """Return the client's words for a KafkaException, in one line."""
    reason = error.args[0]
    return " ".join((reason.str() if hasattr(reason, "str") else str(reason)).split())


def check_topic(topic: Topic) -> None:
    """Make sure that a broker answers and has the topic.

    Raises:
        SourceError: it does not, in one line.

    """
    from confluent_kafka import KafkaException

    where = f"kafka://{topic.brokers}/{topic.name}"
    problems: list[str] = []
    with closing(make_consumer(topic, problems.append)) as consumer:
        try:
            metadata = consumer.list_topics(topic.name, timeout=_CHECK_SECONDS).topics[topic.name]
        except KafkaException as error:
            consumer.poll(0)  # calls problems.append with the reason
            message = f"{where}: no broker answers: {'; '.join(dict.fromkeys(problems)) or reason_of(error)}"
            raise SourceError(message) from error
    if metadata.error is not None:
        message = f"{where}: cannot read the topic: {metadata.error.str()}"
        raise SourceError(message)


_NO_TOPIC_ID = "A" * 22
"""The id that brokers without topic ids give: zero."""

_METADATA = "topic_id="
"""Precedes the id of the topic in the metadata of a committed offset."""


def plain_topic_id(topic_id: object) -> str:
    """Return the id of a topic as Kafka's tools print it, in base64 for URLs; empty if the broker has none."""
    text = str(topic_id).rstrip("=").replace("+", "-").replace("/", "_")
    return "" if text in ("None", _NO_TOPIC_ID) else text


def commit_metadata(topic_id: str) -> str:
    """Return the metadata of a committed offset, which binds it to the topic with this id."""
    return f"{_METADATA}{topic_id}" if topic_id else ""


class Start(NamedTuple):
    """The first offset to read of a partition, and the offset from which records were deleted before they were read."""

    offset: int
    lost_from: int

    @classmethod
    def at(cls, offset: int) -> Start:
        """Begin at an offset, with nothing lost."""
        return cls(offset, offset)


def find_start(
    consumer: Consumer, topic: Topic, partition: int, *, new: bool = False, topic_id: str = ""
) -> Start:
    """Return where to begin with a partition; a partition that is `new` since the job began is read whole.

    A committed offset counts if it is one of the topic with this id. One without an id, as other programs commit, or
    of a broker that has none, counts as it is.

    Raises:
        KafkaException: no broker answers.

    """
    from confluent_kafka import KafkaException, TopicPartition

    def answer(partitions: list[TopicPartition]) -> TopicPartition:
        if partitions[0].error is not None:
            raise KafkaException(partitions[0].error)
        return partitions[0]

    where = TopicPartition(topic.name, partition)
    low, high = consumer.get_watermark_offsets(where, timeout=ANSWER_SECONDS)
    if topic.start == "committed":
        committed = answer(consumer.committed([where], timeout=ANSWER_SECONDS))
        return _committed_start(topic, committed, topic_id, low, high)
    if new or topic.start == "earliest":
        return Start.at(low)
    if isinstance(topic.start, str):  # latest
        return Start.at(high)
    at = TopicPartition(topic.name, partition, math.ceil(topic.start * 1000))
    first: int = answer(consumer.offsets_for_times([at], timeout=ANSWER_SECONDS)).offset
    return Start.at(first if first >= 0 else high)


def _committed_start(topic: Topic, committed: TopicPartition, topic_id: str, low: int, high: int) -> Start:
    """Return the committed offset if it is one of this topic that can be read; else `low`, with a warning."""
    offset: int = committed.offset
    if offset < 0:
        return Start.at(low)
    found = committed.metadata or ""
    read = found.removeprefix(_METADATA) if found.startswith(_METADATA) else ""
    where = f"{topic.uri}, partition {committed.partition}: the group {topic.group} is at offset {offset}"
    if read and topic_id and read != topic_id:
        _LOGGER.warning(
            "%s of the topic with the id %s, which was deleted and created again with the id %s; reading from %d",
            *(where, read, topic_id, low),
        )
        return Start.at(low)
    if not low <= offset <= high:
        _LOGGER.warning("%s, but the partition has %d to %d; reading from %d", where, low, high, low)
        return Start(low, min(offset, low))
    return Start.at(offset)


class Outage:
    """Warns once when partitions of a topic could not be reached for a minute, and logs when all are reached again.

    librdkafka retries by itself; here its failures are only counted, so nothing is left for a RetryPolicy.
    """

    def __init__(self, uri: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` returns seconds."""
        self._uri = uri
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._since: dict[int, float] = {}
        self._warned = False

    def failed(self, partition: int, reason: str) -> None:
        """Record that a partition could not be reached."""
        now = self._monotonic()
        with self._lock:
            since = self._since.setdefault(partition, now)
            warn = now - since >= _OUTAGE_SECONDS and not self._warned
            self._warned |= warn
        if warn:
            _LOGGER.warning(
                "%s, partition %d: not reached for %d s: %s; retrying",
                *(self._uri, partition, now - since, reason),
            )

    def succeeded(self, partition: int) -> None:
        """Record that a partition was reached."""
        if partition not in self._since:
            return
        with self._lock:
            self._since.pop(partition, None)
            back = self._warned and not self._since
            self._warned &= not back
        if back:
            _LOGGER.warning("%s: reached again", self._uri)
