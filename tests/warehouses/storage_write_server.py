"""A gRPC server for AppendRows, the one method of BigQuery's Storage Write API that is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from google.cloud.bigquery_storage_v1.types import AppendRowsRequest, AppendRowsResponse

SERVICE = "google.cloud.bigquery.storage.v1.BigQueryWrite"
LIMIT = [("grpc.max_receive_message_length", 10_000_000)]

Append = Callable[[Iterator[AppendRowsRequest], grpc.ServicerContext], Iterator[AppendRowsResponse]]


@contextmanager
def serving(append: Append) -> Iterator[str]:
    """Serve `append` on a loopback port until the block ends; yield its HOST:PORT."""
    method = grpc.stream_stream_rpc_method_handler(
        append, AppendRowsRequest.deserialize, AppendRowsResponse.serialize
    )
    server = grpc.server(ThreadPoolExecutor(1), options=LIMIT)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"AppendRows": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@contextmanager
def losing_answers(target: str, number: int) -> Iterator[str]:
    """Pass appends on to the server at `target`, but drop so many streams instead of its answers; yield HOST:PORT."""
    lost = iter(range(number))

    def append(
        requests: Iterator[AppendRowsRequest], context: grpc.ServicerContext
    ) -> Iterator[AppendRowsResponse]:
        for answer in pass_on(requests):
            if next(lost, None) is not None:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
            yield answer

    with grpc.insecure_channel(target) as channel, serving(append) as address:
        pass_on = channel.stream_stream(
            f"/{SERVICE}/AppendRows", AppendRowsRequest.serialize, AppendRowsResponse.deserialize
        )
        yield address
