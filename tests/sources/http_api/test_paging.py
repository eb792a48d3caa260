"""Random histories are read once, record for record, whichever way their pages follow each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sluice.sources.http_api.connector import HttpConnector
from sluice.sources.http_api.source import read_api

from devservers.http_api import HttpRequest, HttpResponse
from tests.sources.http_api.api_fixture import NOW, event, ok, serve, users

Pages = Sequence[Sequence[dict[str, Any]]]
Way = tuple[str, Callable[[HttpRequest, Pages], HttpResponse]]


def numbered(first: int) -> Callable[[HttpRequest, Pages], HttpResponse]:
    def respond(request: HttpRequest, pages: Pages) -> HttpResponse:
        at = int(request.query.get("page", first)) - first
        if at < 0:
            return HttpResponse(400)
        return ok(pages[at]) if at < len(pages) else HttpResponse(404)

    return respond


def by_offset(request: HttpRequest, pages: Pages) -> HttpResponse:
    at = int(request.query.get("offset", 0))
    starts = [sum(map(len, pages[:index])) for index in range(len(pages))]
    return ok({"rows": pages[starts.index(at)] if at in starts else [], "total": sum(map(len, pages))})


def by_link(request: HttpRequest, pages: Pages) -> HttpResponse:
    at = int(request.query.get("at", 0))
    return ok(
        pages[at], **({"Link": f'<?at={at + 1}>; title="a;b,c"; rel="x next"'} if at + 1 < len(pages) else {})
    )


def by_cursor(form: str) -> Callable[[HttpRequest, Pages], HttpResponse]:
    def respond(request: HttpRequest, pages: Pages) -> HttpResponse:
        value = request.query.get("cursor")
        at = 0 if value is None else next(index for index in range(len(pages)) if form.format(index) == value)
        return ok({"items": pages[at], "next_cursor": form.format(at + 1) if at + 1 < len(pages) else None})

    return respond


def by_url(request: HttpRequest, pages: Pages) -> HttpResponse:
    at = int(request.query.get("at", 0))
    links = {"next": {"href": f"?at={at + 1}"}} if at + 1 < len(pages) else {}
    return ok({"_embedded": {"logs": pages[at]}, "_links": links})


def by_last_record(request: HttpRequest, pages: Pages) -> HttpResponse:
    after = request.query.get("after")
    at = (
        0
        if after is None
        else next(index for index, page in enumerate(pages) if page[-1]["user_id"] == after) + 1
    )
    return ok(pages[at] if at < len(pages) else [])


def by_scroll(request: HttpRequest, pages: Pages) -> HttpResponse:
    return ok(
        {"_scroll_id": "/x?", "hits": {"hits": pages[request.number] if request.number < len(pages) else []}}
    )


FULL: dict[str, Way] = {
    "page 1": ("?page=1", numbered(1)),
    "page 0": ("?page=0", numbered(0)),
    "first page 0": ("#paging=page&first_page=0", numbered(0)),
    "pages from 0": ("#paging=page", numbered(0)),
    "pages from 1": ("#paging=page", numbered(1)),
    "offset": ("?offset=0", by_offset),
    "last record": ("#cursor=user_id&param=after", by_last_record),
    "scroll": ("", by_scroll),
}
"""Ways in which an empty page is the end."""

SPARSE: dict[str, Way] = {
    "link": ("", by_link),
    "cursor": ("", by_cursor("c{}")),
    "cursor like a path": ("", by_cursor("/{}==")),
    "cursor like a query": ("#next=next_cursor&param=cursor", by_cursor("?a={}&b")),
    "cursor of signs": ("#next=/next_cursor", by_cursor("{}: &=#%ü")),
    "url": ("", by_url),
}
"""Ways in which pages may be empty."""


def split(sizes: Sequence[int]) -> Pages:
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [
        [event(number) for number in range(at, at + size)] for at, size in zip(starts, sizes, strict=True)
    ]


def read_once(way: Way, pages: Pages) -> None:
    query, respond = way
    query += ("&" if "#" in query else "#") + "retry_for=0s"
    with serve(lambda request: respond(request, pages)) as server:
        batches = read_api(HttpConnector.parse(server.url + query).api, NOW)
        assert users(list(batches)) == [record["user_id"] for page in pages for record in page]


@pytest.mark.parametrize("way", FULL)
@settings(max_examples=5)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_pages_are_read_once(way: str, sizes: list[int]) -> None:
    read_once(FULL[way], split(sizes))


@pytest.mark.parametrize("way", SPARSE)
@settings(max_examples=5)
@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_pages_of_which_some_are_empty_are_read_once(way: str, sizes: list[int]) -> None:
    read_once(SPARSE[way], split(sizes))
