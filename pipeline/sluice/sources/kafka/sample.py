"""The first records of a topic, to look at: no offset is committed, and no partition is taken from another reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from sluice.elements import RecordBatch
from sluice.errors import SourceError
from sluice.provenance import PartitionProvenance
from sluice.sources.kafka.client import ANSWER_SECONDS, Topic, check_topic, make_consumer, reason_of

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

_PORTION = 1000


def sample_topic(topic: Topic, number: int) -> Iterator[RecordBatch]:
    """Yield at most `number` records that the topic holds now, from the earliest on, a batch for each.

    Raises:
        SourceError: no broker answers, the topic is not there, or it cannot be read.

    """
    from confluent_kafka import KafkaException

    check_topic(topic)
    problems: list[str] = []
    with closing(make_consumer(topic, problems.append)) as consumer:
        try:
            for message in _messages(consumer, topic, number):
                yield _batch(topic, message)
        except KafkaException as error:
            reason = "; ".join(dict.fromkeys(problems)) or reason_of(error)
            failure = f"kafka://{topic.brokers}/{topic.name}: cannot read the topic: {reason}"
            raise SourceError(failure) from error


def _messages(consumer: Consumer, topic: Topic, number: int) -> Iterator[Message]:
    """Yield records of all partitions, each up to where it ended when the reading began."""
    from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

    partitions = consumer.list_topics(topic.name, timeout=ANSWER_SECONDS).topics[topic.name].partitions
    ends = {}
    for partition in partitions:
        first, end = consumer.get_watermark_offsets(
            TopicPartition(topic.name, partition), timeout=ANSWER_SECONDS
        )
        if end > first:
            ends[partition] = end
    consumer.assign([TopicPartition(topic.name, partition, OFFSET_BEGINNING) for partition in ends])
    while ends and number > 0:
        messages = consumer.consume(min(number, _PORTION), timeout=ANSWER_SECONDS)
        if not messages:
            problem = f"{topic.uri}: expected records within {ANSWER_SECONDS:g} s, got none"
            raise SourceError(problem)
        for message in messages:
            error = message.error()
            if error is None and message.value() is not None and number > 0:  # not a tombstone
                number -= 1
                yield message
            elif error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            elif error is not None:
                ends.pop(message.partition() or 0, None)


def _batch(topic: Topic, message: Message) -> RecordBatch:
    time = message.timestamp()[1] / 1000
    partition, offset = message.partition() or 0, message.offset() or 0
    provenance = PartitionProvenance(topic.uri, time, partition, [offset], [time])
    return RecordBatch([message.value() or b""], provenance)
