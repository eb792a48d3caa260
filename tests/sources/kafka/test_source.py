"""The parts of the Kafka source that need no broker; tests/live/test_kafka*.py test the others."""

from __future__ import annotations

import logging
import pickle
from typing import NamedTuple

import pytest
from sluice.clock import system_clock
from sluice.errors import ConfigError, SourceError
from sluice.provenance import PartitionProvenance
from sluice.run_state import RunHandle
from sluice.sources import open_source
from sluice.sources.kafka.client import Outage, Topic, make_consumer
from sluice.sources.kafka.connector import KafkaConnector
from sluice.sources.kafka.source import (
    AckTokenRead,
    KafkaSource,
    OffsetSpanRead,
    PartitionDiscovery,
    attributes_of,
    cut,
    make_batch,
)

from devservers.ports import free_port


@pytest.mark.parametrize(
    ("url", "topic"),
    [
        ("kafka://b:9092/t?group=g", Topic("b:9092", "t", "g", "committed")),
        ("kafka://a:1,b:2/a.b_c-1?start=latest&group=g%20h", Topic("a:1,b:2", "a.b_c-1", "g h", "latest")),
        ("kafka://[::1]:9092/t?group=g&start=earliest", Topic("[::1]:9092", "t", "g", "earliest")),
        ("kafka://b/t?group=g&start=1970-01-01T00:01:00Z", Topic("b", "t", "g", 60.0)),
        ("kafka://b/t?group=g&start=1970-01-01T01:00:00.5+01:00", Topic("b", "t", "g", 0.5)),
    ],
)
def test_url_is_parsed_as_a_topic_with_options(url: str, topic: Topic) -> None:
    assert KafkaConnector.parse(url).topic == topic
    assert topic.uri == f"kafka://{topic.name}"


SHAPE = "expected kafka://HOST:9092/TOPIC?group=NAME, got"
STARTS = (
    "start: expected one of committed, earliest, latest or a time with its offset, "
    "such as 2025-02-08T13:09:00Z, got"
)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("kafka://b:9092", f"{SHAPE} 'kafka://b:9092'"),
        ("kafka:///t?group=g", f"{SHAPE} 'kafka:///t?group=g'"),
        ("kafka://b/t/u?group=g", f"{SHAPE} 'kafka://b/t/u?group=g'"),
        (
            "kafka://b/t",
            "kafka://b/t: group: expected the consumer group that stores the job's offsets, got nothing",
        ),
        (
            "kafka://b/t?group=g&from=1",
            "kafka://b/t?group=g: expected options among group, start behind ?, got 'from'",
        ),
        ("kafka://b/t?group=g&start=now", f"kafka://b/t?group=g&start=now: {STARTS} 'now'"),
        (
            "kafka://b/t?group=g&start=2025-02-08T13:09:00",
            f"kafka://b/t?group=g&start=2025-02-08T13:09:00: {STARTS} '2025-02-08T13:09:00'",
        ),
    ],
)
def test_wrong_url_is_rejected(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(url)
    assert str(caught.value) == message


def test_password_in_the_url_is_rejected_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        open_source("kafka://me:secret@b:9092/t?group=g")
    assert str(caught.value) == (
        "kafka://b:9092/t?group=g: expected no user or password in the URL; "
        "they come from KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
    )


def test_unreachable_broker_fails_the_check_with_one_line() -> None:
    port = free_port()
    with pytest.raises(SourceError) as caught:
        open_source(f"kafka://127.0.0.1:{port}/t?group=g").check()
    assert str(caught.value).startswith(f"kafka://127.0.0.1:{port}/t: no broker answers: ")
    assert str(caught.value).endswith("failed: Connection refused")
    assert "\n" not in str(caught.value)


def test_invalid_client_setting_is_reported_with_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "TLS")
    with pytest.raises(SourceError) as caught:
        make_consumer(Topic("b", "t", "g", "latest"), lambda reason: None)
    assert str(caught.value) == (
        'kafka://t: Invalid value "TLS" for configuration property "security.protocol"; see the environment variables '
        "KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD, "
        "KAFKA_SSL_CA_LOCATION, KAFKA_SSL_CERTIFICATE_LOCATION, KAFKA_SSL_KEY_LOCATION, KAFKA_SSL_KEY_PASSWORD"
    )


