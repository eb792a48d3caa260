"""What the Kafka source asks of its client: settings, checks, where to begin, and patience with the brokers."""

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
    from confluent_kafka import Consumer

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
        "log_level": 0,  # librdkafka writes to stderr; what matters comes as errors, too
    } | {setting: os.environ[name] for name, setting in SECURITY.items() if name in os.environ}


def make_consumer(topic: Topic, told: Callable[[str], None]) -> Consumer:
    """Return a client that is not connected yet; `told` is called with what goes wrong, while it is polled.

    Raises:
        SourceError: librdkafka refuses a setting.

    """
    from confluent_kafka import Consumer, KafkaError, KafkaException

    def tell(error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # that does not say why
            told(error.str().partition(" (after ")[0])

    settings = {
        "group.id": topic.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # so that it is told, and can be handled
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "queued.max.messages.kbytes": 16 << 10,  # memory of a partition, and what bounds a batch of it
        "fetch.message.max.bytes": 4 << 20,
        "fetch.queue.backoff.ms": 10,  # its own second would stall a reader that has caught up
        "error_cb": tell,
    }
    try:
        return Consumer(client_settings(topic) | settings)
    except KafkaException as error:
        message = f"{topic.uri}: {reason_of(error)}; see the environment variables {', '.join(SECURITY)}"
        raise SourceError(message) from error


def reason_of(error: Exception) -> str:
    """Return the client's words for a KafkaException, in one line."""
    told = error.args[0]
    return " ".join((told.str() if hasattr(told, "str") else str(told)).split())


def check_topic(topic: Topic) -> None:
    """Make sure that a broker answers and has the topic.

    Raises:
        SourceError: it does not, in one line.

    """
    from confluent_kafka import KafkaException

    where = f"kafka://{topic.brokers}/{topic.name}"
    told: list[str] = []
    with closing(make_consumer(topic, told.append)) as consumer:
        try:
            found = consumer.list_topics(topic.name, timeout=_CHECK_SECONDS).topics[topic.name]
        except KafkaException as error:
            consumer.poll(0)  # has what went wrong told
            message = f"{where}: no broker answers: {'; '.join(dict.fromkeys(told)) or reason_of(error)}"
            raise SourceError(message) from error
    if found.error is not None:
        message = f"{where}: cannot read the topic: {found.error.str()}"
        raise SourceError(message)


def find_start(consumer: Consumer, topic: Topic, partition: int, *, new: bool) -> int:
    """Return the offset at which a partition is to be read; one that is `new` since the job began, as a whole.

    Raises:
        KafkaException: no broker answers.

    """
    from confluent_kafka import KafkaException, TopicPartition

    def answer(found: list[TopicPartition]) -> int:
        if found[0].error is not None:
            raise KafkaException(found[0].error)
        offset: int = found[0].offset
        return offset

    where = TopicPartition(topic.name, partition)
    low, high = consumer.get_watermark_offsets(where, timeout=ANSWER_SECONDS)
    if topic.start == "committed":
        committed = answer(consumer.committed([where], timeout=ANSWER_SECONDS))
        if committed >= 0 and not low <= committed <= high:
            _LOGGER.warning(
                "%s, partition %d: the group %s stands at offset %d, but the partition holds %d to %d; reading "
                "from %d",
                *(topic.uri, partition, topic.group, committed, low, high, low),
            )
        return committed if low <= committed <= high else low
    if new or topic.start == "earliest":
        return low
    if isinstance(topic.start, str):  # latest
        return high
    at = TopicPartition(topic.name, partition, math.ceil(topic.start * 1000))
    found = answer(consumer.offsets_for_times([at], timeout=ANSWER_SECONDS))
    return found if found >= 0 else high


class Outage:
    """Warns once when parts of a topic have not been reached for a minute, and says when they are back."""

    def __init__(self, uri: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` tells seconds."""
        self._uri = uri
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._since: dict[int, float] = {}
        self._warned = False

    def failed(self, partition: int, reason: str) -> None:
        """Take note that a partition was not reached."""
        now = self._monotonic()
        with self._lock:
            since = self._since.setdefault(partition, now)
            warn = now - since >= _OUTAGE_SECONDS and not self._warned
            self._warned |= warn
        if warn:
            _LOGGER.warning(
                "%s, partition %d: not reached for %d s: %s; trying on",
                *(self._uri, partition, now - since, reason),
            )

    def worked(self, partition: int) -> None:
        """Take note that a partition was reached."""
        if partition not in self._since:
            return
        with self._lock:
            self._since.pop(partition, None)
            back = self._warned and not self._since
            self._warned &= not back
        if back:
            _LOGGER.warning("%s: reached again", self._uri)
