"""A Pub/Sub service that answers with the errors that its user chooses; Google's emulator has none of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from google.cloud.pubsub_v1 import types
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # the package has no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # the package has no types
from grpc_status import rpc_status  # type: ignore[import-untyped]  # the package has no types

_EMPTY_PULL_SECONDS = 0.2


class FakePubSub:
    """A subscription that delivers `messages` once. `errors` has, by method, the error for a request or None."""

    def __init__(self, messages: int = 0) -> None:
        """Listen on a free loopback port, `host`."""
        self.errors: dict[str, Callable[[Any], Status | None]] = {}
        self.acknowledged: list[list[str]] = []
        self.modified: list[tuple[list[str], int]] = []
        self._messages = messages
        self._lock = threading.Lock()
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        methods = {
            "Pull": (self._pull, types.PullRequest),
            "Acknowledge": (self._acknowledge, types.AcknowledgeRequest),
            "ModifyAckDeadline": (self._modify, types.ModifyAckDeadlineRequest),
            "GetSubscription": (lambda _: types.Subscription.pb()(), types.GetSubscriptionRequest),
            "CreateSubscription": (lambda request: request, types.Subscription),
        }
        subscriber = {name: self._handler(name, *method) for name, method in methods.items()}
        permissions = "TestIamPermissions"
        policy = {permissions: self._handler(permissions, lambda _: types.Subscription.pb()(), None)}
        services = {"google.pubsub.v1.Subscriber": subscriber, "google.iam.v1.IAMPolicy": policy}
        self.server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, handlers) for name, handlers in services.items()]
        )
        self.host = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    def _handler(self, name: str, answer: Callable[[Any], Any], request: Any) -> Any:
        def handle(message: Any, context: Any) -> Any:
            error = self.errors.get(name, lambda _: None)(message)
            if error is not None:
                context.abort_with_status(rpc_status.to_status(error))
            return answer(message)

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=request.pb().FromString if request is not None else None,
            response_serializer=lambda response: response.SerializeToString(),
        )

    def _pull(self, request: Any) -> Any:
        response = types.PullResponse.pb()()
        with self._lock:
            number, self._messages = self._messages, 0
        for index in range(number):
            received = response.received_messages.add(ack_id=f"ack-{index}")
            received.message.data = b"{}"
        if not number:
            time.sleep(_EMPTY_PULL_SECONDS)  # as the service does
        return response

    def _acknowledge(self, request: Any) -> Any:
        self.acknowledged.append(list(request.ack_ids))
        return types.Subscription.pb()()

    def _modify(self, request: Any) -> Any:
        self.modified.append((list(request.ack_ids), request.ack_deadline_seconds))
        return types.Subscription.pb()()


def error_status(code: grpc.StatusCode, reasons: Mapping[str, str] | None = None) -> Status:
    """Return an error; `reasons` are those of single ack ids."""
    status = Status(code=code.value[0], message=f"refused: {code.name}")
    if reasons is not None:
        status.details.add().Pack(ErrorInfo(metadata=reasons))
    return status


@contextmanager
def start(messages: int = 0) -> Iterator[FakePubSub]:
    """Run a service that delivers so many messages, until the block ends."""
    service = FakePubSub(messages)
    service.server.start()
    try:
        yield service
    finally:
        service.server.stop(None).wait()
