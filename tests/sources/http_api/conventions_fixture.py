"""APIs in the conventions of well-known products: each serves its events in pages of 10."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from devservers.http_api import HttpRequest, HttpResponse
from tests.sources.http_api.api_fixture import event

SIZE = 10


@dataclass(frozen=True)
class View:
    """What an API has to say of one page: its events, and where it is among the others."""

    events: Sequence[dict[str, Any]]
    at: int
    """Of its first event."""
    total: int
    path: str
    host: str

    @property
    def more(self) -> bool:
        return self.at + SIZE < self.total

    @property
    def page(self) -> int:
        """Counted from 1."""
        return self.at // SIZE + 1

    @property
    def pages(self) -> int:
        return -(-self.total // SIZE)

    def next(self, value: Any, otherwise: Any = None) -> Any:
        return value if self.more else otherwise

    def cursor(self, otherwise: Any = None) -> Any:
        """A cursor that is no number, nor a path, though it looks like one."""
        return self.next(f"/c+{self.at + SIZE}==", otherwise)

    def url(self, **query: object) -> str:
        return f"http://{self.host}{self.path}?{urlencode(query)}"


Respond = Callable[[HttpRequest], HttpResponse]
Answer = Callable[[View], Any]


@dataclass(frozen=True)
class Convention:
    """An API: its query, the parameter that selects a page, and its answers."""

    name: str
    answer: Answer
    param: str = "cursor"
    kind: str = "cursor"
    """What the parameter has: cursor, page (from 1), page0 (from 0), offset, offset1 (from 1) or id of an event."""
    query: str = ""
    past: int = 200
    """Status of a page behind the last one; with 200 it has no events."""
    path: str = "/logs"

    def respond(self, events: Sequence[dict[str, Any]]) -> Respond:
        def respond(request: HttpRequest) -> HttpResponse:
            at = self._at(request, events)
            if at is None:
                return HttpResponse(400)
            if self.past != 200 and at >= len(events) and at:
                return HttpResponse(self.past)
            view = View(events[at : at + SIZE], at, len(events), request.path, request.headers["Host"])
            answer = self.answer(view)
            body, headers = answer if isinstance(answer, tuple) else (answer, {})
            return HttpResponse(200, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)

        return respond

    def _at(self, request: HttpRequest, events: Sequence[dict[str, Any]]) -> int | None:
        value = request.query.get(self.param)
        if value is None:
            return 0
        if self.kind == "id":
            return [record["id"] for record in events].index(value) + 1
        if self.kind == "cursor":
            digits = value.removeprefix("/c+").removesuffix("==")
            return int(digits) if value.startswith("/c+") and digits.isdigit() else None
        number = int(value)
        return {
            "page": (number - 1) * SIZE,
            "page0": number * SIZE,
            "offset": number,
            "offset1": number - 1,
        }[self.kind]


def events(number: int) -> list[dict[str, Any]]:
    return [{"id": f"e{index}", **event(index)} for index in range(number)]


def link_header(target: str, rel: str) -> dict[str, str]:
    return {"Link": f"<{target}>; rel={rel}"}
