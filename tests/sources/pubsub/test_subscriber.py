"""Pulls, leases and acknowledgements against a fake service, also when its answers are errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import grpc
import pytest
from sluice.sources.pubsub.subscriber import Outage, PublishTimes, Subscriber

from devservers import fake_pubsub
from devservers.fake_pubsub import FakePubSub, error_status
from devservers.waiting import wait_until

SUBSCRIPTION = "projects/p/subscriptions/s"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePubSub]:
    with fake_pubsub.start(messages=3) as running:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", running.host)
        yield running


def test_watermark_follows_the_oldest_message_of_the_last_seconds() -> None:
    times = PublishTimes()
    assert times.oldest_unread(100.0, idle=False) is None
    times.taken(100.0, 50.0)
    times.taken(102.0, 40.0)
    times.taken(103.0, 60.0)
    assert times.oldest_unread(103.0, idle=False) == 40.0
    assert times.oldest_unread(107.0, idle=True) == 40.0
    assert times.oldest_unread(107.5, idle=True) == 60.0
    assert times.oldest_unread(109.0, idle=False) is None
    assert times.oldest_unread(109.0, idle=True) == 104.0


def test_outage_is_logged_once_and_retried_with_growing_pauses(caplog: pytest.LogCaptureFixture) -> None:
    outage, now, attempts = Outage("pull from s"), 0.0, 0
    with caplog.at_level(logging.WARNING, "sluice"):
        while now < 60:
            if outage.may_try(now):
                attempts += 1
                outage.failed(now, "no connection")
                outage.failed(now + 0.01, "another attempt of the same moment")
            now += 0.1
        assert outage.is_ongoing
        outage.succeeded(now)
        outage.succeeded(now)
    assert 9 <= attempts <= 20
    assert not outage.is_ongoing
    assert outage.may_try(now)
    assert [record.getMessage() for record in caplog.records] == [
        "cannot pull from s: no connection; trying again until it works",
        "can pull from s again, after 60 s",
    ]


def test_failed_acknowledgement_is_sent_again(service: FakePubSub) -> None:
    failures = [error_status(grpc.StatusCode.UNAVAILABLE), error_status(grpc.StatusCode.INTERNAL)]
    service.errors["Acknowledge"] = lambda _: failures.pop() if failures else None
    subscriber = Subscriber(SUBSCRIPTION)
    (pulled,) = subscriber.take(10)
    subscriber.complete([pulled.lease])
    wait_until(lambda: service.acknowledged, "messages are acknowledged")
    subscriber.close()
    assert service.acknowledged == [["ack-0", "ack-1", "ack-2"]]
    assert service.modified == []


def test_exactly_once_delivery_retries_only_transient_failures(service: FakePubSub) -> None:
    reasons = {"ack-0": "PERMANENT_FAILURE_INVALID_ACK_ID", "ack-2": "TRANSIENT_FAILURE_UNORDERED_ACK_ID"}
    failures = [error_status(grpc.StatusCode.FAILED_PRECONDITION, reasons)]
    service.errors["Acknowledge"] = lambda _: failures.pop() if failures else None
    subscriber = Subscriber(SUBSCRIPTION)
    subscriber.complete(pulled.lease for pulled in subscriber.take(10))
    wait_until(lambda: service.acknowledged, "messages are acknowledged")
    subscriber.close()
    assert service.acknowledged == [["ack-1", "ack-2"]]


def test_messages_that_are_not_stored_are_returned_on_close(service: FakePubSub) -> None:
    subscriber = Subscriber(SUBSCRIPTION)
    subscriber.take(10)
    subscriber.close()
    assert (service.acknowledged, service.modified) == ([], [(["ack-0", "ack-1", "ack-2"], 0)])


def test_leases_are_extended_until_the_maximum(service: FakePubSub) -> None:
    subscriber = Subscriber(SUBSCRIPTION, max_lease=6.0)
    (pulled,) = subscriber.take(10)
    wait_until(lambda: service.modified, "leases are extended")
    assert service.modified == [(["ack-0", "ack-1", "ack-2"], 30)]
    assert subscriber.outstanding() == 3
    wait_until(lambda: not subscriber.outstanding(), "no message waits")
    subscriber.complete([pulled.lease])  # too late
    subscriber.close()
    assert service.acknowledged == []
    assert len(service.modified) == 1


def test_ids_of_a_lost_subscription_are_dropped(service: FakePubSub) -> None:
    subscriber = Subscriber(SUBSCRIPTION)
    (pulled,) = subscriber.take(10)
    service.errors["Pull"] = lambda _: error_status(grpc.StatusCode.NOT_FOUND)
    wait_until(lambda: subscriber.take(0.1) or not subscriber.outstanding(), "no message waits")
    subscriber.complete([pulled.lease])
    subscriber.close()
    assert (service.acknowledged, service.modified) == ([], [])
