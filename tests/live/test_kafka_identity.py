"""A topic that is deleted and created again is another topic: nothing of it is skipped."""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from sluice.errors import SourceError
from sluice.sources.kafka.client import find_start, make_consumer
from sluice.sources.kafka.connector import KafkaConnector
from sluice.sources.kafka.identity import TopicIdentity

from devservers.kafka import KafkaBroker
from devservers.live_job import EmbeddedWarehouse
from devservers.sluice_command import ForkedSluiceProcess
from devservers.sluice_process import SLUICE, SluiceProcess
from devservers.waiting import wait_until
from tests.live.kafka_fixture import TIMEOUT_SECONDS, OwnTopic, commit, numbered, reading

pytestmark = pytest.mark.alone


def topic_id(topic: OwnTopic) -> str:
    identity = TopicIdentity(KafkaConnector.parse(topic.url()).topic)
    ids: list[str] = []

    def is_known() -> bool:
        description = identity.describe()
        ids.extend([description.id] if description is not None else [])
        return bool(ids)

    wait_until(is_known, "a broker describes the topic", TIMEOUT_SECONDS)
    assert len(ids[0]) == 22
    return ids[0]


def remake(topic: OwnTopic, partitions: int = 1) -> None:
    """Delete a topic and create it again, at once."""
    from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # not in its types

    topic.admin.delete_topics([topic.name])[topic.name].result()

    def is_created() -> bool:
        try:
            topic.admin.create_topics([NewTopic(topic.name, partitions, 1)])[topic.name].result()
        except KafkaException as error:  # the old one is still being deleted
            assert "already exists" in str(error)
            return False
        return True

    wait_until(is_created, "the topic is created again", TIMEOUT_SECONDS)
    topic.__dict__.pop("producer", None)  # it knows the old one


def test_new_topic_that_is_longer_ends_the_job_and_is_read_whole(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker)
    topic.send(numbered(0, 500))
    before = topic_id(topic)
    with reading(topic) as run:
        run.until(500)
        wait_until(lambda: topic.committed() == 500, "the offset 500 is committed")
        remake(topic)
        topic.send(numbered(1_000, 1_900))
        wait_until(run.handle.state.draining.is_set, "the job ends by itself", TIMEOUT_SECONDS)
    assert run.records() == numbered(0, 500)
    assert str(run.handle.state.failure) == (
        f"kafka://{topic.name}: expected the topic with the id {before}, got one with the id {topic_id(topic)}: it was "
        "deleted and created again; run again to read the new one"
    )
    with reading(topic) as again:
        again.until(900)
        wait_until(lambda: topic.committed() == 900, "the offset 900 is committed")
    assert again.records() == numbered(1_000, 1_900)
    assert again.handle.state.failure is None


def test_records_that_were_read_are_stored_before_the_job_ends(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker)
    topic.send(numbered(0, 10))
    with reading(topic, complete=False) as run:
        run.until(10)
        remake(topic)
        wait_until(run.handle.state.draining.is_set, "the job ends by itself", TIMEOUT_SECONDS)
        assert run.handle.state.acks.outstanding().records == 10
        run.complete(*run.incomplete)
    assert run.records() == numbered(0, 10)


@pytest.mark.parametrize("new_records", [0, 2, 5, 9])
def test_committed_offset_of_another_topic_is_no_position(
    broker: KafkaBroker, caplog: pytest.LogCaptureFixture, new_records: int
) -> None:
    caplog.set_level(logging.WARNING, "sluice")
    topic = OwnTopic(broker)
    topic.send(numbered(0, 5))
    before = topic_id(topic)
    commit(topic, 1)
    remake(topic)
    wait_until(
        lambda: topic.committed() < 0, "the broker forgets the offsets of the old topic", TIMEOUT_SECONDS
    )
    topic.send(numbered(0, new_records))
    commit(topic, 5, f"topic_id={before}")  # as a job does that has not noticed yet
    parsed, after = KafkaConnector.parse(topic.url()).topic, topic_id(topic)
    consumer = make_consumer(parsed, lambda reason: None)
    try:
        assert find_start(consumer, parsed, 0, topic_id=after).offset == 0
        assert caplog.messages == [
            f"kafka://{topic.name}, partition 0: the group g is at offset 5 of the topic with the id {before}, which "
            f"was deleted and created again with the id {after}; reading from 0"
        ]
        topic.send(numbered(0, 5))
        commit(topic, 4, f"topic_id={after}")
        assert find_start(consumer, parsed, 0, topic_id=after).offset == 4
        for metadata in ("", "set by hand"):
            commit(topic, 3, metadata)
            assert find_start(consumer, parsed, 0, topic_id=after).offset == 3
    finally:
        consumer.close()


