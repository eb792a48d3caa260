"""A Pub/Sub that refuses what a test wants refused; Google's emulator refuses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import grpc
from google.cloud.pubsub_v1 import types
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]


class Service:
    """A Pub/Sub that hands over `messages` once, and answers any method as `refusals` say."""

    def __init__(self, messages: int = 0) -> None:
        self.refusals: dict[str, Callable[[Any], Status | None]] = {}
        self.acknowledged: list[list[str]] = []
        self.modified: list[tuple[list[str], int]] = []
        self._messages = messages
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        methods = {
            "Pull": (self._pull, types.PullRequest),
            "Acknowledge": (self._acknowledge, types.AcknowledgeRequest),
            "ModifyAckDeadline": (self._modify, types.ModifyAckDeadlineRequest),
            "GetSubscription": (lambda _: types.Subscription.pb()(), types.GetSubscriptionRequest),
            "CreateSubscription": (lambda request: request, types.Subscription),
        }
        handlers = {name: self._handler(name, *method) for name, method in methods.items()}
        generic = grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", handlers)
        iam = {
            "TestIamPermissions": self._handler(
                "TestIamPermissions", lambda _: types.Subscription.pb()(), None
            )
        }
        self._server.add_generic_rpc_handlers(
            (generic, grpc.method_handlers_generic_handler("google.iam.v1.IAMPolicy", iam))
        )
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Service:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def _handler(self, name: str, answer: Callable[[Any], Any], request: Any) -> Any:
        def handle(asked: Any, context: Any) -> Any:
            refusal = self.refusals.get(name, lambda _: None)(asked)
            if refusal is not None:
                context.abort_with_status(rpc_status.to_status(refusal))
            return answer(asked)

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
            time.sleep(0.2)  # a real service waits, too
        return response

    def _acknowledge(self, request: Any) -> Any:
        self.acknowledged.append(list(request.ack_ids))
        return types.Subscription.pb()()

    def _modify(self, request: Any) -> Any:
        self.modified.append((list(request.ack_ids), request.ack_deadline_seconds))
        return types.Subscription.pb()()


def load_rejected(code: grpc.StatusCode, reasons: Mapping[str, str] | None = None) -> Status:
    status = Status(code=code.value[0], message=f"refused: {code.name}")
    if reasons is not None:
        status.details.add().Pack(ErrorInfo(metadata=reasons))
    return status
