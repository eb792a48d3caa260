"""A topic of a real Kafka broker, as live tests use it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import tenacity
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]
from sluice.tooling.publish import KafkaPublisher

from tests.live.servers import Kafka

_ANSWER_SECONDS = 30.0
_SETTLED_SECONDS = 60.0
"""Within which a broker that has just started, or met a new group, must answer."""


class KafkaTopic:
    """A new topic, and the group in whose name a job reads it."""

    environment: Mapping[str, str] = {}

    def __init__(self, broker: Kafka, partitions: int = 2, **settings: Any) -> None:
        """Create it."""
        self.broker = broker
        self.name = f"events-{uuid.uuid4().hex[:8]}"
        self.group = f"sluice-{self.name}"
        self._partitions = partitions
        self._publisher = KafkaPublisher(self.url)
        admin = self._admin()
        new = NewTopic(self.name, partitions, 1, config={"max.message.bytes": "20000000", **settings})
        admin.create_topics([new])[self.name].result(_ANSWER_SECONDS)

    @property
    def url(self) -> str:
        """Where to publish."""
        return f"kafka://{self.broker.bootstrap}/{self.name}"

    @property
    def source(self) -> str:
        """What a job reads."""
        return f"{self.url}?group={self.group}"

    def publish(self, records: Iterable[bytes]) -> None:
        """Send records, and wait until all have arrived."""
        for record in records:
            self._publisher.publish(record)
        self._publisher.flush()

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(KafkaException),
        stop=tenacity.stop_after_delay(_SETTLED_SECONDS),
        wait=tenacity.wait_fixed(0.2),
        reraise=True,
    )
    def unacknowledged(self) -> int:
        """Return how many records lie behind the group's committed offsets."""
        admin = self._admin()
        parts = [TopicPartition(self.name, number) for number in range(self._partitions)]
        ends = admin.list_offsets({part: OffsetSpec.latest() for part in parts})  # type: ignore[no-untyped-call]
        asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self.group, parts)])
        committed = asked[self.group].result(_ANSWER_SECONDS).topic_partitions
        return sum(
            ends[TopicPartition(self.name, part.partition)].result(_ANSWER_SECONDS).offset
            - max(part.offset, 0)
            for part in committed
        )

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})