def test_pickled_steps_contain_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "hush")
    topic = Topic("b", "t", "g", "latest")
    for dofn in (PartitionDiscovery, AckTokenRead, OffsetSpanRead):
        packed = pickle.dumps(dofn(topic, system_clock, RunHandle()))
        assert b"hush" not in packed
        assert type(pickle.loads(packed)) is dofn
    assert "hush" not in repr(vars(KafkaSource(topic)))


class Sent(NamedTuple):
    """A message as the client hands it over."""

    value_: bytes | None = b"{}"
    offset_: int = 0
    at: int = 0
    key_: bytes | None = None
    headers_: list[tuple[str, bytes | None]] | None = None

    def __len__(self) -> int:
        return len(self.value_ or b"")

    def value(self) -> bytes | None:
        return self.value_

    def offset(self) -> int:
        return self.offset_

    def timestamp(self) -> tuple[int, int]:
        return (1, self.at)

    def key(self) -> bytes | None:
        return self.key_

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.headers_


def test_batches_are_bounded_in_records_and_bytes() -> None:
    assert list(cut([])) == []
    assert [len(part) for part in cut([Sent()] * 4001)] == [2000, 2000, 1]
    large, small = Sent(b"x" * (10 << 20)), Sent(b"x" * (1 << 20))
    assert [len(part) for part in cut([small, large, small, small, small, small, small])] == [2, 4, 1]


def test_messages_become_a_batch_with_offsets_and_times() -> None:
    sent = [Sent(b"a", 3, 5500), Sent(None, 4, 5600, b"k"), Sent(b"b", 7, 5250), Sent(b"c", 8, -1)]
    batch = make_batch("kafka://t", 2, sent, 5.0)
    assert batch is not None
    assert (batch.records, batch.arrival) == ([b"a", b"b", b"c"], 5.0)
    assert batch.provenance == PartitionProvenance("kafka://t", 5.0, 2, [3, 7, 8], [5.5, 5.25, 5.0])


def test_tombstones_alone_make_no_batch() -> None:
    assert make_batch("kafka://t", 2, [Sent(None, 3), Sent(None, 4)], 0.0) is None


@pytest.mark.parametrize(
    ("key", "headers", "expected"),
    [
        (None, None, {}),
        (b"k", None, {"kafka.key": "k"}),
        (None, [("a", b"1"), ("b", None), ("c", b"")], {"a": "1", "b": "", "c": ""}),
        (
            b"\xff",
            [("a", "ü".encode()), ("b", b"\x00\xff")],
            {"kafka.key;base64": "/w==", "a": "ü", "b;base64": "AP8="},
        ),
        (None, [("a", b"1"), ("a", b"2"), ("a", b"3")], {"a": "1", "a#2": "2", "a#3": "3"}),
    ],
)
def test_key_and_headers_become_attributes(
    key: bytes | None, headers: list[tuple[str, bytes | None]] | None, expected: dict[str, str]
) -> None:
    assert attributes_of(key, headers) == expected


def test_outage_and_its_end_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "sluice")
    now = [0.0]
    outage = Outage("kafka://t", lambda: now[0])
    for now[0] in (0.0, 30.0, 59.0):
        outage.failed(0, "refused")
        outage.failed(1, "refused")
    assert caplog.messages == []
    for now[0] in (60.0, 61.0, 200.0):
        outage.failed(1, "refused")
        outage.failed(0, "refused")
    assert caplog.messages == ["kafka://t, partition 1: not reached for 60 s: refused; retrying"]
    outage.succeeded(0)
    outage.succeeded(2)
    assert len(caplog.messages) == 1
    outage.succeeded(1)
    outage.succeeded(1)
    assert caplog.messages[1:] == ["kafka://t: reached again"]
    now[0] = 300.0
    outage.failed(1, "refused")
    now[0] = 310.0
    outage.succeeded(1)
    assert len(caplog.messages) == 2
