"""Addresses of Pub/Sub, the check before a run, and the division of ids into requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc
import pytest
from google.cloud.pubsub_v1 import types
from sluice.errors import ConfigError, SourceError
from sluice.sources import open_source
from sluice.sources.pubsub.client import Address, pull_some, retryable_ids, split_ack_ids
from sluice.sources.pubsub.connector import PubSubConnector

from devservers import fake_pubsub
from devservers.fake_pubsub import FakePubSub, error_status


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePubSub]:
    with fake_pubsub.start(messages=3) as running:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", running.host)
        yield running


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "pubsub://projects/shop-1/subscriptions/events-sub",
            Address(
                "pubsub://projects/shop-1/subscriptions/events-sub",
                "projects/shop-1/subscriptions/events-sub",
                None,
            ),
        ),
        (
            "pubsub://projects/shop-1/topics/events",
            Address(
                "pubsub://projects/shop-1/topics/events",
                "projects/shop-1/subscriptions/sluice-events",
                "projects/shop-1/topics/events",
            ),
        ),
        (
            "pubsub://projects/shop-1/topics/events?subscription=mine",
            Address(
                "pubsub://projects/shop-1/topics/events",
                "projects/shop-1/subscriptions/mine",
                "projects/shop-1/topics/events",
            ),
        ),
    ],
)
def test_url_is_parsed_as_a_subscription_or_topic(url: str, address: Address) -> None:
    assert PubSubConnector.parse(url).address == address


@pytest.mark.parametrize(
    "url",
    [
        "pubsub://events",
        "pubsub://projects/p/subscriptions",
        "pubsub://projects/p/subscriptions/",
        "pubsub://projects/p/snapshots/s",
        "pubsub://projects/p/subscriptions/s/more",
    ],
)
def test_url_of_another_form_is_rejected(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(url)
    assert str(caught.value) == (
        "expected pubsub://projects/PROJECT/subscriptions/NAME or pubsub://projects/PROJECT/topics/NAME, "
        f"got {url!r}"
    )


def test_password_in_the_url_is_rejected_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        open_source("pubsub://user:secret@projects/p/subscriptions/s")
    assert str(caught.value) == (
        "pubsub://projects/p/subscriptions/s: expected no user or password in the URL; "
        "they are Google's application default credentials"
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "pubsub://projects/p/subscriptions/s?subscription=t",
            "subscription: expected this option for a topic alone, got a subscription",
        ),
        ("pubsub://projects/p/topics/t?subscription=", "subscription: expected a value, got nothing"),
    ],
)
def test_option_without_use_or_value_is_rejected(url: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(url)
    assert str(caught.value) == f"{url}: {expected}"


def test_unknown_option_is_rejected() -> None:
    with pytest.raises(ConfigError) as caught:
        open_source("pubsub://projects/p/topics/t?name=s")
    assert str(caught.value) == (
        "pubsub://projects/p/topics/t: expected options among subscription behind ?, got 'name'"
    )


def test_ack_ids_are_split_to_the_limits_of_the_service() -> None:
    ids = [f"{number:0200}" for number in range(6000)]
    parts = list(split_ack_ids(ids))
    assert [ack_id for part in parts for ack_id in part] == ids
    assert max(map(len, parts)) <= 2500
    request = types.AcknowledgeRequest.pb()
    assert (
        max(request(subscription="projects/p/subscriptions/s", ack_ids=part).ByteSize() for part in parts)
        <= 512 << 10
    )
    assert [len(part) for part in split_ack_ids(["a"] * 5001)] == [2500, 2500, 1]
    assert list(split_ack_ids([])) == []
    assert list(split_ack_ids(["a" * 600_000, "b"])) == [["a" * 600_000], ["b"]]


@pytest.mark.parametrize(
    ("status", "failures", "left"),
    [
        ("UNAVAILABLE", {}, ["a", "b", "c"]),
        ("PERMISSION_DENIED", {}, ["a", "b", "c"]),
        ("NOT_FOUND", {}, []),
        ("INVALID_ARGUMENT", {}, []),
        (
            "FAILED_PRECONDITION",
            {"a": "PERMANENT_FAILURE_INVALID_ACK_ID", "b": "TRANSIENT_FAILURE_ORDERING"},
            ["b", "c"],
        ),
    ],
)
def test_only_transient_failures_are_retried(
    status: str, failures: Mapping[str, str], left: list[str]
) -> None:
    assert retryable_ids(["a", "b", "c"], status, failures) == left


@pytest.mark.parametrize(
    ("url", "method", "problem"),
    [
        (
            "pubsub://projects/p/subscriptions/s",
            "GetSubscription",
            "not permitted to pull from projects/p/subscriptions/s; grant roles/pubsub.subscriber",
        ),
        (
            "pubsub://projects/p/topics/t",
            "CreateSubscription",
            "not permitted to make projects/p/subscriptions/sluice-t; grant roles/pubsub.editor, or make it first",
        ),
    ],
)
def test_missing_permission_is_reported_with_the_role_that_grants_it(
    service: FakePubSub, url: str, method: str, problem: str
) -> None:
    service.errors["GetSubscription"] = lambda _: error_status(grpc.StatusCode.NOT_FOUND)
    service.errors[method] = lambda _: error_status(grpc.StatusCode.PERMISSION_DENIED)
    service.errors["TestIamPermissions"] = lambda _: error_status(grpc.StatusCode.PERMISSION_DENIED)
    with pytest.raises(SourceError) as caught:
        open_source(url).check()
    assert str(caught.value) == f"{url}: {problem}"


def test_other_error_of_the_service_is_reported_by_its_code(service: FakePubSub) -> None:
    service.errors["GetSubscription"] = lambda _: error_status(grpc.StatusCode.INVALID_ARGUMENT)
    with pytest.raises(SourceError) as caught:
        open_source("pubsub://projects/p/subscriptions/s").check()
    assert str(caught.value) == "pubsub://projects/p/subscriptions/s: refused: INVALID_ARGUMENT"


class ExpiringPubSub(FakePubSub):
    """Delivers messages by number, in these portions; the ack id counts the deliveries."""

    portions: Sequence[Sequence[int]] = ((1, 2), (2, 3), (1, 4), (2, 4), (5,))

    def __init__(self) -> None:
        super().__init__()
        self._left = iter(self.portions)
        self.asked: list[int] = []

    def _pull(self, request: Any) -> Any:
        self.asked.append(request.max_messages)
        response = types.PullResponse.pb()()
        for number in next(self._left):
            received = response.received_messages.add(ack_id=f"{number}-{len(self.asked)}")
            received.message.message_id = str(number)
        return response


@pytest.mark.parametrize(
    ("number", "portions", "asked", "given_up"),
    [
        (9, [["1", "2"], ["3"], ["4"]], [9, 7, 6, 5], ["1-3", "2-4", "3-2", "4-4"]),
        (3, [["1", "2"], ["3"]], [3, 1], ["1-1", "2-2", "3-2"]),
    ],
)
def test_message_that_is_looked_at_comes_once_though_its_lease_runs_out(
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    portions: list[list[str]],
    asked: list[int],
    given_up: list[str],
) -> None:
    service = ExpiringPubSub()
    service.server.start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", service.host)
    address = PubSubConnector.parse("pubsub://projects/p/subscriptions/s").address
    pulled = [[message.message.message_id for message in portion] for portion in pull_some(address, number)]
    service.server.stop(None).wait()
    assert (pulled, service.asked) == (portions, asked)
    assert (service.modified, service.acknowledged) == ([(given_up, 0)], [])
