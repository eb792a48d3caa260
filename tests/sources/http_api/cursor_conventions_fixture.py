"""APIs whose answers have a cursor for the next page."""

from __future__ import annotations

from typing import Any

from tests.sources.http_api.conventions_fixture import SIZE, Convention, View


def _shopify(view: View) -> Any:
    target = view.url(limit=SIZE, page_info=view.cursor())
    older = f'<{view.url(page_info="old")}>; rel="previous"'
    return {"logs": view.events}, {"Link": f"{older}, <{target}>; rel=next" if view.more else older}


def _facebook(view: View) -> Any:
    paging: dict[str, Any] = {"cursors": {"before": "b", "after": f"/c+{view.at + SIZE}=="}}
    if view.more:
        paging["next"] = view.url(after=view.cursor())
    return {"data": view.events, "paging": paging}


CURSOR_CONVENTIONS = [
    Convention(
        "stripe", lambda v: {"object": "list", "has_more": v.more, "data": v.events}, "starting_after", "id"
    ),
    Convention(
        "slack",
        lambda v: {
            "ok": True,
            "messages": [],
            "items": v.events,
            "response_metadata": {"next_cursor": v.cursor("")},
        },
    ),
    Convention("shopify", _shopify, "page_info"),
    Convention(
        "elasticsearch",
        lambda v: {
            "_scroll_id": v.cursor("/c+1000=="),
            "hits": {"total": {"value": v.total, "relation": "eq"}, "hits": v.events},
        },
        "scroll_id",
        query="?scroll=1m",
        path="/prefix/index/_search",
    ),
    Convention("aws", lambda v: {"Items": v.events} | v.next({"NextToken": v.cursor()}, {}), "NextToken"),
    Convention("aws in camel case", lambda v: {"items": v.events, "nextToken": v.cursor()}, "nextToken"),
    Convention(
        "s3",
        lambda v: {"IsTruncated": v.more, "Contents": v.events} | v.next({"NextMarker": v.cursor()}, {}),
        "Marker",
    ),
    Convention(
        "google",
        lambda v: {"kind": "list", "items": v.events} | v.next({"nextPageToken": v.cursor()}, {}),
        "pageToken",
    ),
    Convention(
        "google calendar",
        lambda v: {"items": v.events} | v.next({"nextPageToken": v.cursor()}, {"nextSyncToken": "s"}),
        "pageToken",
    ),
    Convention(
        "grpc in snake case", lambda v: {"logs": v.events, "next_page_token": v.cursor("")}, "page_token"
    ),
    Convention(
        "laravel cursor",
        lambda v: {
            "data": v.events,
            "next_cursor": v.cursor(),
            "next_page_url": v.next(v.url(cursor=v.cursor())),
        },
    ),
    Convention(
        "graphql",
        lambda v: {
            "data": {
                "logs": {"edges": v.events, "pageInfo": {"hasNextPage": v.more, "endCursor": v.cursor("end")}}
            }
        },
        "after",
    ),
    Convention("facebook", _facebook, "after"),
    Convention(
        "hubspot",
        lambda v: (
            {"results": v.events}
            | v.next({"paging": {"next": {"after": v.cursor(), "link": v.url(after=v.cursor())}}}, {})
        ),
        "after",
    ),
    Convention(
        "reddit", lambda v: {"kind": "Listing", "data": {"after": v.cursor(), "children": v.events}}, "after"
    ),
    Convention("airtable", lambda v: {"records": v.events} | v.next({"offset": v.cursor()}, {}), "offset"),
    Convention(
        "zendesk cursor",
        lambda v: {
            "logs": v.events,
            "meta": {"has_more": v.more, "after_cursor": "x"},
            "links": {"next": v.url(cursor=f"/c+{v.at + SIZE}==")},
        },
    ),
    Convention(
        "twitter",
        lambda v: {
            "data": v.events,
            "meta": {"result_count": len(v.events)} | v.next({"next_token": v.cursor()}, {}),
        },
        "next_token",
    ),
    Convention(
        "kubernetes",
        lambda v: {"kind": "LogList", "metadata": {"continue": v.cursor("")}, "items": v.events},
        "continue",
    ),
    Convention(
        "dropbox", lambda v: {"entries": v.events, "cursor": f"/c+{v.at + SIZE}==", "has_more": v.more}
    ),
]
