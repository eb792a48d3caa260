"""APIs whose answers have a link to the next page."""

from __future__ import annotations

import json
from typing import Any

from tests.sources.http_api.conventions_fixture import SIZE, Convention, View, link_header


def _laravel(view: View) -> Any:
    return {
        "current_page": view.page,
        "data": view.events,
        "first_page_url": view.url(page=1),
        "from": view.at + 1,
        "last_page": max(view.pages, 1),
        "last_page_url": view.url(page=view.pages),
        "links": [{"url": view.next(view.url(page=view.page + 1)), "label": "Next", "active": False}],
        "next_page_url": view.next(view.url(page=view.page + 1)),
        "path": view.url(),
        "per_page": SIZE,
        "prev_page_url": None,
        "total": view.total,
    }


def _github(view: View) -> Any:
    target = view.url(page=view.page + 1)
    last = f', <{view.url(page=view.pages)}>; rel="last"'
    link = {"Link": f'<{target}>; rel="next"{last}'} if view.more else {}
    return view.events, link


def _fhir(view: View) -> Any:
    links = [{"relation": "self", "url": view.url()}]
    links += [{"relation": "next", "url": view.url(at=view.cursor())}] if view.more else []
    return {"resourceType": "Bundle", "total": view.total, "link": links, "entry": view.events}


def _stac(view: View) -> Any:
    links = [{"rel": ["next", "more"], "href": view.url(token=view.cursor())}] if view.more else []
    return {"features": view.events, "links": links, "numberMatched": view.total}


LINK_CONVENTIONS = [
    Convention(
        "drf page",
        lambda v: {
            "count": v.total,
            "next": v.next(v.url(page=v.page + 1)),
            "previous": None,
            "results": v.events,
        },
        "page",
        "page",
        past=404,
    ),
    Convention(
        "drf page in the query",
        lambda v: {
            "count": v.total,
            "next": v.next(v.url(page=v.page + 1)),
            "previous": None,
            "results": v.events,
        },
        "page",
        "page",
        "?page=1",
        past=404,
    ),
    Convention("drf cursor", lambda v: {"next": v.next(v.url(cursor=v.cursor())), "results": v.events}),
    Convention(
        "json:api",
        lambda v: {
            "data": v.events,
            "included": [{"type": "user"}],
            "links": {"self": v.url(), "next": v.next(v.url(cursor=v.cursor()))},
            "meta": {"total": v.total},
        },
    ),
    Convention(
        "json:api with a link object",
        lambda v: {
            "data": v.events,
            "links": {"next": v.next({"href": v.url(cursor=v.cursor()), "meta": {}})},
        },
    ),
    Convention(
        "hal",
        lambda v: {
            "_embedded": {"logs": v.events},
            "_links": {"self": {"href": v.url()}} | v.next({"next": {"href": v.url(cursor=v.cursor())}}, {}),
            "page": {"size": SIZE, "totalElements": v.total, "totalPages": v.pages, "number": v.page - 1},
        },
    ),
    Convention(
        "hal with a list of links",
        lambda v: {
            "_embedded": {"orders": v.events},
            "_links": v.next({"next": [{"href": v.url(cursor=v.cursor())}]}, {}),
        },
    ),
    Convention(
        "odata 4",
        lambda v: (
            {"@odata.count": v.total, "value": v.events}
            | v.next({"@odata.nextLink": v.url(cursor=v.cursor())}, {})
        ),
    ),
    Convention(
        "odata 2", lambda v: {"d": {"results": v.events} | v.next({"__next": v.url(cursor=v.cursor())}, {})}
    ),
    Convention("azure", lambda v: {"value": v.events} | v.next({"nextLink": v.url(cursor=v.cursor())}, {})),
    Convention("github", _github, "page", "page"),
    Convention("github from page 1", _github, "page", "page", "?page=1&per_page=10", past=404),
    Convention("laravel", _laravel, "page", "page"),
    Convention(
        "laravel resource",
        lambda v: {
            "data": v.events,
            "links": {
                "first": v.url(page=1),
                "last": v.url(page=v.pages),
                "next": v.next(v.url(page=v.page + 1)),
            },
            "meta": {"current_page": v.page, "last_page": max(v.pages, 1), "total": v.total, "links": []},
        },
        "page",
        "page",
    ),
    Convention("fhir", _fhir, "at"),
    Convention("stac", _stac, "token"),
    Convention(
        "zendesk",
        lambda v: {"logs": v.events, "next_page": v.next(v.url(page=v.page + 1)), "count": v.total},
        "page",
        "page",
    ),
    Convention(
        "salesforce",
        lambda v: (
            {"totalSize": v.total, "done": not v.more, "records": v.events}
            | v.next({"nextRecordsUrl": f"{v.path}?cursor={v.cursor()}".replace("+", "%2B")}, {})
        ),
    ),
    Convention(
        "deep next",
        lambda v: {
            "response": {"items": v.events, "meta": {"paging": {"next": v.next(v.url(cursor=v.cursor()))}}}
        },
    ),
    Convention(
        "relative next", lambda v: {"logs": v.events, "next": v.next(f"?page={v.page + 1}")}, "page", "page"
    ),
    Convention(
        "lines with links",
        lambda v: (
            b"\n".join(json.dumps(e).encode() for e in v.events),
            link_header(f"?page={v.page + 1}", "next") if v.more else {},
        ),
        "page",
        "page",
    ),
]
