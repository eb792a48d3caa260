"""Whatever a producer sends becomes an event or a dead letter, and counts as memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from sluice import acknowledgements
from sluice.elements import ATTRIBUTE_BYTES, RECORD_BYTES

from devservers.kafka import KafkaBroker
from devservers.waiting import wait_until
from tests.live.hostile_fixture import Sent, payloads, run_and_check
from tests.live.kafka_fixture import TIMEOUT_SECONDS, OwnTopic, reading

pytestmark = pytest.mark.alone

LARGE = 500_000

KEYS: list[bytes] = [b"", b"k", b"\0", b"\xff\xfe", b"k" * LARGE, b"\xff" * LARGE]
HEADERS: list[list[tuple[str, bytes | None]]] = [
    [("a", b"1"), ("a", b"2"), ("a", None)],
    [("", b""), ("", None), ("\x01", b"")],
    [("_id", b"7"), ("kafka.key", b"x"), ("kafka.key;base64", b"y")],
    [("h", b"\0")],
    [("h", b"\xff")],
    [(f"h{number}", b"v" * 100) for number in range(1000)],
    [("h", b"")] * 1000,
    [("h", b"v" * LARGE)],
]
UNKNOWN_TIMES = [1_700_000_000_000_000, 2**63 - 1, 253_402_300_800_000, -1, -5, -62_135_596_800_001]
LAST_TIME = 253_402_300_799_000
"""Milliseconds: the last second of the year 9999, after which every event is too late."""


@pytest.mark.long
def test_hostile_records_are_events_or_dead_letters(broker: KafkaBroker, tmp_path: Path) -> None:
    topic = OwnTopic(broker, partitions=2)
    producer = Producer({**topic.settings, "message.max.bytes": 20_000_000})
    hostile: list[dict[str, Any]] = [
        {},
        *({"key": key} for key in KEYS),
        *({"headers": headers} for headers in HEADERS),
        *({"timestamp": time} for time in UNKNOWN_TIMES),
    ]
    rejected = 0
    for number, metadata in enumerate(hostile):
        made = payloads(10 * number)
        for index, record in enumerate((*made.events, *made.rejected)):
            producer.produce(topic.name, record, partition=index % 2, **metadata)
        producer.produce(topic.name, None, partition=0, **metadata)  # a tombstone
        rejected += len(made.rejected)
    late = payloads(1_000_000).events
    for record in late:
        producer.produce(topic.name, record, partition=0, timestamp=LAST_TIME)
    assert producer.flush(TIMEOUT_SECONDS) == 0
    sent = Sent(events=2 * len(hostile), rejected=rejected + len(late))
    report = run_and_check(tmp_path, topic.url(), sent, {})
    assert report["rejections"] == {
        "not_json": 5 * len(hostile),
        "unknown_type": len(hostile),
        "missing": 3 * len(hostile),
        "too_late": len(late),
    }
    assert (topic.committed(0), topic.committed(1)) == (topic.end(0), topic.end(1))


def test_keys_and_headers_count_as_memory(broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    footprint = len(b"{}") + RECORD_BYTES + 2 * ATTRIBUTE_BYTES + len("kafka.key") + LARGE + len("h") + LARGE
    monkeypatch.setattr(acknowledgements, "MAX_OUTSTANDING_BYTES", 40 * footprint)
    topic = OwnTopic(broker)
    topic.send([b"{}"] * 200, key=b"k" * LARGE, headers=[("h", b"v" * LARGE)])
    with reading(topic, complete=False) as run:
        acks = run.handle.state.acks
        wait_until(acks.is_full, "the limit of memory is reached", TIMEOUT_SECONDS)
        outstanding = acks.outstanding()
        assert (
            40 <= outstanding.records < 100
        )  # what a bundle reads, and what librdkafka has fetched, is above it
        assert outstanding.bytes == outstanding.records * footprint
        wait_until(lambda: complete_all(run) == 200, "all records are read", TIMEOUT_SECONDS)
    assert run.records() == [b"{}"] * 200


def complete_all(run: Any) -> int:
    """Complete what was read so far; return how many records that are."""
    run.complete(*run.incomplete)
    return len(run.records())
