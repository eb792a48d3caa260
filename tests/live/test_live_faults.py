"""What must hold when things fail under a streaming job: the fault matrix of docs/reliability.md, on real servers.

After every fault, log and warehouse hold every published event exactly once, every broken record is one dead
letter, and the report of the run that ended in order reconciles.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from devservers import kafka, pubsub
from devservers.kafka import KafkaBroker, KafkaTopic
from devservers.live_job import EmbeddedWarehouse, LiveJob, Warehouse, wait_until
from devservers.pubsub import PubSubEmulator
from devservers.record_feed import BackgroundPublisher, RecordFeed
from devservers.sluice_process import SluiceProcess
from devservers.topic import Topic
from tests.end_to_end.replay_fixture import small_disk
from tests.live.live_fixture import MakeJob, assert_stored_exactly_once, drain_and_check
from tests.warehouses.backends import BACKENDS, Backend, MakeBackend

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
    pytest.mark.timeout(600),
]

RATE = 500

MountDisk = Callable[[str, str], Path]


@pytest.fixture
def disk(scratch: Path) -> Iterator[MountDisk]:
    """Mount small disks: name and size -> folder. Before `job` among a test's arguments: jobs must end first."""
    with ExitStack() as mounted:

        def mount(name: str, size: str) -> Path:
            try:
                return mounted.enter_context(small_disk(scratch / name, size))
            except RuntimeError as error:
                if os.environ.get("CI") == "true":
                    raise
                pytest.skip(f"a small disk cannot be mounted: {error}")

        yield mount


def has_logged_full_disk(running: SluiceProcess, disk: Path) -> bool:
    lines = running.output().splitlines()
    return any(str(disk) in line and "No space left on device" in line for line in lines)


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBackend]:
    with BACKENDS["postgres"](tmp_path_factory.mktemp("postgres")) as place:
        yield place


@pytest.fixture
def table(postgres: MakeBackend, tmp_path: Path) -> Backend:
    return postgres(tmp_path)


@pytest.fixture(scope="module")
def emulator() -> Iterator[PubSubEmulator]:
    with pubsub.start() as server:
        yield server


@contextmanager
def held(place: Backend) -> Iterator[None]:
    """Hold a lock that keeps others from loading."""
    from adbc_driver_postgresql import dbapi

    url, _, schema = place.url.partition("?schema=")
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {schema}._segments IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


@contextmanager
def stopped(place: Backend) -> Iterator[None]:
    """Have the server away."""
    assert place.stop is not None
    assert place.start is not None
    place.stop()
    try:
        yield
    finally:
        place.start()


_OPEN = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(); sys.stdin.read()"


