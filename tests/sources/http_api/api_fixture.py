"""An API with 25 events on an HTTP server, with pages of 10 events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sluice.elements import RecordBatch
from sluice.errors import SourceError
from sluice.sources.http_api.connector import HttpConnector
from sluice.sources.http_api.source import read_api

from devservers import http_api
from devservers.http_api import HttpApi, HttpRequest, HttpResponse

NOW = 1_736_503_200.0  # 2025-01-10T10:00:00Z
DAY = 1_736_467_200.0


@contextmanager
def serve(respond: Callable[[HttpRequest], HttpResponse]) -> Iterator[HttpApi]:
    """Serve an API until the block ends; its URL has the path /logs."""
    with http_api.start(respond) as server:
        server.url += "/logs"
        yield server


def event(number: int) -> dict[str, str]:
    return {
        "user_id": f"U{number}",
        "timestamp": f"2025-01-10T10:{number % 60:02d}:00Z",
        "event_type": "view",
    }


EVENTS = [event(number) for number in range(25)]


def ok(value: object, **headers: str) -> HttpResponse:
    body = json.dumps(value).encode()
    return HttpResponse(200, body, {name.replace("_", "-"): text for name, text in headers.items()})


def read(url: str, pauses: list[float] | None = None) -> list[RecordBatch]:
    return list(
        read_api(HttpConnector.parse(url).api, NOW, sleep=(pauses if pauses is not None else []).append)
    )


def users(batches: list[RecordBatch]) -> list[str]:
    return [json.loads(record)["user_id"] for batch in batches for record in batch.records]


USERS = [record["user_id"] for record in EVENTS]


def by_page(request: HttpRequest) -> HttpResponse:
    page = int(request.query.get("page", 1))
    return ok({"page": page, "data": EVENTS[(page - 1) * 10 : page * 10]})


def by_cursor(request: HttpRequest) -> HttpResponse:
    at = int(request.query.get("cursor", 0))
    return ok({"items": EVENTS[at : at + 10], "next_cursor": str(at + 10) if at + 10 < len(EVENTS) else None})


def error_of(respond: Callable[[HttpRequest], HttpResponse], query: str = "") -> str:
    """Return the error that reading an API ends in, with URL in the place of its address."""
    with serve(respond) as server:
        with pytest.raises(SourceError) as caught:
            read(server.url + query)
        return (
            str(caught.value).replace(server.url, "URL").replace(server.url.removesuffix("/logs"), "ORIGIN")
        )
