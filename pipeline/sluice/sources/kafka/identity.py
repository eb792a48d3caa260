"""Which topic a name stands for: Kafka gives each topic an id (KIP-516), and a topic that is created again another one.

An offset says nothing without the topic that it belongs to. So what was read is used only if the topic still has the
id that it had when the job began to read it, and a committed offset has the id beside it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from sluice.errors import SourceError
from sluice.sources.kafka.client import Topic, client_settings, plain_topic_id

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_ANSWER_SECONDS = 0.5
"""How long a bundle waits for the answer; a later bundle asks again."""


class TopicDescription(NamedTuple):
    """What a broker says of a topic. The `id` is empty where brokers have none, as before Kafka 2.8."""

    id: str
    partitions: int


class TopicIdentity:
    """Compares the topic of a name with the one that was there first. Safe for threads."""

    def __init__(self, topic: Topic) -> None:
        """Prepare to ask for `topic`; nothing is connected yet."""
        self._topic = topic
        self._admin: AdminClient | None = None
        self._lock = threading.Lock()
        self._latest = TopicDescription("", 0)
        self._asked = float("-inf")
        """When the latest answer was asked for, in monotonic seconds."""

    def describe(self) -> TopicDescription | None:
        """Ask a broker for the topic; return None if none answers now, or has no such topic."""
        with self._lock:
            return self._describe()

    def confirm(self, topic_id: str, since: float) -> bool:
        """Return whether the topic has had this id until `since`, in monotonic seconds; False: nobody knows yet.

        One answer does for all partitions that were read before it was asked for.

        Raises:
            SourceError: it has another id.

        """
        if not topic_id:
            return True
        with self._lock:
            if self._asked < since and self._describe() is None:
                return False
            latest = self._latest.id
        if latest != topic_id:
            raise another_topic(self._topic, topic_id, latest)
        return True

    def _describe(self) -> TopicDescription | None:
        from confluent_kafka import KafkaException, TopicCollection
        from confluent_kafka.admin import AdminClient

        self._admin = self._admin or AdminClient(client_settings(self._topic))
        asked, name = time.monotonic(), self._topic.name
        request = self._admin.describe_topics(TopicCollection([name]), request_timeout=_ANSWER_SECONDS)
        try:
            answer = request[name].result()
        except KafkaException:
            return None
        self._asked = asked
        self._latest = TopicDescription(plain_topic_id(answer.topic_id), len(answer.partitions))
        return self._latest


def another_topic(topic: Topic, expected: str, got: str) -> SourceError:
    """Return the error that ends a job whose topic was deleted and created again."""
    return SourceError(
        f"{topic.uri}: expected the topic with the id {expected}, got one with the id {got}: it was deleted and "
        "created again; run again to read the new one"
    )
