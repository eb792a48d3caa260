"""What hints at more records than were read is an error, and so is an answer that has no records any more."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sluice.errors import SourceError

from devservers.http_api import HttpRequest, HttpResponse
from tests.sources.http_api.api_fixture import EVENTS, USERS, error_of, ok, read, serve, users

WAY = "expected the end or a known way to the next page, got"
OPTIONS = "set #next=, #cursor= or #paging=, or #incomplete=warn"
READ_BEFORE = "expected another page, got one that was read before; check #next= and #param=;"


def pages(*answers: Any, param: str = "page") -> Callable[[HttpRequest], HttpResponse]:
    """Serve one answer a page, counted from 1; behind them is status 404."""

    def respond(request: HttpRequest) -> HttpResponse:
        number = int(request.query.get(param, 1))
        if number > len(answers):
            return HttpResponse(404)
        answer = answers[number - 1]
        return answer if isinstance(answer, HttpResponse) else ok(answer)

    return respond


def data(first: int, last: int, /, **members: Any) -> dict[str, Any]:
    return {"data": EVENTS[first:last], **members}


def text(path: str, length: int) -> str:
    return f"{path}: {WAY} a text of {length} characters; set #next={path}&param=NAME, or #incomplete=warn"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        *[
            ({name: value}, f"{name}: {WAY} {str(value).lower()}; {OPTIONS}")
            for name in (
                "has_more",
                "hasMore",
                "HasMore",
                "has_next",
                "hasNext",
                "has_next_page",
                "more",
                "moreItems",
            )
            for value in (True, "true")
        ],
        *[
            ({name: True}, f"{name}: {WAY} true; {OPTIONS}")
            for name in (
                "truncated",
                "isTruncated",
                "IsTruncated",
                "incomplete_results",
                "exceededTransferLimit",
            )
        ],
        *[
            ({name: False}, f"{name}: {WAY} false; {OPTIONS}")
            for name in ("isLast", "last", "is_last_page", "done", "complete", "noMoreItems")
        ],
        ({"meta": {"has_more": True}}, f"meta.has_more: {WAY} true; {OPTIONS}"),
        ({"data.info": {"hasMore": True}}, f'"data.info".hasMore: {WAY} true; {OPTIONS}'),
        ({"has_more": True, "done": True}, f"has_more: {WAY} true; {OPTIONS}"),
        *[
            ({name: 25}, f"{name}: expected 25 records in all, got 10; {OPTIONS}")
            for name in (
                "total",
                "count",
                "total_count",
                "totalCount",
                "totalElements",
                "total_records",
                "numFound",
            )
        ],
        *[
            ({name: 3}, f"{name}: expected 3 pages in all, got 1; {OPTIONS}")
            for name in ("pages", "total_pages", "totalPages", "last_page", "page_count", "numPages")
        ],
        ({"total": "25"}, f"total: expected 25 records in all, got 10; {OPTIONS}"),
        ({"total": 10**400}, f"total: expected 10^18 or more records in all, got 10; {OPTIONS}"),
        (
            {"meta": {"page": {"total": 25}}},
            f"meta.page.total: expected 25 records in all, got 10; {OPTIONS}",
        ),
        ({"@odata.count": 25}, f'"@odata.count": expected 25 records in all, got 10; {OPTIONS}'),
        *[
            ({name: "s3cret"}, text(name, 6))
            for name in ("next_key", "NextKey", "cursor", "token", "pageToken", "resumptionToken", "more")
        ],
        ({"meta": {"next.page": "abc"}}, text('meta."next.page"', 3)),
        ({"next_id": 77}, f"next_id: {WAY} 77; set #next=next_id&param=NAME, or #incomplete=warn"),
        ({"next": {"x": 1}}, f"next: {WAY} an object; set #next=next&param=NAME, or #incomplete=warn"),
        (
            {"continue": {"from": "x"}},
            f"continue: {WAY} an object; set #next=continue&param=NAME, or #incomplete=warn",
        ),
        (
            {"LastEvaluatedKey": {"id": {"S": "9"}}},
            f"LastEvaluatedKey: {WAY} an object; set #next=LastEvaluatedKey&param=NAME, or #incomplete=warn",
        ),
        (
            {"search_after": [1]},
            f"search_after: {WAY} a list; set #next=search_after&param=NAME, or #incomplete=warn",
        ),
        (
            {"links": [{"rel": "next", "to": "/x"}]},
            f"links.[rel=next]: {WAY} an object; set #next=links.[rel=next]&param=NAME, or #incomplete=warn",
        ),
        (
            {"next": "?a=1", "nextLink": "?a=2"},
            "expected one next page, got those of next, nextLink; set #next=",
        ),
        ({"next": "ftp://host/x"}, "next: expected the URL of a page, got 'ftp://host/x'"),
        ({"next": 1.5}, "next: expected a text or a number that leads to the next page, got float"),
        ({"error": "slow down"}, "expected a list of records, got an answer with error"),
        ({"errors": [{"code": 7}]}, "expected a list of records, got an answer with errors"),
        ({"success": False}, "expected a list of records, got an answer with success"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_hint_at_more_is_an_error(members: dict[str, Any], message: str) -> None:
    assert error_of(pages(data(0, 10, **members))) == f"URL: {message}"


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"X-Total-Count": "25"}, f"header:x-total-count: expected 25 records in all, got 10; {OPTIONS}"),
        ({"X-WP-TotalPages": "3"}, f"header:x-wp-totalpages: expected 3 pages in all, got 1; {OPTIONS}"),
        (
            {"Content-Range": "items 0-9/25"},
            f"header:content-range: expected 25 records in all, got 10; {OPTIONS}",
        ),
        ({"X-Pagination": '{"HasNext":true}'}, f"header:x-pagination.HasNext: {WAY} true; {OPTIONS}"),
        ({"x-ms-continuation": "abc"}, text("header:x-ms-continuation", 3)),
        (
            {"Link": "<http://x; rel=next"},
            "Link: expected one link with rel=next, as RFC 8288 says, got another header",
        ),
        (
            {"Link": "</a>; rel=next, </b>; rel=next"},
            "Link: expected one link with rel=next, as RFC 8288 says, got another header",
        ),
        ({"Link": "<http://[::1>; rel=next"}, "Link: expected the URL of a page, got 'http://[::1'"),
    ],
)
def test_hint_in_a_header_is_an_error(headers: dict[str, str], message: str) -> None:
    body = json.dumps(EVENTS[:10]).encode()
    assert error_of(lambda _: HttpResponse(200, body, headers)) == f"URL: {message}"


@pytest.mark.parametrize(
    "members",
    [
        {"has_more": False, "cursor": "abc"},
        {"isLast": True, "next_key": "abc"},
        {"total": 10, "count": 10, "total_pages": 1},
        {"total": 99.5, "total_amount": 1000},
        {"size": 500, "limit": 500, "per_page": 500},
        {"previous": "/x", "prev_cursor": "abc", "first": "/y", "start_cursor": "a"},
        {"nextSyncToken": "abc", "@odata.deltaLink": "http://x/"},
        {"access_token": "abc", "csrf_token": "abc", "request_token": "abc"},
        {"next": None, "next_cursor": "", "nextPageToken": False, "next_page": 0},
        {"links": [{"rel": "prev", "href": "/x"}, {"rel": ["next-archive"], "href": "/x"}]},
        {"errors": [], "error": None, "success": True, "warnings": [{"code": 1}]},
        {"user": {"total": 900, "next_of_kin": "x", "token": "x"}},
    ],
)
def test_complete_answer_is_one_page(members: dict[str, Any]) -> None:
    with serve(pages(data(0, 10, **members))) as server:
        assert users(read(server.url)) == USERS[:10]


@pytest.mark.parametrize("members", [{"has_more": True}, {"total": 25}, {"next_key": "x"}, {"error": "x"}])
def test_hints_can_be_warnings_or_be_left_to_the_user(
    members: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with serve(pages(data(0, 10, **members))) as server:
        assert users(read(server.url + "#incomplete=warn")) == USERS[:10]
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == ["WARNING"]
    if "error" not in members:
        with serve(pages(data(0, 10, **members))) as server:
            assert users(read(server.url + "#paging=none")) == USERS[:10]


MISSING = "expected a list of records, got an answer without the list of records at data"


@pytest.mark.parametrize("is_link", [False, True])
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"error": {"code": 429}}, "expected a list of records, got an answer with error"),
        ({"data": [], "errors": ["x"]}, "expected a list of records, got an answer with errors"),
        ({"status": "error"}, "expected a list of records, got an answer with status"),
        ({"ok": False}, "expected a list of records, got an answer with ok"),
        ({"message": "slow down"}, MISSING),
        ({"items": EVENTS[10:20]}, MISSING),
        ({}, MISSING),
        (EVENTS[10:20], "expected a list of records at 'data', got a list"),
        ("text", "expected a list of records at 'data', got another value"),
        (HttpResponse(200, b"null"), "expected a list of records at 'data', got another value"),
        (HttpResponse(200, b"<html>Log in</html>"), "expected a list of records, got HTML"),
        (HttpResponse(200), "expected a list of records, got an empty answer"),
        (HttpResponse(501), "expected status 200, got 501 Not Implemented"),
    ],
)
def test_answer_without_records_in_mid_history_is_an_error(answer: Any, message: str, is_link: bool) -> None:
    first = data(0, 10, next="?page=2") if is_link else data(0, 10)
    query = "" if is_link else "?page=1"
    assert error_of(pages(first, answer, data(20, 25)), query) == f"URL?page=2: {message}"


@pytest.mark.parametrize("answer", [HttpResponse(204), HttpResponse(404), data(0, 0), {"data": None}])
def test_numbered_pages_end_behind_the_last(answer: Any) -> None:
    with serve(pages(data(0, 10), data(10, 20), answer)) as server:
        assert users(read(server.url + "?page=1")) == USERS[:20]
    assert len(server.requests) == 3


@pytest.mark.parametrize(("status", "reason"), [(204, "No Content"), (404, "Not Found")])
def test_missing_page_is_no_end_of_others(status: int, reason: str) -> None:
    message = f"expected status 200, got {status} {reason}"
    assert error_of(pages(HttpResponse(status)), "?page=1") == f"URL?page=1: {message}"
    assert error_of(pages(data(0, 10, next="?page=2"), HttpResponse(status))) == f"URL?page=2: {message}"


@pytest.mark.parametrize(
    ("answers", "query", "message"),
    [
        (
            [data(0, 10, total=25), data(10, 20, total=25)],
            "?page=1",
            f"URL?page=2: total: expected 25 records in all, got 20; {OPTIONS}",
        ),
        (
            [data(0, 10, next="?page=2", count=21), data(10, 20, next=None, count=21)],
            "",
            f"URL?page=2: count: expected 21 records in all, got 20; {OPTIONS}",
        ),
        (
            [data(0, 10, next="?page=2"), data(10, 20, has_more=True)],
            "",
            f"URL?page=2: has_more: {WAY} true; {OPTIONS}",
        ),
        (
            [data(0, 10, next="?page=2"), data(10, 20, meta={"next_cursor": "abc"})],
            "",
            f"URL?page=2: {text('meta.next_cursor', 3)}",
        ),
        ([data(0, 10, next_cursor="abc")], "#next=meta.nxt", f"URL: {text('next_cursor', 3)}"),
        ([data(0, 10, next_cursor="abc")], "#paging=link", f"URL: {text('next_cursor', 3)}"),
        (
            [data(0, 10, page=1, total_pages=2), data(10, 20, page=1, total_pages=2)],
            "",
            "URL?page=2: page: expected 2, got 1; set #paging=, #param= and #first_page=",
        ),
        ([data(0, 10, next="?page=1"), []], "", f"URL?page=1: {READ_BEFORE} next leads to the next page"),
    ],
)
def test_history_that_ends_too_early_is_an_error(answers: Sequence[Any], query: str, message: str) -> None:
    assert error_of(pages(*answers), query) == message


@pytest.mark.parametrize(("query", "read_from"), [("?page=2", 10), ("?page=3", 20), ("?page=1", 0)])
def test_total_is_compared_from_the_first_page_only(query: str, read_from: int) -> None:
    answers = [data(at, at + 10, total=25 if query != "?page=2" else 15) for at in (0, 10, 20)]
    with serve(pages(*answers)) as server:
        assert users(read(server.url + query)) == USERS[read_from:]


@pytest.mark.parametrize("query", ["", "#next=next_cursor&param=cursor", "#paging=cursor"])
@pytest.mark.parametrize("name", ["next_cursor", "scroll_id"])
def test_constant_cursor_whose_server_moves_on_is_followed(name: str, query: str) -> None:
    def respond(request: HttpRequest) -> HttpResponse:
        at = request.number * 10
        return ok({"items": EVENTS[at : at + 10], name: "same"})

    with serve(respond) as server:
        assert users(read(server.url + query.replace("next_cursor", name))) == USERS
    assert len(server.requests) == 4


def test_empty_pages_do_not_end_a_history_with_cursors(monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(request: HttpRequest) -> HttpResponse:
        at = int(request.query.get("cursor", 0))
        records = EVENTS[at // 3 : at // 3 + 1] if at % 3 == 0 else []
        return ok({"items": records, "next_cursor": str(at + 1)} if at < 72 else {"items": records})

    with serve(respond) as server:
        assert users(read(server.url)) == USERS
    monkeypatch.setattr("sluice.sources.http_api.history.EMPTY_PAGES", 5)
    message = "expected records, got 5 pages without any; check #next= and #param="
    endless = lambda request: ok({"items": [], "next_cursor": str(request.number + 1)})  # noqa: E731  one expression
    assert error_of(endless) == f"URL?cursor=4: {message}"


def test_way_of_paging_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sluice")
    with serve(pages(data(0, 10, next="?page=2"), data(10, 20))) as server:
        read(server.url + "?key=s3cret")
    assert caplog.messages == [f"{server.url}: records are in the list at data; next leads to the next page"]


@pytest.mark.parametrize(
    ("members", "hint"),
    [
        ({"page": 1}, "page: 1"),
        ({"currentPage": 1}, "currentPage: 1"),
        ({"page_number": 0}, "page_number: 0"),
        ({"meta": {"page": "1"}}, "meta.page: 1"),
        ({"offset": 0}, "offset: 0"),
        ({"offset": 0, "limit": 25}, "offset: 0"),
        ({"page": 1, "per_page": 25}, "page: 1"),
        ({"page": 1, "per_page": 26}, ""),
        ({"offset": 0, "limit": 100}, ""),
        ({"page": 1, "total": 25}, ""),
        ({"page": 1, "total_pages": 1}, ""),
        ({"page": 1, "next": None}, ""),
        ({"page": 1, "has_more": False}, ""),
        ({"page": "home"}, ""),
        ({"number": 25}, ""),
        ({"start": 1736503200}, ""),
    ],
)
@pytest.mark.parametrize("options", ["", "#paging=none", "#incomplete=warn"])
def test_number_of_a_page_that_nothing_follows_is_a_hint(
    members: dict[str, object], hint: str, options: str
) -> None:
    with serve(lambda _: ok({**members, "data": EVENTS})) as server:
        if not hint or options:
            assert users(read(server.url + options)) == USERS
            return
        with pytest.raises(SourceError) as caught:
            read(server.url)
    key, _, number = hint.partition(": ")
    assert str(caught.value) == (
        f"{server.url}: {key}: expected the end or a known way to the next page, got {number}; set #paging=page, "
        "#paging=offset or, if there is one page, #paging=none"
    )
