"""A topic of a real broker, and jobs that read it on Prism, the runner of streaming jobs on one machine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any

import apache_beam as beam
import tenacity
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import FixedWindows
from confluent_kafka import KafkaException, Producer
from sluice.elements import RecordBatch
from sluice.run_state import RunHandle
from sluice.sources import open_source
from sluice.sources.kafka.source import KafkaSource
from sluice.sources.streaming import StreamingSource

from devservers import prism
from devservers.kafka import KafkaBroker
from devservers.waiting import wait_until

TIMEOUT_SECONDS = 120
DAY = 86_400_000

BATCHES: dict[str, list[RecordBatch]] = {}
PANES: dict[str, list[int]] = {}
"""Name of a run -> its batches, and the sizes of its panes; its workers are threads of this process."""


class OwnTopic:
    """A topic of one test, with a producer and an administrator."""

    def __init__(self, broker: KafkaBroker, partitions: int = 1, **settings: Any) -> None:
        from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # not in its types

        self.broker = broker
        self.name = f"t{uuid.uuid4().hex}"
        self.settings: dict[str, Any] = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
        self.admin = AdminClient(self.settings)
        new = NewTopic(self.name, partitions, 1, config={key: str(value) for key, value in settings.items()})
        self.admin.create_topics([new])[self.name].result()

    @cached_property
    def producer(self) -> Producer:
        # Idempotent, for records that the leader of a new topic rejects at first would follow later ones.
        settings = {"enable.idempotence": True, "message.max.bytes": 20_000_000, "linger.ms": 5}
        return Producer({**self.settings, **settings})

    def url(self, **query: str) -> str:
        texts = "&".join(f"{key}={value}" for key, value in {"group": "g", **query}.items())
        return f"kafka://{self.broker.bootstrap}/{self.name}?{texts}"

    def send(self, values: Sequence[bytes | None], partition: int = 0, **more: Any) -> None:
        for value in values:
            self.producer.produce(self.name, value, partition=partition, **more)
            self.producer.poll(0)
        assert self.producer.flush(TIMEOUT_SECONDS) == 0

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(KafkaException),  # a broker that has just started may fail
        stop=tenacity.stop_after_delay(TIMEOUT_SECONDS),
        wait=tenacity.wait_fixed(0.2),
        reraise=True,
    )
    def grow(self, partitions: int) -> None:
        """Increase the number of partitions."""
        from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]  # not in its types

        self.admin.create_partitions([NewPartitions(self.name, partitions)])[self.name].result()
        del self.producer  # it would look for new ones every five minutes

    def committed(self, partition: int = 0) -> int:
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({**self.settings, "group.id": "g"})
        (partition_offset,) = consumer.committed(
            [TopicPartition(self.name, partition)], timeout=TIMEOUT_SECONDS
        )
        consumer.close()
        offset: int = partition_offset.offset
        return offset

    def end(self, partition: int = 0) -> int:
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({**self.settings, "group.id": "g"})
        bounds = consumer.get_watermark_offsets(TopicPartition(self.name, partition), timeout=TIMEOUT_SECONDS)
        consumer.close()
        assert bounds is not None
        return bounds[1]


class Collect(beam.DoFn):
    """Collect the batches, and complete their acknowledgement unless the test does it."""

    def __init__(self, name: str, complete: bool, handle: RunHandle) -> None:
        self.name = name
        self.complete = complete
        self.handle = handle

    def process(self, batch: RecordBatch) -> Iterator[int]:
        if self.complete:
            self.handle.state.acks.complete(batch.acks(len(batch.records)))
        BATCHES[self.name].append(batch)
        yield len(batch.records)


def add_pane(records: int, name: str) -> None:
    PANES[name].append(records)


class Reading:
    """A job that only reads `source`; it drains when the block ends."""

    def __init__(self, source: StreamingSource, *, complete: bool = True) -> None:
        self.name = uuid.uuid4().hex
        self.handle = source.handle
        self._complete = complete
        self._source = source
        self._completed: list[RecordBatch] = []
        self._runner = ExitStack()
        BATCHES[self.name], PANES[self.name] = [], []

    def __enter__(self) -> Reading:
        runner = self._runner.enter_context(prism.start())
        pipeline = beam.Pipeline(options=PipelineOptions(runner.options, streaming=True))
        _ = (
            pipeline
            | "Read" >> self._source
            | "Collect" >> beam.ParDo(Collect(self.name, self._complete, self.handle))
            | "Window" >> beam.WindowInto(FixedWindows(1))
            | "Sum" >> beam.CombineGlobally(sum).without_defaults()
            | "Add panes" >> beam.Map(add_pane, self.name)
        )
        self._result = pipeline.run()
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.state.draining.set()
        try:
            with self._runner:
                self._result.wait_until_finish()
                self._metrics = self._result.metrics()
        finally:
            self.handle.state.resources.close()

    def complete(self, *batches: RecordBatch) -> None:
        """Complete the acknowledgement of batches that were not completed at once."""
        for batch in batches:
            self.handle.state.acks.complete(batch.acks(len(batch.records)))
            self._completed.append(batch)

    @property
    def incomplete(self) -> list[RecordBatch]:
        """Batches whose acknowledgement is not complete, by their offsets."""
        left = [] if self._complete else [batch for batch in self.batches if batch not in self._completed]
        return sorted(left, key=lambda batch: batch.provenance.position)

    @property
    def batches(self) -> list[RecordBatch]:
        return BATCHES[self.name]

    def records(self) -> list[bytes]:
        return [record for batch in list(self.batches) for record in batch.records]

    def pane_sizes(self) -> list[int]:
        return PANES[self.name]

    def until(self, number: int) -> None:
        wait_until(lambda: len(self.records()) >= number, f"{number} records are read", TIMEOUT_SECONDS)

    def metric(self, name: str) -> int:
        """Return a counter of the job when it had ended."""
        counters = self._metrics.query(MetricsFilter().with_name(name))["counters"]
        return sum(counter.result for counter in counters)


def reading(topic: OwnTopic, *, complete: bool = True, **query: str) -> Reading:
    source = open_source(topic.url(**query))
    source.check()
    assert isinstance(source, KafkaSource)
    return Reading(source, complete=complete)


def numbered(start: int, stop: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(start, stop)]


def delete_below(topic: OwnTopic, offset: int) -> None:
    from confluent_kafka import TopicPartition

    where = TopicPartition(topic.name, 0, offset)
    topic.admin.delete_records([where])[TopicPartition(topic.name, 0)].result()


def commit(topic: OwnTopic, offset: int, metadata: str = "") -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    def is_committed() -> bool:
        # A coordinator that is not ready answers with an error of the partition, and the request looks done.
        request = [
            ConsumerGroupTopicPartitions("g", [TopicPartition(topic.name, 0, offset, metadata=metadata)])
        ]
        answer = topic.admin.alter_consumer_group_offsets(request)["g"].result()
        return all(part.error is None for part in answer.topic_partitions)

    wait_until(is_committed, "the broker takes the offset")
