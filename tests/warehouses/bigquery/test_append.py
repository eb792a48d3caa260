"""Appends to BigQuery: what is sent and how answers are understood, against a gRPC server that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
import pyarrow as pa
import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.cloud.bigquery_storage_v1.types import (
    AppendRowsRequest,
    AppendRowsResponse,
    RowError,
    StorageError,
)
from sluice.arrow.from_json import to_table
from sluice.errors import ConfigError, WarehouseError
from sluice.warehouses.bigquery.append import append

from tests.warehouses.backends import Backend
from tests.warehouses.order_segments import NOW, ORDER, as_stored, order, segment
from tests.warehouses.storage_write_server import serving

NAME = "my-project.shop.order_events"
STREAM = "projects/my-project/datasets/shop/tables/order_events/streams/_default"
INVALID = grpc.StatusCode.INVALID_ARGUMENT.value[0]
Answer: TypeAlias = AppendRowsResponse | grpc.StatusCode | None
Judge = Callable[[list[Any]], Answer]
"""Texts of a request's rows -> what it is answered, or how the stream is aborted; None: it ends."""


def taken(_: list[Any]) -> AppendRowsResponse:
    return AppendRowsResponse(append_result={}, write_stream=STREAM)


@dataclass
class StorageWrite:
    """The one method of the service that is called, on a real gRPC server; keeps what it takes."""

    judge: Judge = taken
    requests: list[AppendRowsRequest] = field(default_factory=list)
    metadata: list[tuple[str, Any]] = field(default_factory=list)
    rows: list[pa.RecordBatch] = field(default_factory=list)

    def append(
        self, requests: Iterator[AppendRowsRequest], context: grpc.ServicerContext
    ) -> Iterator[AppendRowsResponse]:
        self.metadata += map(tuple, context.invocation_metadata())
        for request in requests:
            self.requests.append(request)
            batch = decoded(request)
            answer = self.judge(batch["text"].to_pylist())
            if answer is None:
                return
            if isinstance(answer, grpc.StatusCode):
                context.abort(answer, f"{answer.name} of the test")
            if not answer.error.code:
                self.rows.append(batch)
            yield answer

    @property
    def texts(self) -> list[str]:
        """Of the rows that were taken."""
        return [text for batch in self.rows for text in batch["text"].to_pylist()]


def decoded(request: AppendRowsRequest) -> pa.RecordBatch:
    schema = pa.ipc.read_schema(pa.py_buffer(request.arrow_rows.writer_schema.serialized_schema))
    return pa.ipc.read_record_batch(pa.py_buffer(request.arrow_rows.rows.serialized_record_batch), schema)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageWrite]:
    made = StorageWrite()
    with serving(made.append) as address:
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", address)
        yield made


def rows_of(*lines: bytes) -> pa.Table:
    table, row_errors = to_table(ORDER, segment(1, *lines), [f"{n:032x}" for n in range(len(lines))], NOW)
    assert row_errors == []
    return table


def numbered(rows: int) -> pa.Table:
    return rows_of(*(order(text=f"row {number}") for number in range(rows)))


def test_appended_rows_are_unchanged_except_for_null_arrays(service: StorageWrite) -> None:
    sold = {"by": "é", "price": 1.5, "at": "2025-02-08T13:09:00.123456Z", "day": "2025-02-08", "gift": True}
    sold |= {"tags": [], "shop": {"id": 7}}
    table = rows_of(
        order(
            text="'\"\\ \u0000é", total=b"-12345678901234567890123456789.123456789", ratio=0.1, tags=["a", ""]
        ),
        order(0.000001, items=[{"price": 2, "sizes": [1, 2]}, {"sizes": None}], note={"a": [None]}),
        order(
            1,
            deep={"a": {"b": {"c": [{"leaf": None}, {"leaf": {"name": "n", "price": 1}}]}}},
            number=-(2**63),
        ),
        order(2, deep={"a": {"b": {"c": None}}}, sold=sold, sales=[{"n": 1, "sold": sold}, {"sold": None}]),
        order(3, deep={"a": None}, paid=False, day="0001-01-01"),
    )
    assert append(NAME, table) == []
    (request,) = service.requests
    assert request.write_stream == STREAM
    assert ("x-goog-request-params", f"write_stream={STREAM}") in service.metadata
    (batch,) = service.rows
    assert batch.schema == table.schema
    here = Backend("bigquery://p/d", lambda _: [])
    assert batch.to_pylist() == [as_stored(here, row) for row in table.to_pylist()]
    assert batch.to_pylist()[1]["items"][1]["sizes"] == batch.to_pylist()[4]["sales"] == []


