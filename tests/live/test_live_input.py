"""What must hold whatever comes, and however often: the other half of the fault matrix of docs/reliability.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Consumer

from devservers.kafka import KafkaTopic
from devservers.live_job import LiveJob, wait_until
from devservers.record_feed import BackgroundPublisher, RecordFeed
from tests.live.live_fixture import MakeJob, drain_and_check

pytestmark = [
    pytest.mark.alone,
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
    pytest.mark.timeout(600),
]

RATE = 500


@contextmanager
def subscribed(topic: KafkaTopic) -> Iterator[Consumer]:
    """Join the job's group as other programs do: the broker shares the partitions out, and takes commits of members."""
    settings = {
        "bootstrap.servers": topic.broker.bootstrap,
        "group.id": topic.group,
        "enable.auto.commit": False,
    }
    with closing(Consumer(settings)) as consumer:
        consumer.subscribe([topic.name])
        yield consumer


def test_messages_redelivered_to_a_new_group_are_duplicates(job: LiveJob, topic: KafkaTopic) -> None:
    feed = RecordFeed(21)
    topic.publish(feed.take(5 * RATE))
    drain_and_check(job, feed, job.start())
    topic.group += "-again"
    again = job.start()
    wait_until(lambda: topic.unacknowledged() == 0, again)
    report = drain_and_check(job, feed, again)
    assert (report["read"], report["accepted"]) == (feed.published, 0)
    assert (report["duplicates"], report["rejected"]) == (feed.published - len(feed.broken), len(feed.broken))


def test_group_changes_lose_no_record(job: LiveJob, new_job: MakeJob, topic: KafkaTopic) -> None:
    feed, other = RecordFeed(22), new_job(topic)
    other.files, other.dead_letters, other.warehouse = job.files, job.dead_letters, job.warehouse
    first = job.start()
    with BackgroundPublisher(topic, feed, RATE):
        wait_until(lambda: job.stored() > 0, first)
        second = other.start()
        wait_until(lambda: other.read() > 0, second)
        with subscribed(topic) as consumer:
            wait_until(lambda: consumer.poll(0.1) is not None and "cannot commit" in first.output(), first)
        report = other.drain(second)
        seen = feed.published
        wait_until(lambda: feed.published > seen + RATE, first)
    wait_until(lambda: topic.unacknowledged() == 0, first)
    accepted = report["accepted"] + drain_and_check(job, feed, first)["accepted"]
    assert accepted == len(feed.events)


@pytest.mark.parametrize("broken", [0.05, 0.5, 1.0])
def test_broken_records_become_dead_letters(job: LiveJob, topic: KafkaTopic, broken: float) -> None:
    feed = RecordFeed(23, broken=broken, duplicates=0)
    running = job.start()
    topic.publish(feed.take(5 * RATE))
    report = drain_and_check(job, feed, running)
    assert (report["read"], report["rejected"]) == (feed.published, len(feed.broken))


def test_late_events_are_stored_and_future_events_rejected(job: LiveJob, topic: KafkaTopic) -> None:
    feed, now = RecordFeed(24, broken=0, duplicates=0), datetime.now(UTC)
    running = job.start()
    topic.publish(feed.take(RATE))
    wait_until(lambda: job.stored() == RATE, running)
    accepted = [timedelta(minutes=-3), timedelta(hours=-5), timedelta(days=-6), timedelta(minutes=9)]
    lost = [timedelta(days=-8), timedelta(minutes=11)]
    made = json.loads(next(event for event in feed.events if b'"inventory"' in event))
    feed.events += [json.dumps({**made, "timestamp": (now + age).isoformat()}).encode() for age in accepted]
    feed.broken += [json.dumps({**made, "timestamp": (now + age).isoformat()}).encode() for age in lost]
    topic.publish(feed.events[RATE:] + feed.broken)
    report = drain_and_check(job, feed, running)
    assert report["rejections"] == {"too_late": 1, "in_future": 1}


def test_message_of_ten_megabytes_and_a_burst_are_stored(job: LiveJob, topic: KafkaTopic) -> None:
    feed = RecordFeed(25)
    topic.publish(feed.take(RATE))
    made = json.loads(next(event for event in feed.events if b'"inventory"' in event))
    feed.events.append(json.dumps({**made, "note": "x" * 10_000_000}).encode())
    topic.publish(feed.events[-1:])
    running = job.start()
    with BackgroundPublisher(topic, feed, RATE):
        wait_until(lambda: job.stored() > 2 * RATE, running)
    topic.publish(feed.take(20 * RATE))  # twenty times what came in a second before
    drain_and_check(job, feed, running)


def test_job_outlives_the_response_timeout_of_beam(job: LiveJob, topic: KafkaTopic) -> None:
    feed = RecordFeed(26)
    running = job.start("--job_server_timeout=5")
    topic.publish(feed.take(RATE))
    wait_until(lambda: job.read() > 0, running)
    with BackgroundPublisher(topic, feed, RATE):
        wait_until(lambda: feed.published >= 10 * RATE, running)  # in ten seconds, twice the timeout
    drain_and_check(job, feed, running)
