"""How the pages of an API follow each other, and the records of a page, against an HTTP server."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sluice.errors import SourceError

from devservers.http_api import HttpRequest, HttpResponse
from tests.origins import message_ids_of
from tests.sources.http_api.api_fixture import (
    DAY,
    EVENTS,
    USERS,
    by_cursor,
    by_page,
    ok,
    read,
    serve,
    users,
)


def by_offset(request: HttpRequest) -> HttpResponse:
    at = int(request.query["offset"])
    return ok(EVENTS[at : at + 10])


def by_url(request: HttpRequest) -> HttpResponse:
    at = int(request.query.get("from", 0))
    return ok({"results": EVENTS[at : at + 10], "next": f"/logs?from={at + 10}" if at < 20 else ""})


def by_link(request: HttpRequest) -> HttpResponse:
    at = int(request.query.get("at", 0))
    link = (
        {"Link": f'</logs?at=0>; rel="first", </logs?at={at + 10}>; title="a, b"; rel="next"'}
        if at < 20
        else {}
    )
    return ok(EVENTS[at : at + 10], **link)


def by_has_more(request: HttpRequest) -> HttpResponse:
    page = int(request.query["p"])
    if page > 3:
        return HttpResponse(404, b"{}")
    return ok({"logs": EVENTS[(page - 1) * 10 : page * 10], "has_more": page < 3})


@pytest.mark.parametrize(
    ("respond", "query", "requests"),
    [
        (by_page, "?page=1", 4),
        (by_page, "#paging=page", 4),
        (by_offset, "?limit=10&offset=0", 4),
        (by_cursor, "", 3),
        (by_cursor, "#paging=cursor&next=next_cursor&param=cursor&items=items", 3),
        (by_url, "", 3),
        (by_link, "", 3),
        (by_has_more, "?p=1#paging=page&param=p", 3),
        (lambda _: ok(EVENTS), "", 1),
    ],
)
def test_every_paging_reads_all_records(
    respond: Callable[[HttpRequest], HttpResponse], query: str, requests: int
) -> None:
    with serve(respond) as server:
        batches = read(server.url + query)
    assert users(batches) == USERS
    assert len(server.requests) == requests
    assert {batch.arrival for batch in batches} == {DAY}
    origin = batches[0].origin(0)
    assert origin.uri == server.url + query.partition("#")[0]
    assert origin.attributes["page"].startswith(server.url)


def test_records_are_the_bytes_of_the_answer() -> None:
    body = b'{"data": [ {"a":  1.10, "b":"\\u00e9"} , 7,{"c":[ ]}]}'
    with serve(lambda _: HttpResponse(200, body)) as server:
        [batch] = read(server.url)
    assert batch.records == [b'{"a":  1.10, "b":"\\u00e9"}', b"7", b'{"c":[ ]}']
    assert len(set(message_ids_of(batch))) == 3


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b"[]", []),
        (b"", []),
        (b'{"data":null}', []),
        (b'{"data":{"items":[1]}}', [b"1"]),
        (b'{"total":1,"rows":[1]}', [b"1"]),
        (b'{"user_id":"U1"}', [b'{"user_id":"U1"}']),
        (b"\xef\xbb\xbf[1]", [b"1"]),
        (b"[{'a':1}, {\"b\":2}]", [b"{'a':1}", b'{"b":2}']),
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"data":[{"a":1},', [b'{"data":[{"a":1},']),
        (b"oops", [b"oops"]),
    ],
)
def test_unusual_and_malformed_bodies_are_read(body: bytes, records: list[bytes]) -> None:
    with serve(lambda _: HttpResponse(200, body)) as server:
        batches = read(server.url)
    assert [record for batch in batches for record in batch.records] == records


def test_malformed_page_does_not_end_numbered_pages() -> None:
    def answer(request: HttpRequest) -> HttpResponse:
        return (
            HttpResponse(200, b'[{"user_id": "U10",}, oops]')
            if request.query["page"] == "2"
            else by_page(request)
        )

    with serve(answer) as server:
        batches = read(server.url + "?page=1")
    assert [len(batch.records) for batch in batches] == [10, 2, 5]


def test_repeated_pages_are_read_as_they_come() -> None:
    def answer(request: HttpRequest) -> HttpResponse:
        page = 1 if request.query["page"] == "2" else int(request.query["page"])
        return by_page(replace(request, target=f"/logs?page={page}"))

    with serve(answer) as server:
        batches = read(server.url + "?page=1")
    assert users(batches) == [*USERS[:10], *USERS[:10], *USERS[20:]]
    assert message_ids_of(batches[0]) == message_ids_of(batches[1])


def test_loop_of_pages_is_an_error() -> None:
    def circle(request: HttpRequest) -> HttpResponse:
        return ok(
            {
                "data": [request.query.get("cursor", "a")],
                "next_cursor": {"b": "c", "c": "b"}.get(request.query.get("cursor", ""), "b"),
            }
        )

    with serve(circle) as server:
        message = (
            f"{server.url}?cursor=b: expected another page, got one that was read before; check #next= and #param=;"
            " next_cursor leads to the next page (as parameter cursor)"
        )
        with pytest.raises(SourceError, match=f"(?m)^{re.escape(message)}$"):
            read(server.url)
    with serve(lambda _: ok(EVENTS)) as server:
        message = f"{server.url}?page=11: expected another page, got the same 11 times; check #paging="
        with pytest.raises(SourceError, match=f"(?m)^{re.escape(message)}$"):
            read(server.url + "?page=1")
    with (
        serve(lambda _: ok({"data": EVENTS, "next_cursor": "z"})) as server,
        pytest.raises(SourceError, match=r"\?cursor=z: expected another page, got one that was read before"),
    ):
        read(server.url)


def test_grown_last_page_is_read_again(tmp_path: Path) -> None:
    events = EVENTS[:15]

    def growing(request: HttpRequest) -> HttpResponse:
        page = int(request.query["page"])
        return ok(events[(page - 1) * 10 : page * 10])

    with serve(growing) as server:
        url = f"{server.url}?page=1#keep={tmp_path}"
        assert users(read(url)) == USERS[:15]
        events += EVENTS[15:]
        assert users(read(url)) == [*USERS[:15], *USERS[10:]]
        assert users(read(url)) == [*USERS[:15], *USERS[10:]]


def test_wrong_paths_are_errors() -> None:
    with serve(by_cursor) as server:
        with pytest.raises(
            SourceError, match="expected a list of records at 'rows', got an object without it"
        ):
            read(server.url + "#items=rows")
        with pytest.raises(
            SourceError, match="expected JSON that leads to the next page, got a malformed answer"
        ):
            server.respond = lambda _: HttpResponse(200, b"{")
            read(server.url + "#paging=cursor")
