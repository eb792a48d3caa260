"""The records that the Kafka source reads from a real broker, on Prism."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

import pytest
from confluent_kafka import Producer
from sluice import acknowledgements
from sluice.errors import SourceError
from sluice.provenance import PartitionProvenance
from sluice.sources import open_source
from sluice.sources.kafka.source import KafkaSource

from devservers.kafka import KafkaBroker
from devservers.waiting import wait_until
from tests.live.kafka_fixture import (
    DAY,
    TIMEOUT_SECONDS,
    OwnTopic,
    Reading,
    numbered,
    reading,
)
from tests.origins import offsets_of

pytestmark = pytest.mark.alone


def test_missing_topic_is_rejected(broker: KafkaBroker) -> None:
    where = f"kafka://{broker.bootstrap}/missing"
    with pytest.raises(SourceError) as caught:
        open_source(f"{where}?group=g").check()
    assert str(caught.value) == f"{where}: cannot read the topic: Broker: Unknown topic or partition"


def test_tls_and_password_are_read_from_the_environment(
    broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = OwnTopic(broker)
    topic.send([b"secret"])
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "reader")
    where = f"kafka://{broker.secure}/{topic.name}"
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
    assert topic.committed() == 1


def test_records_are_read_once_with_offset_and_log_time(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker, partitions=3)
    sent = {partition: numbered(partition * 10_000, partition * 10_000 + 9_000) for partition in range(3)}
    for partition, values in sent.items():
        topic.send(values, partition, timestamp=1_700_000_000_000 + partition)
    with reading(topic) as run:
        run.until(27_000)
        wait_until(
            lambda: [topic.committed(partition) for partition in range(3)] == [9_000] * 3,
            "the offset 9000 of each partition is committed",
        )
    records: dict[int, dict[int, bytes]] = {0: {}, 1: {}, 2: {}}
    for batch in run.batches:
        assert isinstance(batch.provenance, PartitionProvenance)
        partition = batch.provenance.partition
        assert batch.provenance.uri == f"kafka://{topic.name}"
        assert set(batch.provenance.arrivals) == {1_700_000_000 + partition / 1000}
        assert batch.provenance.attributes is None
        records[partition] |= dict(zip(offsets_of(batch), batch.records, strict=True))
    assert len(run.records()) == 27_000
    assert records == {partition: dict(enumerate(values)) for partition, values in sent.items()}
    assert sum(run.pane_sizes()) == 27_000


def test_added_partitions_are_read_from_their_beginning(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker)
    topic.send([b"old"])
    with reading(topic, start="earliest") as run:
        run.until(1)
        topic.grow(3)
        topic.send([b"new"], 2)
        run.until(2)
        assert run.batches[-1].origin(0).partition == 2
    assert sorted(run.records()) == [b"new", b"old"]


def test_idle_partitions_do_not_delay_the_watermark(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker, partitions=3)
    topic.send([b"a", b"b"], 1)
    with reading(topic) as run:
        run.until(2)
        wait_until(lambda: sum(run.pane_sizes()) == 2, "the window of both records is closed")
    assert sorted(run.records()) == [b"a", b"b"]


def test_watermark_follows_the_slowest_partition(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker, partitions=2)
    now = int(time.time() * 1000)
    for day in range(200, 0, -1):
        topic.send([b"x" * 100] * 500, 0, timestamp=now - day * DAY)
    topic.send([b"new"], 1)
    with reading(topic) as run:
        run.until(100_001)
        wait_until(
            lambda: sum(run.pane_sizes()) == 100_001, "the windows of all records are closed"
        )  # without lateness: none was dropped
    assert Counter(run.records()) == {b"x" * 100: 100_000, b"new": 1}


def test_open_transactions_delay_and_aborted_transactions_are_skipped(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker)
    producer = Producer({**topic.settings, "transactional.id": topic.name})
    producer.init_transactions(TIMEOUT_SECONDS)

    def transaction(*values: bytes) -> None:
        producer.begin_transaction()
        for value in values:
            producer.produce(topic.name, value)
        assert producer.flush(TIMEOUT_SECONDS) == 0

    transaction(b"0", b"1")
    producer.commit_transaction(TIMEOUT_SECONDS)
    transaction(b"aborted")
    producer.abort_transaction(TIMEOUT_SECONDS)
    with reading(topic) as run:
        run.until(2)
        wait_until(lambda: topic.committed() == 5, "the offset 5 is committed")  # behind both markers
        transaction(b"2")
        topic.send([b"3"])
        producer.commit_transaction(TIMEOUT_SECONDS)
        run.until(4)
        wait_until(lambda: topic.committed() == topic.end() == 8, "the offset 8 is committed")
    assert run.records() == [b"0", b"1", b"2", b"3"]
    assert [offset for batch in run.batches for offset in offsets_of(batch)] == [0, 1, 5, 6]


def test_keys_headers_and_tombstones_become_attributes(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker)
    topic.send([b"a"], key=b"user-1", headers=[("trace", b"t1"), ("bin", b"\xff"), ("trace", b"t2")])
    topic.send([None], key=b"user-1")
    topic.send([b"b", b""])
    topic.send([None], key=b"user-2")
    with reading(topic) as run:
        run.until(3)
        wait_until(lambda: topic.committed() == 5, "the offset 5 is committed")
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


def test_message_of_ten_megabytes_is_read(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker, **{"max.message.bytes": 20_000_000})
    large = b"x" * 10_000_000
    topic.send([b"before", large, b"behind"])
    with reading(topic) as run:
        run.until(3)
    assert run.records() == [b"before", large, b"behind"]


def test_source_pauses_while_too_many_records_are_outstanding(
    broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledgements, "MAX_OUTSTANDING_RECORDS", 10)
    topic = OwnTopic(broker)
    topic.send(numbered(0, 10))
    with reading(topic, complete=False) as run:
        run.until(10)
        topic.send(numbered(10, 20))
        assert run.handle.state.acks.is_full()
        for batch in run.incomplete:
            assert len(run.records()) == 10
            run.complete(batch)
        run.until(20)
    assert run.records() == numbered(0, 20)
