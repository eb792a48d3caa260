"""What must hold when things fail under a live job: the fault matrix of docs/reliability.md, on a real broker.

After every fault, log and warehouse hold every published event exactly once, every broken record is one dead
letter, and the report of the run that ended in order balances.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.live.kafka_topic import KafkaTopic
from tests.live.live_bench import (
    Feed,
    LiveJob,
    Publishing,
    assert_whole,
    until,
)
from tests.live.servers import Kafka, kafka, require
from tests.replay_bench import Running
from tests.warehouses.places import PLACES, MakePlace, Place

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
    pytest.mark.timeout(600),
]

RATE = 500


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    require("prism")
    with kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="live-") as folder:
        yield Path(folder)


@pytest.fixture
def topic(broker: Kafka) -> KafkaTopic:
    return KafkaTopic(broker)


@pytest.fixture
def job(tmp_path: Path, scratch: Path, topic: KafkaTopic) -> LiveJob:
    return LiveJob(tmp_path / "job", scratch, topic)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakePlace]:
    with PLACES["postgres"](tmp_path_factory.mktemp("postgres")) as place:
        yield place


@pytest.fixture
def table(postgres: MakePlace, tmp_path: Path) -> Place:
    return postgres(tmp_path)


@contextmanager
def held(place: Place) -> Iterator[None]:
    """Hold a lock that keeps others from loading."""
    from adbc_driver_postgresql import dbapi

    url, _, schema = place.url.partition("?schema=")
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {schema}._segments IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def stored_all(job: LiveJob, feed: Feed, topic: KafkaTopic, running: Running) -> None:
    """Wait until all that was published is stored and acknowledged."""
    until(lambda: job.stored() >= len(feed.events) + len(feed.broken), running)
    until(lambda: topic.unacknowledged() == 0, running)


def test_a_live_job_stores_everything_once_and_drains(job: LiveJob, topic: KafkaTopic) -> None:
    feed = Feed(1)
    running = job.start()
    topic.publish(feed.take(RATE))
    until(lambda: job.stored() > 0, running)
    with Publishing(topic, feed, RATE):
        until(lambda: feed.published >= 10 * RATE, running)
    stored_all(job, feed, topic, running)
    report = job.drain(running)
    assert_whole(job, feed)
    assert {name: report[name] for name in ("read", "accepted", "repeated", "rejected", "recovered")} == {
        "read": feed.published,
        "accepted": len(feed.events),
        "repeated": len(feed.repeated),
        "rejected": len(feed.broken),
        "recovered": 0,
    }


def test_what_is_on_its_way_when_a_drain_begins_is_stored_and_acknowledged(
    job: LiveJob, topic: KafkaTopic
) -> None:
    feed = Feed(2)
    running = job.start("--windows.flush", "60s")
    topic.publish(feed.take(5 * RATE))
    until(lambda: job.read() >= feed.published, running)
    assert job.stored() == 0  # all of it waits for its pane
    assert topic.unacknowledged() == feed.published
    report = job.drain(running)
    assert report["read"] == feed.published
    assert topic.unacknowledged() == 0
    assert_whole(job, feed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once_and_what_was_not_stored_comes_again(
    job: LiveJob, topic: KafkaTopic, table: Place, number: int
) -> None:
    feed, job.warehouse = Feed(3), table
    running = job.start("--windows.flush", "60s", "--retry-for", "1h")
    topic.publish(feed.take(2 * RATE))
    until(lambda: job.read() >= feed.published, running)
    with held(table):  # so that the drain cannot end
        os.kill(running.process.pid, number)
        until(lambda: "draining" in running.output(), running)
        os.kill(running.process.pid, number)
        assert running.finish() == 130
    assert (
        running.output()
        .rstrip()
        .endswith("sluice: interrupted; what was written stays valid, and the next run completes it")
    )
    again = job.start()
    stored_all(job, feed, topic, again)
    job.drain(again)
    assert_whole(job, feed)


@pytest.mark.long
@pytest.mark.parametrize("victim", ["runner", "launcher", "everything"])
def test_ten_kills_in_a_row_at_random_moments(job: LiveJob, topic: KafkaTopic, victim: str) -> None:
    feed, dice = Feed(4), random.Random(f"{victim} {os.environ.get('SLUICE_SEED', '1')}")
    with Publishing(topic, feed, RATE):
        for _ in range(10):
            running = job.start()
            moment, before = dice.uniform(0, 6), job.stored()
            until(lambda: job.stored() > before or running.process.poll() is not None)  # noqa: B023
            time.sleep(moment)  # the moment is what is random
            if victim == "everything":
                with suppress(ProcessLookupError):
                    os.killpg(running.process.pid, signal.SIGKILL)
            running.kill(*({"everything": ("launcher", "runner", "messenger")}.get(victim, (victim,))))
            assert running.finish() == (1 if victim == "runner" else -signal.SIGKILL), running.output()
            if victim == "runner":
                assert (
                    running.output()
                    .rstrip()
                    .endswith(
                        "sluice: Prism, the runner of live jobs, ended with exit code 137; what was not stored was not "
                        "acknowledged, run again"
                    )
                )
    last = job.start()
    stored_all(job, feed, topic, last)
    job.drain(last)
    assert_whole(job, feed)