def test_identity_is_confirmed_only_by_an_answer_that_was_asked_for_later(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker)
    before = topic_id(topic)
    identity = TopicIdentity(KafkaConnector.parse(topic.url()).topic)
    started = time.monotonic()
    wait_until(lambda: identity.confirm(before, started), "a broker answers", TIMEOUT_SECONDS)
    remake(topic)
    assert identity.confirm(before, started)  # what was read until then is of the old topic
    after = topic_id(topic)
    with pytest.raises(SourceError) as caught:
        wait_until(lambda: identity.confirm(before, time.monotonic()), "a broker answers", TIMEOUT_SECONDS)
    assert f"got one with the id {after}" in str(caught.value)
    assert identity.confirm("", time.monotonic())  # a broker without ids


class Clicks:
    """A run of the job `clickstream`, whose events are told apart by where they were delivered."""

    def __init__(self, folder: Path, topic: OwnTopic) -> None:
        self.folder, self.topic, self.runs = folder, topic, 0
        self.warehouse = EmbeddedWarehouse(folder / "w.duckdb")

    def send(self, number: int) -> None:
        now = datetime.now(UTC).isoformat()
        self.topic.send([b'{"user_id":"u","event_type":"click","timestamp":"%b"}' % now.encode()] * number)

    def start(self) -> SluiceProcess:
        self.runs += 1
        command = [
            SLUICE, "run", "jobs/clickstream.yaml", f"--source={self.topic.url()}", "--load", "events",
            "--files", str(self.folder / "files"), "--dead-letters", str(self.folder / "dead"),
            "--warehouse", self.warehouse.url, "--windows.flush", "2s",
            "--report", str(self.folder / f"report{self.runs}.json"),
        ]  # fmt: skip
        return ForkedSluiceProcess(command, os.environ, self.folder / f"run{self.runs}.log")

    def stored(self) -> int:
        files = (self.folder / "files" / "user_activity").rglob("user_activity_*.json")
        return sum(len(path.read_bytes().splitlines()) for path in files)

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.folder / f"report{self.runs}.json").read_bytes())
        return {name: report[name] for name in ("read", "accepted", "duplicates", "rejected", "reconciled")}


@pytest.mark.long
def test_equal_records_of_both_topics_are_all_events(broker: KafkaBroker, tmp_path: Path) -> None:
    clicks = Clicks(tmp_path, OwnTopic(broker))
    clicks.send(50)
    run = clicks.start()
    wait_until(lambda: clicks.stored() == 50, "the events are stored", TIMEOUT_SECONDS)
    remake(clicks.topic)
    clicks.send(90)
    assert run.finish() == 1
    assert "it was deleted and created again; run again to read the new one" in run.output()
    assert clicks.report() == {"read": 50, "accepted": 50, "duplicates": 0, "rejected": 0, "reconciled": True}
    run = clicks.start()
    wait_until(lambda: clicks.stored() == 140, "the events of the new topic are stored", TIMEOUT_SECONDS)
    run.process.terminate()
    assert run.finish() == 0
    assert clicks.report() == {"read": 90, "accepted": 90, "duplicates": 0, "rejected": 0, "reconciled": True}
    assert clicks.warehouse.query("select count(*), count(distinct _event_id) from user_activity") == [
        (140, 140)
    ]
