"""The Pub/Sub service as the source uses it: addresses, the connection, the check before a run, requests."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sluice.errors import SourceError
from sluice.sources.pubsub.identity import DELETED_TOPIC

_LOGGER = logging.getLogger("sluice")

_CHECK_SECONDS = 10.0
_ACK_SECONDS = 30

_PULL_PERMISSION = "pubsub.subscriptions.consume"
_GRANT = "grant roles/pubsub.subscriber"

_RECONNECT_MS = 5000

_REST_SECONDS = 2.0
"""How long more messages are waited for, after the first."""

_MAX_SAMPLED = 1000
"""Messages of one pull; Pub/Sub's own limit."""

_MAX_IDS = 2500
_MAX_REQUEST_BYTES = 500_000
"""Ids in one request; Pub/Sub takes 512 KiB."""

_TRANSIENT = frozenset(
    (
        "ABORTED",
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "INTERNAL",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "UNAUTHENTICATED",
        "UNAVAILABLE",
        "UNKNOWN",
    )
)
"""Statuses after which the same acknowledgement may yet succeed."""


@dataclass(frozen=True, slots=True)
class Address:
    """What is read: `topic` is None where a subscription is named; both are full names."""

    uri: str
    subscription: str
    topic: str | None


def open_client() -> Any:
    """Return a client that reconnects soon; at PUBSUB_EMULATOR_HOST, if that is set."""
    import grpc
    from google.cloud.pubsub_v1 import SubscriberClient

    transport = SubscriberClient.get_transport_class("grpc")
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),  # gRPC's own is two minutes
    ]
    emulator = os.environ.get("PUBSUB_EMULATOR_HOST")
    if emulator:
        return SubscriberClient(transport=transport(channel=grpc.insecure_channel(emulator, options)))

    def channel(host: str, **arguments: Any) -> Any:
        return transport.create_channel(host, **{**arguments, "options": options})

    return SubscriberClient(transport=transport(channel=channel))


