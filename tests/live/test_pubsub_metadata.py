"""Pub/Sub subscriptions that change under a job, and whatever a publisher sends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sluice import acknowledgements
from sluice.elements import ATTRIBUTE_BYTES, RECORD_BYTES
from sluice.errors import SourceError
from sluice.sources import open_source
from sluice.sources.pubsub import identity
from sluice.sources.pubsub.subscriber import open_subscriber

from devservers import pubsub
from devservers.pubsub import PubSubEmulator, PubSubTopic
from devservers.waiting import wait_until
from tests.live.hostile_fixture import Sent, payloads, run_and_check
from tests.live.test_pubsub import reading

_NAMES = (f"changing-{number}" for number in count(1))

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def emulator() -> Iterator[PubSubEmulator]:
    with pubsub.start() as server:
        yield server


@pytest.fixture
def topic(emulator: PubSubEmulator, monkeypatch: pytest.MonkeyPatch) -> PubSubTopic:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator.host)
    monkeypatch.setattr(identity, "LOOK_SECONDS", 1.0)
    return emulator.create(next(_NAMES), ack_deadline_seconds=10)


def delete_topic(topic: PubSubTopic) -> None:
    with topic.server.client("Publisher") as publisher:
        publisher.delete_topic(topic=topic.path)


def move(topic: PubSubTopic, path: str) -> None:
    """Delete a subscription, and create it again for the topic `path`."""
    with topic.server.client("Subscriber") as client:
        client.delete_subscription(subscription=topic.subscription)
        client.create_subscription(name=topic.subscription, topic=path)


def test_job_ends_when_the_topic_of_its_subscription_is_deleted(
    topic: PubSubTopic, caplog: pytest.LogCaptureFixture
) -> None:
    topic.publish([b"before"])
    with reading(open_source(topic.source)) as read:
        wait_until(lambda: read.records == [b"before"], "the message is read")
        delete_topic(topic)
        wait_until(read.run.draining.is_set, "the job ends by itself")
    assert str(read.run.failure) == (
        f"{topic.subscription}: expected a subscription of {topic.path}, got one whose topic was deleted: it delivers "
        "what it has, and nothing that is published later; create it again"
    )
    caplog.clear()
    with caplog.at_level(logging.WARNING, "sluice"):
        open_source(topic.source).check()
    assert caplog.messages == [
        f"{topic.source}: its topic was deleted: it delivers what it has, and nothing that is published later"
    ]
    with pytest.raises(SourceError) as caught:
        open_source(f"pubsub://{topic.path}?subscription={topic.name}").check()
    assert str(caught.value) == (
        f"pubsub://{topic.path}: the topic of {topic.subscription} was deleted; delete it too, or choose another name "
        "with ?subscription=NAME"
    )


def test_messages_of_another_topic_are_not_read(emulator: PubSubEmulator, topic: PubSubTopic) -> None:
    other = emulator.create(next(_NAMES))
    topic.publish([b"before"])
    with reading(open_source(topic.source)) as read:
        wait_until(lambda: read.records == [b"before"], "the message is read")
        move(topic, other.path)
        other.publish([b"other"])
        wait_until(read.run.draining.is_set, "the job ends by itself")
    assert read.records == [b"before"]
    assert str(read.run.failure) == (
        f"{topic.subscription}: expected a subscription of {topic.path}, got one of {other.path}: it was deleted and "
        "created again; run again to read it"
    )
    with reading(open_source(topic.source)) as read:
        wait_until(lambda: read.records == [b"other"], "the message of the other topic is read")
    assert topic.pull() == []


def test_subscription_that_is_created_again_for_its_topic_is_read_on(topic: PubSubTopic) -> None:
    topic.publish([b"before"])
    with reading(open_source(topic.source)) as read:
        leases = open_subscriber(topic.subscription, None, read.run)
        # The emulator numbers its ack ids: one of the old subscription would acknowledge a message of the new one.
        wait_until(
            lambda: read.records == [b"before"] and not leases.outstanding(), "the message is acknowledged"
        )
        move(topic, topic.path)
        topic.publish([b"after"])
        wait_until(lambda: read.records == [b"before", b"after"], "both messages are read")
    assert read.run.failure is None
    assert topic.pull() == []


ATTRIBUTES: list[dict[str, str]] = [
    {},
    {f"a{number}": "v" * 1024 for number in range(100)},
    {"\u00e9" * 100: "\u20ac" * 300},
    {"\0": "\0", " ": "", "\n": "\u202e"},
    {"orderingKey": "o", "deliveryAttempt": "99", "_id": "7", "kafka.key": "k"},
]


@pytest.mark.long
def test_hostile_messages_are_events_or_dead_letters(topic: PubSubTopic, tmp_path: Path) -> None:
    hostile: list[dict[str, Any]] = [
        *({"attributes": attributes} for attributes in ATTRIBUTES),
        *({"ordering_key": key} for key in ("k", "\0", "\u00e9" * 500, "k" * 1024)),
    ]
    messages: list[dict[str, Any]] = []
    rejected = 0
    for number, metadata in enumerate(hostile):
        made = payloads(10 * number)
        # A message without data needs an attribute.
        letters = [record for record in made.rejected if record or metadata.get("attributes")]
        messages += [{"data": record, **metadata} for record in (*made.events, *letters)]
        rejected += len(letters)
    large = b"\xff" * 9_000_000
    messages.append({"data": large})
    with topic.server.client("Publisher") as publisher:
        for message in messages:
            publisher.publish(topic=topic.path, messages=[message])
    sent = Sent(events=2 * len(hostile), rejected=rejected + 1)
    run_and_check(tmp_path, topic.source, sent, dict(topic.environment))
    assert topic.pull() == []


def test_attributes_count_as_memory(topic: PubSubTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    value = "v" * 1024
    topic.publish([b"{}"] * 50, **{f"a{number}": value for number in range(10, 60)})
    footprint = len(b"{}") + RECORD_BYTES + 50 * (ATTRIBUTE_BYTES + len("a10") + len(value))
    monkeypatch.setattr(acknowledgements, "MAX_OUTSTANDING_BYTES", 50 * footprint)
    with reading(open_source(topic.source), completing=False) as read:
        wait_until(lambda: len(read.records) == 50, "the messages are read")
        outstanding = read.run.acks.outstanding()
        assert (outstanding.records, outstanding.bytes) == (50, 50 * footprint)
        assert read.run.acks.is_full()
        read.complete()
