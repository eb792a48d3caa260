"""The Kafka source while its broker is down or does not answer."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Thread

import pytest
from sluice.clock import system_clock
from sluice.run_state import RunState
from sluice.sources.kafka import reader as kafka_reader
from sluice.sources.kafka.client import Outage
from sluice.sources.kafka.connector import KafkaConnector
from sluice.sources.kafka.reader import Readers

from devservers import kafka
from devservers.kafka import KafkaBroker
from devservers.waiting import wait_until
from tests.live.kafka_fixture import (
    OwnTopic,
    numbered,
    reading,
)

pytestmark = pytest.mark.alone


def test_killed_broker_that_restarts_loses_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = []
    failed = Outage.failed

    def observe(outage: Outage, partition: int, reason: str) -> None:
        failures.append(partition)
        failed(outage, partition, reason)

    monkeypatch.setattr(Outage, "failed", observe)
    with kafka.start(tmp_path) as broker:
        topic = OwnTopic(broker, partitions=2)
        topic.send(numbered(0, 1_000))
        with reading(topic) as run:
            run.until(1_000)
            wait_until(lambda: topic.committed() == 1_000, "the offset 1000 is committed")
            broker.kill()
            wait_until(lambda: failures, "the source notices the outage")
            broker.start()
            topic.send(numbered(1_000, 2_000))
            topic.send([b"other"], 1)
            run.until(2_001)
            wait_until(
                lambda: (topic.committed(0), topic.committed(1)) == (2_000, 1),
                "the offsets of all records are committed",
            )
        assert sorted(run.records()) == sorted([*numbered(0, 2_000), b"other"])


def test_job_drains_while_the_broker_is_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "sluice")
    with kafka.start(tmp_path) as broker:
        topic = OwnTopic(broker)
        topic.send(numbered(0, 10))
        with reading(topic, complete=False) as run:
            run.until(10)
            broker.kill()
            run.complete(*run.incomplete)
        # On a slow machine there may also be the warning that the partition was not reached for a minute.
        expected = f"kafka://{topic.name}: cannot commit the offsets of the group g: "
        assert [text.startswith(expected) for text in caplog.messages].count(True) == 1


def test_last_commit_is_retried_until_the_broker_answers(
    broker: KafkaBroker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, "sluice")
    topic = OwnTopic(broker)
    topic.send(numbered(0, 10))
    readers = Readers(KafkaConnector.parse(topic.url()).topic, system_clock, RunState())
    readers.commits.request(0, 3)
    wait_until(readers.commits.flush, "the coordinator of the group has started")
    caplog.clear()
    monkeypatch.setattr(kafka_reader, "ANSWER_SECONDS", 1.0)
    reader = readers.reader(0, 3)
    reader.offsets.add(10)()
    readers.commits.request(0, 3)
    broker.freeze()
    try:
        closing = Thread(target=readers.close)
        closing.start()
        wait_until(lambda: bool(caplog.messages), "a warning is logged")
    finally:
        broker.thaw()  # other tests have it, too
    closing.join()
    assert caplog.messages == [
        f"kafka://{topic.name}: cannot commit the offsets of the group g: Failed while waiting for response from "
        "broker: Local: Timed out; retrying. Nothing is lost: after a restart records are read again and "
        "removed as duplicates"
    ]
    assert topic.committed() == 10
