"""Which offsets the Kafka source commits, in one process and on a cluster."""

from __future__ import annotations

import logging
from dataclasses import replace

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from sluice.clock import system_clock
from sluice.elements import OffsetSpan, RecordBatch
from sluice.provenance import PartitionProvenance
from sluice.sources.kafka.client import Topic
from sluice.sources.kafka.commits import CommitStored, ack_token_of
from sluice.sources.kafka.connector import KafkaConnector
from sluice.sources.kafka.source import OffsetSpanRead, PartitionDiscovery
from sluice.sources.streaming import StreamingSource

from devservers.kafka import KafkaBroker
from devservers.waiting import wait_until
from tests.live.kafka_fixture import (
    OwnTopic,
    Reading,
    numbered,
    reading,
)

pytestmark = pytest.mark.alone


def test_restart_continues_at_the_committed_prefix(
    broker: KafkaBroker,
) -> None:
    topic = OwnTopic(broker)
    topic.send(numbered(0, 5_000))
    with reading(topic, complete=False) as run:
        run.until(5_000)
        assert len(run.incomplete) > 1
        run.complete(*run.incomplete[1:])
    assert topic.committed() == 0
    with reading(topic, complete=False) as run:
        run.until(5_000)
        assert sorted(run.records()) == sorted(numbered(0, 5_000))
        first, *others, last = run.incomplete
        run.complete(*others, first)
        wait_until(
            lambda: topic.committed() == last.provenance.position,
            "the offset behind the last batch is committed",
        )
    with reading(topic) as run:
        run.until(len(last.records))
    assert run.records() == last.records
    assert topic.committed() == 5_000
    topic.send([b"one more"])
    with reading(topic) as run:
        run.until(1)
    assert run.records() == [b"one more"]
    assert topic.committed() == 5_001
    assert run.handle.state.acks.outstanding().records == 0


class ReadOnCluster(StreamingSource):
    """A source as on a cluster, where ack tokens are not those of this process."""

    def __init__(self, topic: Topic) -> None:
        super().__init__()
        self._topic = topic

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        arguments = (self._topic, system_clock, self.handle)
        return (
            begin
            | beam.Impulse()
            | beam.ParDo(PartitionDiscovery(*arguments))
            | beam.ParDo(OffsetSpanRead(*arguments))
            | "Drop ack tokens" >> beam.Map(lambda batch: replace(batch, ack_token=None))
        )


def test_batches_on_a_cluster_have_contiguous_offsets(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker)
    topic.send([*numbered(0, 3_000), None])
    with Reading(ReadOnCluster(KafkaConnector.parse(topic.url()).topic)) as run:
        run.until(3_000)
        topic.send([None, *numbered(0, 10)])
        run.until(3_010)
    spans = sorted(batch.offset_span for batch in run.batches if batch.offset_span is not None)
    assert len(spans) == len(run.batches) > 2
    assert [offset_span.first for offset_span in spans] == [True] + [False] * (len(spans) - 1)
    assert [offset_span.start for offset_span in spans] == [
        0,
        *(offset_span.end for offset_span in spans[:-1]),
    ]
    assert spans[-1].end == 3_012
    assert topic.committed() < 0  # nothing is committed here


def test_cluster_commits_only_stored_records(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker, partitions=2)
    for partition in range(2):
        topic.send(numbered(0, 10), partition)
    read = [
        batch_of(0, 0, 4),
        batch_of(0, 4, 5, gap=True),
        batch_of(0, 5, 8),
        batch_of(0, 8, 10),
        batch_of(1, 0, 10),
    ]
    stored = [
        {ack_token_of(0, 4): 1, ack_token_of(1, 10): 9},
        {ack_token_of(0, 4): 3, ack_token_of(0, 8): 2, ack_token_of(0, 10): 2},
        {ack_token_of(1, 10): 1},
    ]
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = {
            "read": pipeline | "Read" >> beam.Create(read),
            "stored": pipeline | "Store" >> beam.Create(stored),
        } | CommitStored(KafkaConnector.parse(topic.url()).topic)
    assert (topic.committed(0), topic.committed(1)) == (5, 10)


def batch_of(partition: int, start: int, end: int, *, gap: bool = False) -> RecordBatch:
    """Return the batch of a span of offsets; a gap has no records."""
    offsets = [] if gap else list(range(start, end))
    offset_span = OffsetSpan(start, end, first=start == 0)
    provenance = PartitionProvenance("kafka://t", 0.0, partition, offsets, [0.0] * len(offsets))
    return RecordBatch([b"{}"] * len(offsets), provenance, offset_span=offset_span)


def test_group_with_other_members_is_warned_about(
    broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    from confluent_kafka import Consumer

    caplog.set_level(logging.WARNING, "sluice")
    topic = OwnTopic(broker)
    topic.send(numbered(0, 10))
    other = Consumer({**topic.settings, "group.id": f"g-{topic.name}"})
    other.subscribe([topic.name])
    wait_until(
        lambda: other.poll(0.1) is None and bool(other.assignment()), "the other consumer has partitions"
    )
    with reading(topic, group=f"g-{topic.name}") as run:
        run.until(10)
        wait_until(lambda: bool(caplog.messages), "a warning is logged")
    other.close()
    assert len(run.records()) == 10
    assert [text for text in caplog.messages if topic.name in text] == [
        f"kafka://{topic.name}: cannot commit the offsets of the group g-{topic.name}: Broker: Unknown member; "
        "retrying. Nothing is lost: after a restart records are read again and removed as duplicates"
    ]
