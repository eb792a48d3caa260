"""APIs with numbered pages, and those that need an option."""

from __future__ import annotations

from typing import Any

from tests.sources.http_api.conventions_fixture import SIZE, Convention, View


def _spring(view: View) -> Any:
    return {
        "content": view.events,
        "pageable": {"pageNumber": view.page - 1, "pageSize": SIZE, "offset": view.at, "paged": True},
        "last": not view.more,
        "totalPages": view.pages,
        "totalElements": view.total,
        "size": SIZE,
        "number": view.page - 1,
        "first": view.page == 1,
        "numberOfElements": len(view.events),
        "empty": not view.events,
    }


def _mongo_style(view: View) -> Any:
    return {
        "docs": view.events,
        "totalDocs": view.total,
        "hasNextPage": view.more,
        "page": view.page,
        "totalPages": view.pages,
    }


NUMBER_CONVENTIONS = [
    Convention("spring", _spring, "page", "page0"),
    Convention("spring from page 0", _spring, "page", "page0", "?page=0"),
    Convention(
        "page_info",
        lambda v: {"nodes": v.events, "page_info": {"has_next_page": v.more, "end_cursor": v.cursor("end")}},
        "after",
    ),
    Convention(
        "gitlab headers",
        lambda v: (
            v.events,
            {
                "X-Next-Page": str(v.next(v.page + 1, "")),
                "X-Total": str(v.total),
                "X-Total-Pages": str(v.pages),
            },
        ),
        "page",
        "page",
    ),
    Convention(
        "next_page number", lambda v: {"logs": v.events, "next_page": v.next(v.page + 1)}, "page", "page"
    ),
    Convention(
        "next_offset", lambda v: {"logs": v.events, "next_offset": v.next(v.at + SIZE)}, "offset", "offset"
    ),
    Convention(
        "page and total_pages",
        lambda v: {"page": v.page, "total_pages": v.pages, "data": v.events},
        "page",
        "page",
        past=404,
    ),
    Convention(
        "cloudflare",
        lambda v: {
            "success": True,
            "errors": [],
            "result": v.events,
            "result_info": {
                "page": v.page,
                "per_page": SIZE,
                "count": len(v.events),
                "total_count": v.total,
                "total_pages": v.pages,
            },
        },
        "page",
        "page",
    ),
    Convention("mongoose", _mongo_style, "page", "page", past=404),
    Convention(
        "jira",
        lambda v: {
            "startAt": v.at,
            "maxResults": SIZE,
            "total": v.total,
            "isLast": not v.more,
            "values": v.events,
        },
        "startAt",
        "offset",
    ),
    Convention(
        "scim",
        lambda v: {
            "totalResults": v.total,
            "startIndex": v.at + 1,
            "itemsPerPage": SIZE,
            "Resources": v.events,
        },
        "startIndex",
        "offset1",
    ),
    Convention(
        "offset and total",
        lambda v: {"offset": v.at, "limit": SIZE, "total": v.total, "items": v.events},
        "offset",
        "offset",
    ),
    Convention("page in the query, 204", lambda v: v.events, "page", "page", "?page=1", past=204),
    Convention("page in the query, 404", lambda v: v.events, "page", "page", "?page=1", past=404),
    Convention(
        "page 0 in the query, 404", lambda v: {"data": v.events}, "page", "page0", "?page=0", past=404
    ),
    Convention(
        "offset in the query",
        lambda v: {"total": str(v.total), "rows": v.events},
        "offset",
        "offset",
        "?offset=0",
    ),
    Convention("paging=page from 0", lambda v: {"data": v.events}, "page", "page0", "#paging=page"),
    Convention("paging=page from 1", lambda v: {"data": v.events}, "page", "page", "#paging=page", past=404),
    Convention("paging=page of spring", _spring, "page", "page0", "#paging=page"),
    Convention("first_page=0", lambda v: v.events, "p", "page0", "#first_page=0&param=p"),
    Convention("first_page=1", lambda v: v.events, "page", "page", "#first_page=1"),
    Convention(
        "next= of a dotted key",
        lambda v: {"logs": v.events, "meta": {"next.page": v.cursor()}},
        "after",
        query='#next=meta."next.page"&param=after',
    ),
    Convention(
        "next= as a pointer",
        lambda v: {"logs": v.events, "a/b": {"~": ["", v.cursor()]}},
        "after",
        query="#next=/a~1b/~0/1&param=after",
    ),
    Convention(
        "next= in a header",
        lambda v: (v.events, {"X-Resume": v.cursor("")}),
        "after",
        query="#next=header:X-Resume&param=after",
    ),
    Convention(
        "next= of a URL",
        lambda v: {"logs": v.events, "more_at": v.next(f"{v.path}?page={v.page + 1}")},
        "page",
        "page",
        "#next=more_at",
    ),
    Convention("cursor= of the last record", lambda v: v.events, "since", "id", "#cursor=id&param=since"),
    Convention(
        "items= of a dotted key",
        lambda v: {"a.b": {"c": v.events}, "data": [{"x": 1}], "next_cursor": v.cursor()},
        query='#items="a.b".c',
    ),
]