def check_subscription(address: Address) -> None:
    """Check that the subscription can be pulled from, and create the subscription of a topic.

    Raises:
        SourceError: it is missing, is another topic's, pushes, is forbidden, or Pub/Sub cannot be reached.

    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    where = os.environ.get("PUBSUB_EMULATOR_HOST")
    try:
        with open_client() as client:
            problem = _problem(address, client)
    except exceptions.PermissionDenied:
        problem = f"not permitted to pull from {address.subscription}; {_GRANT}"
    except (exceptions.ServiceUnavailable, exceptions.DeadlineExceeded, exceptions.RetryError) as error:
        at = f"the emulator at PUBSUB_EMULATOR_HOST={where}" if where else "Pub/Sub"
        problem = f"cannot reach {at}: {error.message}"
    except exceptions.GoogleAPICallError as error:
        problem = error.message
    except GoogleAuthError:
        problem = "no credentials: expected GOOGLE_APPLICATION_CREDENTIALS or `gcloud auth application-default login`"
    if problem is not None:
        message = f"{address.uri}: {' '.join(problem.split())}"
        raise SourceError(message)


def _problem(address: Address, client: Any) -> str | None:
    from google.api_core.exceptions import NotFound, PermissionDenied

    name = address.subscription
    try:
        existing = client.get_subscription(subscription=name, retry=None, timeout=_CHECK_SECONDS)
    except NotFound:
        if address.topic is not None:
            return _create(address, client)
        _, project, _, short = name.split("/")
        return (
            f"there is no such subscription; to make it: gcloud pubsub subscriptions create {short} "
            f"--topic TOPIC --project {project}"
        )
    except PermissionDenied:  # roles/pubsub.subscriber may pull, but not look
        request = {"resource": name, "permissions": [_PULL_PERMISSION]}
        answer = client.test_iam_permissions(request=request, retry=None, timeout=_CHECK_SECONDS)
        return (
            None if _PULL_PERMISSION in answer.permissions else f"not permitted to pull from {name}; {_GRANT}"
        )
    if existing.push_config.push_endpoint:
        return f"{name} pushes its messages; expected one that is pulled from"
    return _topic_problem(address, existing.topic)


def _topic_problem(address: Address, topic: str) -> str | None:
    """Return what is wrong with the topic of the subscription; warn if it is gone, and the subscription is read."""
    name = address.subscription
    if topic == DELETED_TOPIC and address.topic is None:
        _LOGGER.warning(
            "%s: its topic was deleted: it delivers what it has, and nothing that is published later",
            address.uri,
        )
    elif topic == DELETED_TOPIC:
        return (
            f"the topic of {name} was deleted; delete it too, or choose another name with ?subscription=NAME"
        )
    elif address.topic not in (None, topic):
        return f"{name} is of {topic}; choose another name with ?subscription=NAME"
    return None


def _create(address: Address, client: Any) -> str | None:
    """Create the subscription of a topic; return what prevents it."""
    from google.api_core.exceptions import AlreadyExists, NotFound, PermissionDenied

    request = {"name": address.subscription, "topic": address.topic, "ack_deadline_seconds": _ACK_SECONDS}
    try:
        client.create_subscription(request=request, retry=None, timeout=_CHECK_SECONDS)
    except AlreadyExists:
        return None  # another run was faster
    except NotFound:
        _, project, _, short = str(address.topic).split("/")
        return f"there is no such topic; to make it: gcloud pubsub topics create {short} --project {project}"
    except PermissionDenied:
        return f"not permitted to make {address.subscription}; grant roles/pubsub.editor, or make it first"
    return None


def pull_some(address: Address, number: int) -> Iterator[Sequence[Any]]:
    """Yield at most `number` raw ReceivedMessages in portions, as long as new ones come, and give up their leases.

    For the service that is a failed delivery. A message whose lease runs out comes again, and is not yielded again.

    Raises:
        SourceError: none comes, or they cannot be pulled.

    """
    from google.api_core.exceptions import DeadlineExceeded, GoogleAPICallError

    name = address.subscription
    ack_ids: dict[str, str] = {}  # by message: the last one of each is valid
    with open_client() as client:
        try:
            while number > 0:
                request = {"subscription": name, "max_messages": min(number, _MAX_SAMPLED)}
                wait = _REST_SECONDS if ack_ids else _CHECK_SECONDS
                try:
                    received = client.pull(request=request, retry=None, timeout=wait)._pb.received_messages
                except DeadlineExceeded:
                    received = ()
                new = [message for message in received if message.message.message_id not in ack_ids]
                ack_ids.update((message.message.message_id, message.ack_id) for message in received)
                if not new:
                    break
                number -= len(new)
                yield new
            for part in split_ack_ids(list(ack_ids.values())):
                client.modify_ack_deadline(
                    subscription=name, ack_ids=part, ack_deadline_seconds=0, retry=None
                )
        except GoogleAPICallError as error:
            message = f"{address.uri}: cannot pull: {' '.join(error.message.split())}"
            raise SourceError(message) from error
    if not ack_ids:
        message = (
            f"{address.uri}: expected messages within {_CHECK_SECONDS:g} s, got none; publish some meanwhile"
        )
        raise SourceError(message)


def method(client: Any, subscription: str, name: str, response: Any = None) -> Callable[..., Any]:
    """Return a method of the service: raw request -> gRPC future of the raw `response`."""
    call = client.transport.grpc_channel.unary_unary(
        f"/google.pubsub.v1.Subscriber/{name}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=response.FromString if response is not None else None,
    )
    return partial(call.future, metadata=(("x-goog-request-params", f"subscription={subscription}"),))


def split_ack_ids(ack_ids: Sequence[str]) -> Iterator[list[str]]:
    """Divide ids into parts that fit into one request."""
    part: list[str] = []
    size = 0
    for ack_id in ack_ids:
        if part and (len(part) >= _MAX_IDS or size + len(ack_id) > _MAX_REQUEST_BYTES):
            yield part
            part, size = [], 0
        part.append(ack_id)
        size += len(ack_id) + 4
    if part:
        yield part


def retryable_ids(ack_ids: list[str], status: str, failures: Mapping[str, str]) -> list[str]:
    """Return the ids of a request that may be sent again after it failed with `status`.

    `failures` are the answers of a subscription with exactly-once delivery: id -> reason. The message of an id that
    failed permanently is delivered again, as are all messages of a lost subscription.
    """
    if failures:
        return [ack_id for ack_id in ack_ids if failures.get(ack_id, "TRANSIENT_").startswith("TRANSIENT_")]
    return ack_ids if status in _TRANSIENT else []


def failures_of(call: Any) -> Mapping[str, str]:
    """Return the ids that a failed request reports one by one: id -> reason."""
    from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]
    from grpc_status import rpc_status  # type: ignore[import-untyped]

    status = rpc_status.from_call(call)
    info = ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(info):
            return dict(info.metadata)
    return {}
