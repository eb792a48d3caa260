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
    DiscoveredPartition,
    KafkaSource,
    OffsetSpanRead,
    PartitionDiscovery,
    attributes_of,
    cut,
    make_batch,
)

from devservers.ports import free_port
from tests.growth import LINEAR, growth_of_cpu_time


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


PARTITION = DiscoveredPartition(2, 0.0, 0, "T0p1c")


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


def test_keys_and_headers_count_in_the_size_of_a_batch() -> None:
    key, header = b"k" * (1 << 20), [("h", b"v" * (1 << 20))]
    assert [len(part) for part in cut([Sent(key_=key)] * 9)] == [4, 4, 1]
    assert [len(part) for part in cut([Sent(headers_=[*header])] * 9)] == [4, 4, 1]
    assert [len(part) for part in cut([Sent(None, key_=key)] * 9)] == [4, 4, 1]  # tombstones
    many: list[tuple[str, bytes | None]] = [("", None)] * 1000
    assert [len(part) for part in cut([Sent(headers_=many)] * 100)] == [28, 28, 28, 16]


def test_headers_of_one_name_take_linear_time() -> None:
    def work(size: int) -> object:
        headers: list[tuple[str, bytes | None]] = [(f"a#{number}", None) for number in range(size)]
        return attributes_of(None, headers + [("a", b"")] * size)

    assert growth_of_cpu_time(work, 20_000) < LINEAR


class Unreadable(Sent):
    """A message with a header whose name is not UTF-8, which the client cannot return."""

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        b"\xff".decode()
        return None


def test_headers_that_cannot_be_read_are_named() -> None:
    batch = make_batch("kafka://t", PARTITION, [Unreadable(b"a", at=5)], 0.0, 1.0)
    assert batch is not None
    assert batch.origin(0).attributes == {
        "kafka.headers;unreadable": "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    }


def test_messages_become_a_batch_with_offsets_and_times() -> None:
    sent = [Sent(b"a", 3, 5500), Sent(None, 4, 5600, b"k"), Sent(b"b", 7, 5250), Sent(b"c", 8, -1)]
    batch = make_batch("kafka://t", PARTITION, sent, 5.0, 6.5)
    assert batch is not None
    assert (batch.records, batch.arrival) == ([b"a", b"b", b"c"], 5.25)
    assert batch.provenance == PartitionProvenance(
        "kafka://t", 5.25, 2, [3, 7, 8], [5.5, 5.25, 6.5], topic_id="T0p1c", untimed=frozenset({2})
    )
    assert batch.origin(1).message_id == "kafka://t/2/7/T0p1c"


def test_tombstones_alone_make_no_batch() -> None:
    assert make_batch("kafka://t", PARTITION, [Sent(None, 3), Sent(None, 4)], 0.0, 0.0) is None


@pytest.mark.parametrize(
    ("key", "headers", "expected"),
    [
        (None, [], {}),
        (b"k", [], {"kafka.key": "k"}),
        (b"", [("", None), ("", b"")], {"kafka.key": "", "": "", "#2": ""}),
        (b"a\0b", [("kafka.key", b"other")], {"kafka.key;base64": "YQBi", "kafka.key": "other"}),
        (b"k", [("kafka.key", b"other")], {"kafka.key": "k", "kafka.key#2": "other"}),
        (None, [("a#2", b"1"), ("a", b"2"), ("a", b"3")], {"a#2": "1", "a": "2", "a#3": "3"}),
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
    key: bytes | None, headers: list[tuple[str, bytes | None]], expected: dict[str, str]
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
