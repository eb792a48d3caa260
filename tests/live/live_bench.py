"""A live job as its users run it: the real command, a real topic, and what must be in log and warehouse then."""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.request import urlopen

import duckdb
from sluice.contracts import load_contracts
from sluice.tooling.fake_events import fake_events

from tests.live.servers import free_port
from tests.runtime.replay_bench import SLUICE, Running
from tests.warehouses.backends import Backend

CONTRACTS = load_contracts("schemas/backend_events")
TABLES = {"order": "order_events", "inventory": "inventory_events", "user_activity": "user_activity_events"}
PATIENCE = 150.0
"""Seconds within which whatever was published must be stored."""

_LOOK_SECONDS = 0.2


class Topic(Protocol):
    """A topic that a test publishes to and a job reads."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What leads clients to its server."""
        ...

    @property
    def source(self) -> str:
        """What a job reads."""
        ...

    def publish(self, records: Iterable[bytes]) -> object:
        """Send records, and wait until all have arrived."""
        ...

    def unacknowledged(self) -> int:
        """Return how many records a job that starts now would be given."""
        ...


class Feed:
    """Makes a shop's records and remembers what must become of them."""

    def __init__(self, seed: int, broken: float = 0.02, duplicates: float = 0.05, ahead: float = 0.0) -> None:
        """`broken` and `repeated` are shares of all records; events are `ahead` of the clock by so many seconds."""
        self._random = random.Random(seed)
        self._broken, self._repeated = broken, duplicates
        self._events = fake_events(CONTRACTS, "event_type", lambda: time.time() + ahead, seed)
        self.events: list[bytes] = []
        self.broken: list[bytes] = []
        self.duplicates: list[bytes] = []

    def take(self, number: int) -> list[bytes]:
        """Return the next records."""
        return [self._next() for _ in range(number)]

    def _next(self) -> bytes:
        luck = self._random.random()
        if luck < self._broken:
            kinds = (
                b'{"event_type": "order", "n": %d}',
                b'{"event_type": "refund", "n": %d}',
                b"not json %d",
            )
            self.broken.append(self._random.choice(kinds) % len(self.broken))
            return self.broken[-1]
        if luck < self._broken + self._repeated and self.events:
            self.duplicates.append(self._random.choice(self.events[-1000:]))
            return self.duplicates[-1]
        self.events.append(next(self._events))
        return self.events[-1]

    @property
    def published(self) -> int:
        """How many records were taken."""
        return len(self.events) + len(self.broken) + len(self.duplicates)


class LiveJob:
    """The job of backend events on one topic; everything that it writes lies in `folder`."""

    def __init__(self, folder: Path, scratch: Path, topic: Topic) -> None:
        """`scratch` is a short path for what runs keep while they last; the warehouse is the embedded one."""
        self.folder = folder
        self.scratch = scratch
        self.topic = topic
        self.files = folder / "files"
        self.dead_letters = folder / "dead"
        self.warehouse = embedded(folder / "w.duckdb")
        self._metrics = free_port()
        self._runs: list[Running] = []

    def start(self, *flags: str) -> Running:
        """Start `sluice run`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            SLUICE, "run", "jobs/backend_events.yaml", "--source", self.topic.source,
            "--files", str(self.files), "--dead-letters", str(self.dead_letters),
            "--warehouse", self.warehouse.url, "--windows.flush", "2s",
            "--report", str(self.report_path), "--metrics-port", str(self._metrics), *flags,
        ]  # fmt: skip
        environment = {**os.environ, **self.topic.environment, "TMPDIR": str(self.scratch)}
        running = Running(command, environment, self.folder / f"run{len(self._runs) + 1}.log")
        self._runs.append(running)
        return running

    def kill(self) -> None:
        """End all runs that have not ended."""
        for running in self._runs:
            if running.process.poll() is None:
                running.kill("launcher")
                running.process.wait()

    @property
    def report_path(self) -> Path:
        """Where the last run that ended in order left its report."""
        return self.folder / "report.json"

    def drain(self, running: Running) -> dict[str, Any]:
        """End a run in order, and return its report."""
        os.kill(running.process.pid, 15)
        assert running.finish() == 0, running.output()
        report: dict[str, Any] = json.loads(self.report_path.read_bytes())
        assert report["reconciled"], report
        return report

    def lines(self) -> Counter[bytes]:
        """Return how often each line stands in the log of events."""
        return Counter(_lines(self.files))

    def payloads(self) -> Counter[bytes]:
        """Return how often each record stands in the log of dead letters."""
        return Counter(json.loads(line)["payload"].encode() for line in _lines(self.dead_letters))

    def stored(self) -> int:
        """Return how many events and letters are in the logs."""
        return sum(1 for root in (self.files, self.dead_letters) for _ in _lines(root))

    def read(self) -> int:
        """Return how many records the run that is under way has read; 0 if it has not got so far."""
        try:
            with urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=10) as answer:
                text = answer.read().decode()
        except OSError:  # it does not serve yet
            return 0
        return int(float(re.search(r"^sluice_read_total (\S+)$", text, re.MULTILINE)[1]))  # type: ignore[index]

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the warehouse."""
        return self.warehouse.query(query)


