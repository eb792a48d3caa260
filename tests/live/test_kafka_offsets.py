"""At which offset the Kafka source begins, and where it continues when records were deleted."""

from __future__ import annotations

import logging

import pytest
from sluice.clock import system_clock
from sluice.errors import SourceError
from sluice.run_state import RunState
from sluice.sources.kafka.client import find_start, make_consumer
from sluice.sources.kafka.connector import KafkaConnector
from sluice.sources.kafka.reader import Readers

from devservers.kafka import KafkaBroker
from devservers.waiting import wait_until
from tests.live.kafka_fixture import (
    OwnTopic,
    commit,
    delete_below,
    numbered,
    reading,
)

pytestmark = pytest.mark.alone


def test_start_option_selects_the_first_offset(broker: KafkaBroker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "sluice")
    topic = OwnTopic(broker)
    for second in range(5):
        topic.send([b"x"], timestamp=1_700_000_000_000 + second * 1000)
    delete_below(topic, 1)

    def start(text: str, *, new: bool = False) -> int:
        parsed = KafkaConnector.parse(topic.url(start=text)).topic
        consumer = make_consumer(parsed, lambda reason: None)
        try:
            return find_start(consumer, parsed, 0, new=new).offset
        finally:
            consumer.close()

    assert start("earliest") == 1
    assert start("latest") == 5
    assert start("latest", new=True) == 1
    assert start("2023-11-14T22:13:22Z") == 2
    assert start("2023-11-14T22:13:22.5Z") == 3
    assert start("2024-01-01T00:00:00Z") == 5
    assert start("1999-01-01T00:00:00Z") == 1
    assert start("committed") == 1
    for committed, expected in ((3, 3), (5, 5), (0, 1), (9, 1)):
        commit(topic, committed)
        assert start("committed") == expected
    assert caplog.messages == [
        f"kafka://{topic.name}, partition 0: the group g is at offset {committed}, but the partition has 1 to 5; "
        "reading from 1"
        for committed in (0, 9)
    ]


def test_start_time_selects_the_first_record(broker: KafkaBroker) -> None:
    topic = OwnTopic(broker)
    for second in range(5):
        topic.send([b"%d" % second], timestamp=1_700_000_000_000 + second * 1000)
    with reading(topic, start="2023-11-14T22:13:22Z") as run:
        run.until(3)
    assert run.records() == [b"2", b"3", b"4"]


@pytest.mark.parametrize(("committed", "lost"), [(0, 4), (1, 3), (3, 1), (4, 0), (5, 0), (9, 0)], ids=str)
def test_offsets_that_were_deleted_while_no_job_ran_are_counted(
    broker: KafkaBroker, committed: int, lost: int
) -> None:
    topic = OwnTopic(broker)
    topic.send(numbered(0, 8))
    delete_below(topic, 4)
    commit(topic, committed)
    run = RunState()
    readers = Readers(KafkaConnector.parse(topic.url()).topic, system_clock, run)
    try:
        readers.start_offset(0, "", new=False)
    finally:
        readers.close()
    assert run.lost.numbers() == ({(f"kafka://{topic.name}", 0): lost} if lost else {})


def test_deleted_offsets_are_skipped_with_a_warning(
    broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "sluice")
    topic = OwnTopic(broker)
    topic.send(numbered(0, 10))
    delete_below(topic, 7)
    run = RunState()
    readers = Readers(KafkaConnector.parse(topic.url()).topic, system_clock, run)
    reader = readers.reader(0, 2)
    offsets: list[int] = []

    def read() -> bool:
        offsets.extend(message.offset() for message in reader.read(100))
        return bool(offsets)

    wait_until(read, "records or an error are read")
    assert offsets == [7, 8, 9]
    assert caplog.messages == [
        f"kafka://{topic.name}, partition 0: offsets 2 to 6 were deleted before they were read (retention); "
        "reading from 7"
    ]
    offsets.clear()
    readers.reader(0, 11)
    assert run.lost.numbers() == {(f"kafka://{topic.name}", 0): 5}
    with pytest.raises(SourceError) as caught:
        wait_until(read, "records or an error are read")
    assert str(caught.value) == (
        f"kafka://{topic.name}, partition 0: expected offset 11, got a partition that ends at 10: it was recreated or "
        "lost records; run again to read it from its beginning"
    )
    readers.commits.flush()
    reader.close()
