"""What tests of live jobs share: a broker, a topic, and jobs that end with the test, however it ends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.kafka_topic import KafkaTopic
from tests.live.live_bench import LiveJob, MakeJob, Topic
from tests.live.servers import Kafka, kafka, require


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    require("prism")
    with kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def topic(broker: Kafka) -> KafkaTopic:
    return KafkaTopic(broker)


@pytest.fixture
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="live-") as folder:
        yield Path(folder)


@pytest.fixture
def new_job(tmp_path: Path, scratch: Path) -> Iterator[MakeJob]:
    made: list[LiveJob] = []

    def make(topic: Topic) -> LiveJob:
        made.append(LiveJob(tmp_path / f"job{len(made)}", scratch, topic))
        return made[-1]

    yield make
    for each in made:
        each.kill()


@pytest.fixture
def job(new_job: MakeJob, topic: KafkaTopic) -> LiveJob:
    return new_job(topic)