@contextmanager
def opened(place: Warehouse) -> Iterator[None]:
    """Have another process hold the file of an embedded warehouse open for writing."""
    command = [sys.executable, "-c", _OPEN, place.url.removeprefix("duckdb:///")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"\n"
        yield
        holder.communicate()


def test_streaming_job_stores_every_record_once_and_drains(job: LiveJob, topic: KafkaTopic) -> None:
    feed = RecordFeed(1)
    running = job.start()
    topic.publish(feed.take(RATE))
    wait_until(lambda: job.stored() > 0, running)
    with BackgroundPublisher(topic, feed, RATE):
        wait_until(lambda: feed.published >= 10 * RATE, running)
    wait_until(lambda: topic.unacknowledged() == 0, running)
    report = drain_and_check(job, feed, running)
    assert {name: report[name] for name in ("read", "accepted", "duplicates", "rejected", "backfilled")} == {
        "read": feed.published,
        "accepted": len(feed.events),
        "duplicates": len(feed.duplicates),
        "rejected": len(feed.broken),
        "backfilled": 0,
    }


def test_records_in_flight_at_a_drain_are_stored_and_acknowledged(job: LiveJob, topic: KafkaTopic) -> None:
    feed = RecordFeed(2)
    running = job.start("--windows.flush", "60s")
    topic.publish(feed.take(5 * RATE))
    wait_until(lambda: job.read() >= feed.published, running)
    assert job.stored() == 0  # all of it waits for its pane
    assert topic.unacknowledged() == feed.published
    report = job.drain(running)
    assert report["read"] == feed.published
    assert topic.unacknowledged() == 0
    assert_stored_exactly_once(job, feed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_the_run_and_unstored_records_are_redelivered(
    job: LiveJob, topic: KafkaTopic, table: Backend, number: int
) -> None:
    feed, job.warehouse = RecordFeed(3), table
    running = job.start("--windows.flush", "60s", "--retry-for", "1h")
    topic.publish(feed.take(2 * RATE))
    wait_until(lambda: job.read() >= feed.published, running)
    with held(table):  # so that the drain cannot end
        os.kill(running.process.pid, number)
        wait_until(lambda: "draining" in running.output(), running)
        os.kill(running.process.pid, number)
        assert running.finish() == 130
    assert (
        running.output()
        .rstrip()
        .endswith("sluice: interrupted; what was written stays valid, and the next run completes it")
    )
    drain_and_check(job, feed, job.start())


VICTIMS = {
    "runner": ("runner",),
    "launcher": ("launcher",),
    "everything": ("launcher", "runner", "messenger"),
}


def kill_ten_times(job: LiveJob, feed: RecordFeed, victims: Sequence[str], dice: random.Random) -> None:
    """Start a run and kill it at a random moment, again and again, while records come."""
    with BackgroundPublisher(job.topic, feed, RATE):
        for victim in victims:
            running = job.start()
            before = job.stored()
            wait_until(lambda: job.stored() > before or running.process.poll() is not None)  # noqa: B023  called in this round of the loop
            moment = feed.published + dice.randrange(4 * RATE)  # a random moment of four seconds
            wait_until(lambda: feed.published >= moment or running.process.poll() is not None)  # noqa: B023  called in this round of the loop
            if victim == "everything":
                with suppress(ProcessLookupError):
                    os.killpg(running.process.pid, signal.SIGKILL)
            running.kill(*VICTIMS[victim])
            if victim == "runner":  # it is started again; then all is killed
                wait_until(lambda: job.metric("restarts_total") == 1, running)
                running.kill("launcher")
            assert running.finish() == -signal.SIGKILL, running.output()


@pytest.mark.long
@pytest.mark.parametrize("victim", VICTIMS)
def test_ten_kills_of_a_kafka_job_lose_no_record(job: LiveJob, victim: str) -> None:
    feed, dice = RecordFeed(4), random.Random(f"{victim} {os.environ.get('SLUICE_SEED', '1')}")
    kill_ten_times(job, feed, [victim] * 10, dice)
    drain_and_check(job, feed, job.start())


@pytest.mark.long
def test_ten_kills_of_a_pubsub_job_lose_no_record(new_job: MakeJob, emulator: PubSubEmulator) -> None:
    feed, dice = RecordFeed(5), random.Random(os.environ.get("SLUICE_SEED", "1"))
    job = new_job(emulator.create("killed", ack_deadline_seconds=10))
    kill_ten_times(job, feed, list(VICTIMS), dice)
    drain_and_check(job, feed, job.start())


@pytest.mark.long
def test_pubsub_job_continues_after_its_subscription_is_recreated(
    new_job: MakeJob, emulator: PubSubEmulator
) -> None:
    feed, topic = RecordFeed(6), emulator.create("anew")
    job = new_job(topic)
    running = job.start()
    topic.publish(feed.take(2 * RATE))
    wait_until(lambda: job.stored() == feed.stored, running)
    emulator.kill()  # it keeps nothing
    wait_until(lambda: "cannot pull" in running.output(), running)
    emulator.start()
    emulator.create("anew").publish(feed.take(2 * RATE))
    drain_and_check(job, feed, running)


@pytest.mark.long
def test_source_outage_of_a_minute_loses_no_record(
    new_job: MakeJob, emulator: PubSubEmulator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        kafka.start(tmp_path_factory.mktemp("killed")) as broker,
        kafka.start(tmp_path_factory.mktemp("frozen")) as other,
    ):
        topics: list[Topic] = [
            KafkaTopic(broker),
            KafkaTopic(other),
            emulator.create("away", ack_deadline_seconds=10),
        ]
        jobs = [new_job(topic) for topic in topics]
        feeds = [RecordFeed(10), RecordFeed(11), RecordFeed(12)]
        runs = [job.start() for job in jobs]
        for job, feed, running in zip(jobs, feeds, runs, strict=True):
            job.topic.publish(feed.take(2 * RATE))
            wait_until(lambda: job.stored() > 0, running)  # noqa: B023  called in this round of the loop
        broker.kill()
        other.freeze()
        emulator.freeze()
        for running in runs[:2]:  # the outage of Pub/Sub is as long as theirs
            wait_until(lambda: ": not reached for 6" in running.output(), running)  # noqa: B023  called in this round of the loop
        assert [running.process.poll() for running in runs] == [None, None, None]
        broker.start()
        other.thaw()
        emulator.thaw()
        for job, feed in zip(jobs, feeds, strict=True):
            job.topic.publish(feed.take(2 * RATE))
        for job, feed, running in zip(jobs, feeds, runs, strict=True):
            drain_and_check(job, feed, running)


@pytest.mark.long
def test_warehouse_outage_of_a_minute_loses_no_row(
    new_job: MakeJob, broker: KafkaBroker, postgres: MakeBackend, tmp_path: Path
) -> None:
    with BACKENDS["postgres"](tmp_path) as other:
        locked, away, open_file = (
            postgres(tmp_path),
            other(tmp_path),
            EmbeddedWarehouse(tmp_path / "w.duckdb"),
        )
        faults: list[tuple[Warehouse, AbstractContextManager[None]]] = [
            (locked, held(locked)),
            (away, stopped(away)),
            (open_file, opened(open_file)),
        ]
        jobs = [new_job(KafkaTopic(broker)) for _ in faults]
        feeds = [RecordFeed(13), RecordFeed(14), RecordFeed(15)]
        for job, (place, _) in zip(jobs, faults, strict=True):
            job.warehouse = place
        runs = [job.start() for job in jobs]
        for job, feed, running in zip(jobs, feeds, runs, strict=True):
            job.topic.publish(feed.take(RATE))
            wait_until(lambda: job.topic.unacknowledged() == 0, running)  # noqa: B023  called in this round of the loop
        with ExitStack() as present:
            for _, fault in faults:
                present.enter_context(fault)
            for job, feed in zip(jobs, feeds, strict=True):
                job.topic.publish(feed.take(5 * RATE))
            wait_until(
                lambda: "; tried for 6" in runs[1].output(), runs[1]
            )  # seconds, as long as the others wait
            assert [running.process.poll() for running in runs] == [None, None, None]
            # Loading never touches the file of the embedded warehouse.
            assert [job.topic.unacknowledged() > 0 for job in jobs] == [True, True, False]
        for job, feed, running in zip(jobs, feeds, runs, strict=True):
            drain_and_check(job, feed, running)


@pytest.mark.long
def test_full_disk_delays_and_loses_no_record(disk: MountDisk, job: LiveJob, topic: KafkaTopic) -> None:
    feed = RecordFeed(16, broken=0.3)
    full = [disk(name, "400k") for name in ("files", "dead_letters", "warehouse")]
    job.files, job.dead_letters, job.warehouse = (
        full[0] / "x",
        full[1] / "x",
        EmbeddedWarehouse(full[2] / "w.duckdb"),
    )
    running = job.start()
    with BackgroundPublisher(topic, feed, RATE):
        while full:
            wait_until(lambda: any(has_logged_full_disk(running, folder) for folder in full), running)
            for folder in [folder for folder in full if has_logged_full_disk(running, folder)]:
                enlarge(folder)
                full.remove(folder)
    drain_and_check(job, feed, running)


@pytest.mark.long
def test_full_disk_that_stays_full_ends_the_run_with_one_line(
    disk: MountDisk, job: LiveJob, topic: KafkaTopic
) -> None:
    feed, small = RecordFeed(17), disk("disk", "400k")
    job.files = small / "x"
    running = job.start("--retry-for", "3s")
    with BackgroundPublisher(topic, feed, RATE):
        assert running.finish() == 1
    *logged, last = running.output().splitlines()
    assert last.startswith(f"sluice: {small}")
    assert last.endswith("No space left on device")
    assert [line for line in logged if not re.match(r"\d{4}-\d\d-\d\d \S+ sluice: ", line)] == []
    enlarge(small)
    drain_and_check(job, feed, job.start())
