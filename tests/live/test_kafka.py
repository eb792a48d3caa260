"""The Kafka source on a real broker, on Prism, the runner of live jobs on one machine."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import Any

import apache_beam as beam
import pytest
import tenacity
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.transforms.window import FixedWindows
from confluent_kafka import KafkaException, Producer
from sluice import acknowledgements
from sluice.clock import system_clock
from sluice.elements import OffsetSpan, RecordBatch
from sluice.errors import SourceError
from sluice.provenance import PartitionProvenance
from sluice.run_state import RunHandle, RunState
from sluice.sources import open_source
from sluice.sources.kafka import reader as kafka_reader
from sluice.sources.kafka.client import Topic, find_start, make_consumer
from sluice.sources.kafka.commits import CommitStored, ack_token_of
from sluice.sources.kafka.connector import KafkaConnector
from sluice.sources.kafka.reader import Readers
from sluice.sources.kafka.source import KafkaSource, OffsetSpanRead, PartitionDiscovery
from sluice.sources.streaming import StreamingSource

from devservers import kafka, prism
from devservers.kafka import KafkaBroker
from tests.origins import offsets_of

PATIENCE = 120
DAY = 86_400_000

TAKEN: dict[str, list[RecordBatch]] = {}
PANES: dict[str, list[int]] = {}
"""Name of a run -> what came out of it; its workers are threads of this process."""

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with kafka.start(tmp_path_factory.mktemp("kafka")) as running:
        yield running


class Bus:
    """A topic of its own, and what a producer and an administrator do with it."""

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
        # Idempotent, for what a new topic's leader refuses at first would come behind what it takes then.
        settings = {"enable.idempotence": True, "message.max.bytes": 20_000_000, "linger.ms": 5}
        return Producer({**self.settings, **settings})

    def url(self, **query: str) -> str:
        texts = "&".join(f"{key}={value}" for key, value in {"group": "g", **query}.items())
        return f"kafka://{self.broker.bootstrap}/{self.name}?{texts}"

    def send(self, values: Sequence[bytes | None], partition: int = 0, **more: Any) -> None:
        for value in values:
            self.producer.produce(self.name, value, partition=partition, **more)
            self.producer.poll(0)
        assert self.producer.flush(PATIENCE) == 0

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(KafkaException),  # a broker that has just started may refuse
        stop=tenacity.stop_after_delay(PATIENCE),
        wait=tenacity.wait_fixed(0.2),
        reraise=True,
    )
    def grow(self, partitions: int) -> None:
        """Have more partitions."""
        from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]  # not in its types

        self.admin.create_partitions([NewPartitions(self.name, partitions)])[self.name].result()
        del self.producer  # it would look for new ones every five minutes

    def committed(self, partition: int = 0) -> int:
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({**self.settings, "group.id": "g"})
        (found,) = consumer.committed([TopicPartition(self.name, partition)], timeout=PATIENCE)
        consumer.close()
        offset: int = found.offset
        return offset

    def end(self, partition: int = 0) -> int:
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({**self.settings, "group.id": "g"})
        bounds = consumer.get_watermark_offsets(TopicPartition(self.name, partition), timeout=PATIENCE)
        consumer.close()
        assert bounds is not None
        return bounds[1]


def until(condition: Callable[[], bool]) -> None:
    """Wait for what must come, and fail if it does not."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


class Take(beam.DoFn):
    """Keep what comes, and acknowledge it if the test does not want to."""

    def __init__(self, name: str, settle: bool, handle: RunHandle) -> None:
        self.name = name
        self.settle = settle
        self.handle = handle

    def process(self, batch: RecordBatch) -> Iterator[int]:
        if self.settle:
            self.handle.state.acks.complete(batch.acks(len(batch.records)))
        TAKEN[self.name].append(batch)
        yield len(batch.records)


def keep_pane(records: int, name: str) -> None:
    PANES[name].append(records)


