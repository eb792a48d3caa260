"""What must hold when things fail under a live job: the fault matrix of docs/reliability.md, on a real broker.

After every fault, log and warehouse hold every published event exactly once, every broken record is one dead
letter, and the report of the run that ended in order balances.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.live.kafka_topic import KafkaTopic
from tests.live.live_bench import (
    Feed,
    LiveJob,
    Publishing,
    assert_whole,
    embedded,
    until,
)
from tests.live.servers import Kafka, kafka, require
from tests.replay_bench import Running, small_disk
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


@contextmanager
def stopped(place: Place) -> Iterator[None]:
    """Have the server away."""
    assert place.stop is not None
    assert place.start is not None
    place.stop()
    try:
        yield
    finally:
        place.start()


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


@pytest.mark.long
def test_a_broker_that_is_killed_and_comes_back_after_a_minute(job: LiveJob, topic: KafkaTopic) -> None:
    feed = Feed(5)
    running = job.start()
    topic.publish(feed.take(5 * RATE))
    until(lambda: job.stored() > 0, running)
    topic.broker.kill()
    time.sleep(60)  # how long the source is unreachable is what is tested
    assert running.process.poll() is None
    topic.broker.start()
    topic.publish(feed.take(5 * RATE))
    stored_all(job, feed, topic, running)
    job.drain(running)
    assert_whole(job, feed)
    assert "no broker answers" in running.output()


@pytest.mark.long
@pytest.mark.parametrize("place", ["files", "dead_letters", "warehouse"])
def test_a_disk_that_is_full_for_a_while(job: LiveJob, topic: KafkaTopic, scratch: Path, place: str) -> None:
    feed = Feed(6)
    try:
        with small_disk(scratch / "disk", "400k") as disk:
            setattr(job, place, embedded(disk / "w.duckdb") if place == "warehouse" else disk / "x")
            running = job.start()
            with Publishing(topic, feed, RATE):
                until(lambda: "No space left on device" in running.output(), running)
            assert running.process.poll() is None
            subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
            stored_all(job, feed, topic, running)
            job.drain(running)
            assert_whole(job, feed)
    except RuntimeError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"a small disk cannot be mounted: {error}")


@pytest.mark.long
def test_a_disk_that_stays_full_ends_the_run_with_one_line(
    job: LiveJob, topic: KafkaTopic, scratch: Path
) -> None:
    feed = Feed(7)
    try:
        with small_disk(scratch / "disk", "400k") as disk:
            job.files = disk / "x"
            running = job.start("--retry-for", "3s")
            with Publishing(topic, feed, RATE):
                assert running.finish() == 1
            last = running.output().rstrip().rpartition("\n")[2]
            assert last.startswith("sluice: ")
            assert last.endswith("No space left on device")
            subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
            again = job.start()
            stored_all(job, feed, topic, again)
            job.drain(again)
            assert_whole(job, feed)
    except RuntimeError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"a small disk cannot be mounted: {error}")


@pytest.mark.long
def test_the_same_messages_redelivered_to_a_new_group_are_repeats(job: LiveJob, topic: KafkaTopic) -> None:
    feed = Feed(8)
    topic.publish(feed.take(10 * RATE))
    first = job.start()
    stored_all(job, feed, topic, first)
    job.drain(first)
    topic.group += "-again"
    second = job.start()
    until(lambda: topic.unacknowledged() == 0, second)
    report = job.drain(second)
    assert (report["read"], report["accepted"]) == (feed.published, 0)
    assert (report["repeated"], report["rejected"]) == (feed.published - len(feed.broken), len(feed.broken))
    assert_whole(job, feed)


@pytest.mark.long
def test_two_jobs_of_one_group_share_a_log(job: LiveJob, topic: KafkaTopic, tmp_path: Path) -> None:
    feed = Feed(9)
    first = job.start()
    other = LiveJob(tmp_path / "other", job.scratch, topic)
    other.files, other.dead_letters, other.warehouse = job.files, job.dead_letters, job.warehouse
    with Publishing(topic, feed, RATE):
        until(lambda: job.stored() > 0, first)
        second = other.start()
        until(lambda: feed.published > 10 * RATE, second)
    stored_all(job, feed, topic, first)
    job.drain(first)
    other.drain(second)
    assert_whole(job, feed)


@pytest.mark.long
@pytest.mark.parametrize("broken", [0.05, 0.5, 1.0])
def test_broken_input(job: LiveJob, topic: KafkaTopic, broken: float) -> None:
    feed = Feed(10, broken=broken, repeated=0)
    running = job.start()
    topic.publish(feed.take(20 * RATE))
    stored_all(job, feed, topic, running)
    report = job.drain(running)
    assert (report["read"], report["rejected"]) == (feed.published, len(feed.broken))
    assert_whole(job, feed)


@pytest.mark.long
def test_late_events_and_a_skewed_clock(job: LiveJob, topic: KafkaTopic) -> None:
    feed, now = Feed(11, broken=0, repeated=0), datetime.now(UTC)
    running = job.start()
    topic.publish(feed.take(RATE))
    until(lambda: job.stored() == RATE, running)
    kept = [timedelta(minutes=-3), timedelta(hours=-5), timedelta(days=-6), timedelta(minutes=9)]
    lost = {timedelta(days=-8): "too_late", timedelta(minutes=11): "in_future"}

    def event(age: timedelta) -> bytes:
        made = json.loads(next(each for each in feed.events if b'"inventory"' in each))
        return json.dumps({**made, "timestamp": (now + age).isoformat()}).encode()

    feed.events += [event(age) for age in kept]
    topic.publish(feed.events[-len(kept) :])
    feed.broken += [event(age) for age in lost]
    topic.publish(feed.broken)
    stored_all(job, feed, topic, running)
    report = job.drain(running)
    assert report["rejections"] == {"too_late": 1, "in_future": 1}
    assert_whole(job, feed)


@pytest.mark.long
def test_a_message_of_ten_megabytes_and_a_burst(job: LiveJob, topic: KafkaTopic) -> None:
    feed = Feed(12)
    running = job.start()
    huge = json.loads(next(each for each in iter(lambda: feed.take(1)[0], None) if b'"inventory"' in each))
    feed.events.append(json.dumps({**huge, "note": "x" * 10_000_000}).encode())
    topic.publish(feed.events)
    topic.publish(feed.broken + feed.repeated)
    with Publishing(topic, feed, 100):
        until(lambda: job.stored() > 200, running)
    topic.publish(feed.take(40_000))  # twenty times what 2,000/s would bring in a second
    stored_all(job, feed, topic, running)
    job.drain(running)
    assert_whole(job, feed)


@pytest.mark.long
@pytest.mark.parametrize("down", [held, stopped], ids=["locked", "down"])
def test_a_warehouse_that_is_away_for_a_minute(
    job: LiveJob, topic: KafkaTopic, table: Place, down: Callable[[Place], AbstractContextManager[None]]
) -> None:
    feed, job.warehouse = Feed(13), table
    running = job.start()
    topic.publish(feed.take(RATE))
    until(lambda: topic.unacknowledged() == 0, running)
    with down(table):
        topic.publish(feed.take(10 * RATE))
        time.sleep(60)  # how long it is away is what is tested
        assert running.process.poll() is None
    stored_all(job, feed, topic, running)
    job.drain(running)
    assert_whole(job, feed)