def test_no_rows_make_no_request(service: StorageWrite) -> None:
    assert append(NAME, numbered(1).slice(1)) == []
    assert service.requests == []


def test_requests_stay_below_ten_megabytes(service: StorageWrite) -> None:
    texts = [str(number) * 3_000_000 for number in range(8)]
    assert append(NAME, rows_of(*(order(text=text) for text in texts))) == []
    assert [batch.num_rows for batch in service.rows] == [2, 2, 2, 2]
    assert service.texts == texts


def test_row_larger_than_a_request_is_rejected(service: StorageWrite) -> None:
    table = rows_of(order(text="a"), order(text="b" * 9_500_000), order(text="c"))
    ((row, reason),) = append(NAME, table)
    assert row == 1
    assert reason.startswith("expected a row of at most 9,500,000 bytes, as an append takes it, got 9,50")
    assert service.texts == ["a", "c"]


def judging(most: int, bad: set[int]) -> Judge:
    """Refuse a request with some of the `bad` rows and name at most so many of them."""

    def judge(texts: list[Any]) -> AppendRowsResponse:
        indexes = [index for index, text in enumerate(texts) if int(text.removeprefix("row ")) in bad]
        if not indexes:
            return taken(texts)
        code = RowError.RowErrorCode.FIELDS_ERROR
        named = [RowError(index=n, code=code, message=f"{texts[n]}\nis bad") for n in indexes[:most]]
        return AppendRowsResponse(error={"code": INVALID, "message": "Some rows are bad"}, row_errors=named)

    return judge


@pytest.mark.parametrize(
    ("most", "requests", "reason"),
    [(10, 2, "row {} is bad"), (1, 4, "row {} is bad"), (0, 17, "Some rows are bad")],
)
def test_rows_that_bigquery_rejects_are_returned_and_the_others_appended(
    service: StorageWrite, most: int, requests: int, reason: str
) -> None:
    service.judge = judging(most, {3, 4, 17})
    assert append(NAME, numbered(20)) == [(n, reason.format(n)) for n in (3, 4, 17)]
    assert sorted(service.texts) == sorted(f"row {n}" for n in range(20) if n not in (3, 4, 17))
    assert len(service.requests) == requests


def test_all_rows_of_an_append_can_be_rejected(service: StorageWrite) -> None:
    service.judge = judging(10, {0, 1})
    assert append(NAME, numbered(2)) == [(0, "row 0 is bad"), (1, "row 1 is bad")]
    assert len(service.requests) == 1


def status(code: grpc.StatusCode, message: str, *details: StorageError) -> Judge:
    kind = "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError"
    packed = [{"type_url": kind, "value": StorageError.serialize(detail)} for detail in details]
    error = {"code": code.value[0], "message": message, "details": packed}
    return lambda _: AppendRowsResponse(error=error)


MISMATCH = StorageError(code=StorageError.StorageErrorCode.SCHEMA_MISMATCH_EXTRA_FIELDS, entity=STREAM)


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (
            status(grpc.StatusCode.INVALID_ARGUMENT, "Input schema has\nmore fields", MISMATCH),
            "take an append: INVALID_ARGUMENT: Input schema has more fields",
        ),
        (status(grpc.StatusCode.INTERNAL, "try again"), "take an append: INTERNAL: try again"),
        (lambda _: None, "answer an append, got the end of the stream"),
    ],
)
def test_error_that_is_not_about_rows_fails_the_append(
    service: StorageWrite, judge: Judge, message: str
) -> None:
    service.judge = judge
    with pytest.raises(WarehouseError) as error:
        append(NAME, numbered(3))
    assert str(error.value) == f"{NAME}: expected BigQuery to {message}"
    assert len(service.requests) == 1


def test_failed_append_is_not_retried_by_the_client(service: StorageWrite) -> None:
    service.judge = lambda _: grpc.StatusCode.UNAVAILABLE
    with pytest.raises(ServiceUnavailable, match="UNAVAILABLE of the test"):
        append(NAME, numbered(1))
    assert len(service.requests) == 1


def test_append_needs_the_storage_emulator_beside_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:9050")
    monkeypatch.delenv("BIGQUERY_STORAGE_EMULATOR_HOST", raising=False)
    with pytest.raises(ConfigError) as error:
        append(NAME, numbered(1))
    assert str(error.value) == (
        "BIGQUERY_STORAGE_EMULATOR_HOST: expected HOST:PORT of the emulator that BIGQUERY_EMULATOR_HOST names,"
        " for method=storage_write, got nothing; set it"
    )