class Reading:
    """A job that reads `source` and does nothing else; it drains when the block ends."""

    def __init__(self, source: StreamingSource, *, settle: bool = True) -> None:
        self.name = uuid.uuid4().hex
        self.handle = source.handle
        self._settle = settle
        self._source = source
        self._stored: list[RecordBatch] = []
        self._runner = ExitStack()
        TAKEN[self.name], PANES[self.name] = [], []

    def __enter__(self) -> Reading:
        runner = self._runner.enter_context(prism.start())
        pipeline = beam.Pipeline(options=PipelineOptions(runner.options, streaming=True))
        _ = (
            pipeline
            | "Read" >> self._source
            | "Take" >> beam.ParDo(Take(self.name, self._settle, self.handle))
            | "Window" >> beam.WindowInto(FixedWindows(1))
            | "Sum" >> beam.CombineGlobally(sum).without_defaults()
            | "Keep" >> beam.Map(keep_pane, self.name)
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

    def store(self, *batches: RecordBatch) -> None:
        """Settle batches that were not settled at once."""
        for batch in batches:
            self.handle.state.acks.complete(batch.acks(len(batch.records)))
            self._stored.append(batch)

    @property
    def unsettled(self) -> list[RecordBatch]:
        """Batches that are not settled, by their offsets."""
        left = [] if self._settle else [each for each in self.batches if each not in self._stored]
        return sorted(left, key=lambda batch: batch.provenance.position)

    @property
    def batches(self) -> list[RecordBatch]:
        return TAKEN[self.name]

    def records(self) -> list[bytes]:
        return [record for batch in list(self.batches) for record in batch.records]

    def pane_sizes(self) -> list[int]:
        return PANES[self.name]

    def until(self, number: int) -> None:
        until(lambda: len(self.records()) >= number)

    def metric(self, name: str) -> int:
        """Return a counter of the job when it had ended."""
        counters = self._metrics.query(MetricsFilter().with_name(name))["counters"]
        return sum(each.result for each in counters)


def reading(bus: Bus, *, settle: bool = True, **query: str) -> Reading:
    source = open_source(bus.url(**query))
    source.check()
    assert isinstance(source, KafkaSource)
    return Reading(source, settle=settle)


def numbered(start: int, stop: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(start, stop)]


def test_missing_topic_is_rejected(broker: KafkaBroker) -> None:
    where = f"kafka://{broker.bootstrap}/missing"
    with pytest.raises(SourceError) as caught:
        open_source(f"{where}?group=g").check()
    assert str(caught.value) == f"{where}: cannot read the topic: Broker: Unknown topic or partition"


def test_tls_and_password_are_read_from_the_environment(
    broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = Bus(broker)
    bus.send([b"secret"])
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "reader")
    where = f"kafka://{broker.secure}/{bus.name}"
    for password, certificate, reason in (
        ("hush", None, "certificate verify failed"),
        ("hash", str(broker.certificate), "Authentication failed"),
    ):
        monkeypatch.setenv("KAFKA_SASL_PASSWORD", password)
        if certificate is not None:
            monkeypatch.setenv("KAFKA_SSL_CA_LOCATION", certificate)
        with pytest.raises(SourceError) as caught:
            open_source(f"{where}?group=g").check()
        assert str(caught.value).startswith(f"{where}: no broker answers: ")
        assert reason in str(caught.value)
        assert password not in str(caught.value)
        assert "\n" not in str(caught.value)
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "hush")
    source = open_source(f"{where}?group=g")
    source.check()
    assert isinstance(source, KafkaSource)
    with Reading(source) as run:
        run.until(1)
    assert run.records() == [b"secret"]
    assert bus.committed() == 1


def test_records_are_read_once_with_offset_and_log_time(broker: KafkaBroker) -> None:
    bus = Bus(broker, partitions=3)
    sent = {partition: numbered(partition * 10_000, partition * 10_000 + 9_000) for partition in range(3)}
    for partition, values in sent.items():
        bus.send(values, partition, timestamp=1_700_000_000_000 + partition)
    with reading(bus) as run:
        run.until(27_000)
        until(lambda: [bus.committed(partition) for partition in range(3)] == [9_000] * 3)
    found: dict[int, dict[int, bytes]] = {0: {}, 1: {}, 2: {}}
    for batch in run.batches:
        assert isinstance(batch.provenance, PartitionProvenance)
        partition = batch.provenance.partition
        assert batch.provenance.uri == f"kafka://{bus.name}"
        assert set(batch.provenance.arrivals) == {1_700_000_000 + partition / 1000}
        assert batch.provenance.attributes is None
        found[partition] |= dict(zip(offsets_of(batch), batch.records, strict=True))
    assert len(run.records()) == 27_000
    assert found == {partition: dict(enumerate(values)) for partition, values in sent.items()}
    assert sum(run.pane_sizes()) == 27_000


