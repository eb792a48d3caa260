"""What tests of streaming jobs share: a broker, a topic, and jobs that end with the test, however it ends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devservers import kafka
from devservers.kafka import KafkaBroker, KafkaTopic
from devservers.live_job import LiveJob
from devservers.sluice_command import ForkedSluiceProcess
from devservers.tools import require_program
from devservers.topic import Topic
from tests.live.live_fixture import MakeJob
from tests.warehouses.backend_fixture import backend, make_backend

__all__ = ["backend", "make_backend"]


BROKER_SECONDS = 2 * 3600.0
"""Longer than all tests of a process take."""


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker for all tests, which have topics of their own; a test that disturbs one starts its own."""
    require_program("prism")
    with kafka.start(tmp_path_factory.mktemp("kafka"), BROKER_SECONDS) as running:
        yield running


@pytest.fixture
def topic(broker: KafkaBroker) -> KafkaTopic:
    return KafkaTopic(broker)


@pytest.fixture
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="live-") as folder:
        yield Path(folder)


@pytest.fixture
def new_job(tmp_path: Path, scratch: Path) -> Iterator[MakeJob]:
    require_program("prism")
    made: list[LiveJob] = []

    def make(topic: Topic) -> LiveJob:
        made.append(LiveJob(tmp_path / f"job{len(made)}", scratch, topic, ForkedSluiceProcess))
        return made[-1]

    yield make
    for job in made:
        job.kill()


@pytest.fixture
def job(new_job: MakeJob, topic: KafkaTopic) -> LiveJob:
    return new_job(topic)