MakeJob = Callable[[Topic], LiveJob]
"""A fixture of tests/live/conftest.py: makes jobs that end with the test, however it ends."""


def embedded(file: Path) -> Backend:
    """Return the embedded warehouse in `file`."""

    def query(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(file), read_only=True) as connection:
            return connection.sql(sql).fetchall()

    return Backend(f"duckdb:///{file}", query)


def _lines(root: Path) -> Iterable[bytes]:
    for path in sorted(root.rglob("*.json")):
        if path.name != "_log.json" and not path.name.startswith("."):
            yield from path.read_bytes().splitlines()


def until(reached: Callable[[], bool], running: Running | None = None, seconds: float = PATIENCE) -> None:
    """Wait for something to be reached, as long as the run that must reach it lasts."""
    end = time.monotonic() + seconds
    while not reached():
        said = running.output()[-3000:] if running is not None else ""
        assert time.monotonic() < end, f"not reached within {seconds:g} s\n{said}"
        assert running is None or running.process.poll() is None, said
        time.sleep(_LOOK_SECONDS)


def assert_whole(job: LiveJob, feed: Feed) -> None:
    """Every event is in log and warehouse once, every broken record is a letter once, counts are exact."""
    assert job.lines() == Counter(feed.events)
    assert job.payloads() == Counter(feed.broken)
    by_type = Counter(json.loads(event)["event_type"] for event in feed.events)
    for event_type, table in TABLES.items():
        rows = job.sql(f"select count(*), count(distinct _event_id) from {table}")
        assert rows == [(by_type[event_type], by_type[event_type])], event_type
    assert job.sql("select count(*), count(distinct letter_id) from dead_letters") == [
        (len(feed.broken), len(feed.broken))
    ]
    counted = job.sql("select event_type, cast(sum(events) as bigint) from event_counts group by event_type")
    assert dict(counted) == by_type


def complete(job: LiveJob, feed: Feed, running: Running) -> dict[str, Any]:
    """Wait until all that was published is stored, end the run in order, check everything; return the report."""
    until(lambda: job.stored() >= len(feed.events) + len(feed.broken), running)
    report = job.drain(running)
    left = job.topic.unacknowledged()
    assert left == 0, f"{left} records of {job.topic.source}\n{running.output()}"
    assert_whole(job, feed)
    return report


class Publishing:
    """Publishes a feed in the background, at a steady rate, until it is told to stop."""

    def __init__(self, topic: Topic, feed: Feed, rate: int) -> None:
        """`rate` is records a second."""
        self._topic, self._feed, self._rate = topic, feed, rate
        self._stop = threading.Event()
        self._failures: list[Exception] = []
        self._thread = threading.Thread(target=self._publish, name="publishing", daemon=True)

    def __enter__(self) -> Publishing:
        self._thread.start()
        return self

    def _publish(self) -> None:
        try:
            while not self._stop.wait(0.1):
                self._topic.publish(self._feed.take(self._rate // 10))
        except Exception as error:  # noqa: BLE001  raised again where the test waits
            self._failures.append(error)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failures:
            raise self._failures[0]