def test_restart_continues_at_the_committed_prefix(
    broker: KafkaBroker,
) -> None:
    bus = Bus(broker)
    bus.send(numbered(0, 5_000))
    with reading(bus, settle=False) as run:
        run.until(5_000)
        assert len(run.unsettled) > 1
        run.store(*run.unsettled[1:])
    assert bus.committed() == 0
    with reading(bus, settle=False) as run:
        run.until(5_000)
        assert sorted(run.records()) == sorted(numbered(0, 5_000))
        first, *others, last = run.unsettled
        run.store(*others, first)
        until(lambda: bus.committed() == last.provenance.position)
    with reading(bus) as run:
        run.until(len(last.records))
    assert run.records() == last.records
    assert bus.committed() == 5_000
    bus.send([b"one more"])
    with reading(bus) as run:
        run.until(1)
    assert run.records() == [b"one more"]
    assert bus.committed() == 5_001
    assert run.handle.state.acks.outstanding().records == 0


class ReadOnCluster(StreamingSource):
    """A source as on a cluster; tickets are not those of this process."""

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
            | "Forget tickets" >> beam.Map(lambda batch: replace(batch, ack_token=None))
        )


def test_batches_on_a_cluster_claim_contiguous_offsets(broker: KafkaBroker) -> None:
    bus = Bus(broker)
    bus.send([*numbered(0, 3_000), None])
    with Reading(ReadOnCluster(KafkaConnector.parse(bus.url()).topic)) as run:
        run.until(3_000)
        bus.send([None, *numbered(0, 10)])
        run.until(3_010)
    claims = sorted(batch.offset_span for batch in run.batches if batch.offset_span is not None)
    assert len(claims) == len(run.batches) > 2
    assert [offset_span.first for offset_span in claims] == [True] + [False] * (len(claims) - 1)
    assert [offset_span.start for offset_span in claims] == [
        0,
        *(offset_span.end for offset_span in claims[:-1]),
    ]
    assert claims[-1].end == 3_012
    assert bus.committed() < 0  # nothing is committed here


def test_cluster_commits_only_stored_records(broker: KafkaBroker) -> None:
    bus = Bus(broker, partitions=2)
    for partition in range(2):
        bus.send(numbered(0, 10), partition)
    read = [
        claimed(0, 0, 4),
        claimed(0, 4, 5, gap=True),
        claimed(0, 5, 8),
        claimed(0, 8, 10),
        claimed(1, 0, 10),
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
        } | CommitStored(KafkaConnector.parse(bus.url()).topic)
    assert (bus.committed(0), bus.committed(1)) == (5, 10)


def claimed(partition: int, start: int, end: int, *, gap: bool = False) -> RecordBatch:
    """Return what was read from one offset to another; a gap has no records."""
    offsets = [] if gap else list(range(start, end))
    offset_span = OffsetSpan(start, end, first=start == 0)
    provenance = PartitionProvenance("kafka://t", 0.0, partition, offsets, [0.0] * len(offsets))
    return RecordBatch([b"{}"] * len(offsets), provenance, offset_span=offset_span)


def test_added_partitions_are_read_from_their_beginning(broker: KafkaBroker) -> None:
    bus = Bus(broker)
    bus.send([b"old"])
    with reading(bus, start="earliest") as run:
        run.until(1)
        bus.grow(3)
        bus.send([b"new"], 2)
        run.until(2)
        assert run.batches[-1].origin(0).partition == 2
    assert sorted(run.records()) == [b"new", b"old"]


def test_idle_partitions_do_not_delay_the_watermark(broker: KafkaBroker) -> None:
    bus = Bus(broker, partitions=3)
    bus.send([b"a", b"b"], 1)
    with reading(bus) as run:
        run.until(2)
        until(lambda: sum(run.pane_sizes()) == 2)  # the window of the records has closed


def test_watermark_follows_the_slowest_partition(broker: KafkaBroker) -> None:
    bus = Bus(broker, partitions=2)
    now = int(time.time() * 1000)
    for day in range(200, 0, -1):
        bus.send([b"x" * 100] * 500, 0, timestamp=now - day * DAY)
    bus.send([b"new"], 1)
    with reading(bus) as run:
        run.until(100_001)
        until(lambda: sum(run.pane_sizes()) == 100_001)  # the windows allow no lateness: none was dropped


def test_open_transactions_delay_and_aborted_transactions_are_skipped(broker: KafkaBroker) -> None:
    bus = Bus(broker)
    producer = Producer({**bus.settings, "transactional.id": bus.name})
    producer.init_transactions(PATIENCE)

    def transaction(*values: bytes) -> None:
        producer.begin_transaction()
        for value in values:
            producer.produce(bus.name, value)
        assert producer.flush(PATIENCE) == 0

    transaction(b"0", b"1")
    producer.commit_transaction(PATIENCE)
    transaction(b"aborted")
    producer.abort_transaction(PATIENCE)
    with reading(bus) as run:
        run.until(2)
        until(lambda: bus.committed() == 5)  # behind both markers
        transaction(b"2")
        bus.send([b"3"])
        producer.commit_transaction(PATIENCE)
        run.until(4)
        until(lambda: bus.committed() == bus.end() == 8)
    assert run.records() == [b"0", b"1", b"2", b"3"]
    assert [offset for batch in run.batches for offset in offsets_of(batch)] == [0, 1, 5, 6]


def test_keys_headers_and_tombstones_become_attributes(broker: KafkaBroker) -> None:
    bus = Bus(broker)
    bus.send([b"a"], key=b"user-1", headers=[("trace", b"t1"), ("bin", b"\xff"), ("trace", b"t2")])
    bus.send([None], key=b"user-1")
    bus.send([b"b", b""])
    bus.send([None], key=b"user-2")
    with reading(bus) as run:
        run.until(3)
        until(lambda: bus.committed() == 5)
    assert run.records() == [b"a", b"b", b""]
    origins = [batch.origin(index) for batch in run.batches for index in range(len(batch.records))]
    assert [origin.offset for origin in origins] == [0, 2, 3]
    expected: list[Mapping[str, str]] = [
        {"kafka.key": "user-1", "trace": "t1", "bin;base64": "/w==", "trace#2": "t2"},
        {},
        {},
    ]
    assert [origin.attributes for origin in origins] == expected
    assert run.metric("tombstones") == 2


def test_a_message_of_ten_megabytes(broker: KafkaBroker) -> None:
    bus = Bus(broker, **{"max.message.bytes": 20_000_000})
    large = b"x" * 10_000_000
    bus.send([b"before", large, b"behind"])
    with reading(bus) as run:
        run.until(3)
    assert run.records() == [b"before", large, b"behind"]


def test_killed_broker_that_restarts_loses_no_record(tmp_path: Path) -> None:
    with kafka.start(tmp_path) as broker:
        bus = Bus(broker, partitions=2)
        bus.send(numbered(0, 1_000))
        with reading(bus) as run:
            run.until(1_000)
            until(lambda: bus.committed() == 1_000)
            broker.kill()
            time.sleep(3)  # the outage
            broker.start()
            bus.send(numbered(1_000, 2_000))
            bus.send([b"other"], 1)
            run.until(2_001)
            until(lambda: (bus.committed(0), bus.committed(1)) == (2_000, 1))
        assert sorted(run.records()) == sorted([*numbered(0, 2_000), b"other"])


def test_job_drains_while_the_broker_is_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "sluice")
    with kafka.start(tmp_path) as broker:
        bus = Bus(broker)
        bus.send(numbered(0, 10))
        with reading(bus, settle=False) as run:
            run.until(10)
            broker.kill()
            run.store(*run.unsettled)
        # A slow machine may also be told that the partition has not been reached for a minute.
        told = f"kafka://{bus.name}: cannot commit the offsets of the group g: "
        assert [text.startswith(told) for text in caplog.messages].count(True) == 1


def test_group_with_other_members_is_warned_about(
    broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    from confluent_kafka import Consumer

    caplog.set_level(logging.WARNING, "sluice")
    bus = Bus(broker)
    bus.send(numbered(0, 10))
    other = Consumer({**bus.settings, "group.id": f"g-{bus.name}"})
    other.subscribe([bus.name])
    until(lambda: other.poll(0.1) is None and bool(other.assignment()))
    with reading(bus, group=f"g-{bus.name}") as run:
        run.until(10)
        until(lambda: bool(caplog.messages))
    other.close()
    assert len(run.records()) == 10
    assert [text for text in caplog.messages if bus.name in text] == [
        f"kafka://{bus.name}: cannot commit the offsets of the group g-{bus.name}: Broker: Unknown member; retrying. "
        "Nothing is lost: after a restart records are read again and removed as duplicates"
    ]


def test_start_option_selects_the_first_offset(broker: KafkaBroker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "sluice")
    bus = Bus(broker)
    for second in range(5):
        bus.send([b"x"], timestamp=1_700_000_000_000 + second * 1000)
    delete_below(bus, 1)

    def start(text: str, *, new: bool = False) -> int:
        topic = KafkaConnector.parse(bus.url(start=text)).topic
        consumer = make_consumer(topic, lambda reason: None)
        try:
            return find_start(consumer, topic, 0, new=new)
        finally:
            consumer.close()

    assert start("earliest") == 1
    assert start("latest") == 5
    assert start("latest", new=True) == 1
    assert start("2023-11-14T22:13:22Z") == 2
    assert start("2023-11-14T22:13:22.5Z") == 3
    assert start("2024-01-01T00:00:00Z") == 5
    assert start("1999-01-01T00:00:00Z") == 1
    assert start("committed") == 1
    for committed, expected in ((3, 3), (5, 5), (0, 1), (9, 1)):
        commit(bus, committed)
        assert start("committed") == expected
    assert caplog.messages == [
        f"kafka://{bus.name}, partition 0: the group g is at offset {committed}, but the partition has 1 to 5; "
        "reading from 1"
        for committed in (0, 9)
    ]


def test_start_time_selects_the_first_record(broker: KafkaBroker) -> None:
    bus = Bus(broker)
    for second in range(5):
        bus.send([b"%d" % second], timestamp=1_700_000_000_000 + second * 1000)
    with reading(bus, start="2023-11-14T22:13:22Z") as run:
        run.until(3)
    assert run.records() == [b"2", b"3", b"4"]


def test_deleted_offsets_are_skipped_with_a_warning(
    broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "sluice")
    bus = Bus(broker)
    bus.send(numbered(0, 10))
    delete_below(bus, 7)
    readers = Readers(KafkaConnector.parse(bus.url()).topic, system_clock, RunState())
    reader = readers.reader(0, 2)
    found: list[int] = []

    def read() -> bool:
        found.extend(message.offset() for message in reader.read(100))
        return bool(found)

    until(read)
    assert found == [7, 8, 9]
    assert caplog.messages == [
        f"kafka://{bus.name}, partition 0: offsets 2 to 6 were deleted before they were read (retention); "
        "reading from 7"
    ]
    found.clear()
    readers.reader(0, 11)
    with pytest.raises(SourceError) as caught:
        until(read)
    assert str(caught.value) == (
        f"kafka://{bus.name}, partition 0: expected offset 11, got a partition that ends at 10: it was recreated or "
        "lost records; run again to read it from its beginning"
    )
    readers.commits.flush()
    reader.close()


def test_last_commit_is_retried_until_the_broker_answers(
    broker: KafkaBroker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reader, "ANSWER_SECONDS", 1.0)
    caplog.set_level(logging.WARNING, "sluice")
    bus = Bus(broker)
    bus.send(numbered(0, 10))
    readers = Readers(KafkaConnector.parse(bus.url()).topic, system_clock, RunState())
    readers.commits.request(0, 3)
    assert readers.commits.flush()
    reader = readers.reader(0, 3)
    reader.offsets.add(10)()
    readers.commits.request(0, 3)
    broker.freeze()
    closing = Thread(target=readers.close)
    closing.start()
    until(lambda: bool(caplog.messages))
    broker.thaw()
    closing.join()
    assert caplog.messages == [
        f"kafka://{bus.name}: cannot commit the offsets of the group g: Failed while waiting for response from "
        "broker: Local: Timed out; retrying. Nothing is lost: after a restart records are read again and "
        "removed as duplicates"
    ]
    assert bus.committed() == 10


def delete_below(bus: Bus, offset: int) -> None:
    from confluent_kafka import TopicPartition

    where = TopicPartition(bus.name, 0, offset)
    bus.admin.delete_records([where])[TopicPartition(bus.name, 0)].result()


def commit(bus: Bus, offset: int) -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    request = [ConsumerGroupTopicPartitions("g", [TopicPartition(bus.name, 0, offset)])]
    bus.admin.alter_consumer_group_offsets(request)["g"].result()


def test_source_pauses_while_too_many_records_are_outstanding(
    broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledgements, "MAX_OUTSTANDING_RECORDS", 10)
    bus = Bus(broker)
    bus.send(numbered(0, 10))
    with reading(bus, settle=False) as run:
        run.until(10)
        bus.send(numbered(10, 20))
        assert run.handle.state.acks.is_full()
        for batch in run.unsettled:
            assert len(run.records()) == 10
            run.store(batch)
        run.until(20)
    assert run.records() == numbered(0, 20)
