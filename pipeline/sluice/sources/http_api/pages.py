"""Pages of a JSON API: the records of a page, and the URL of the next. Pure functions, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import msgspec

from sluice.config.urls import mask
from sluice.errors import SourceError
from sluice.formats import FORMATS, HEAD_BYTES, detect_format

PAGINGS = ("auto", "link", "cursor", "page", "offset", "none")
"""How pages follow each other: a Link header, a cursor or URL in the body, a page number, an offset, not at all."""

_LISTS = (
    "data",
    "items",
    "results",
    "records",
    "logs",
    "events",
    "entries",
    "products",
    "documents",
    "content",
)
_NEXTS = {
    "next_cursor": "cursor",
    "nextCursor": "cursor",
    "next_page_token": "page_token",
    "nextPageToken": "pageToken",
    "cursor.next": "cursor",
    "paging.next": "cursor",
    "pagination.next_cursor": "cursor",
    "pagination.next": "cursor",
    "meta.next_cursor": "cursor",
    "meta.next": "cursor",
    "links.next": "cursor",
    "_links.next.href": "cursor",
    "next": "cursor",
}
"""Where APIs put the cursor or URL of the next page -> the query parameter that takes a cursor."""

PLACES_IN_PAGES = ("page", "offset", "limit", *sorted(set(_NEXTS.values())))
"""Query parameters that select a page: messages may show them."""

_MORE = ("has_more", "hasMore", "meta.has_more", "pagination.has_more")
_BOM = b"\xef\xbb\xbf"
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Rules:
    """How to read the pages of an API; an empty text means that the value is detected."""

    paging: str = "auto"
    items: str = ""
    """Dotted path of the list of records."""
    next: str = ""
    """Dotted path of the cursor or URL of the next page."""
    param: str = ""
    """Parameter of the query for the cursor, the page's number or the offset."""
    harmless: tuple[str, ...] = PLACES_IN_PAGES
    """Parameters of the query that messages may show."""

    def shown(self, url: str) -> str:
        """Return the URL of a page as messages and dead letters may show it."""
        return mask(url, self.harmless, passwords=False)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: the requested URL, the body, and the URL of the next page in its Link header."""

    url: str
    body: bytes
    link: str = ""
    lines: bool = False
    """The Content-Type is JSON lines."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The records of a page, byte for byte; `document` is its JSON, None if it is malformed or JSON lines."""

    records: Sequence[bytes]
    document: Any


def parse_page(page: Page, rules: Rules) -> Parsed:
    """Return the records of a page. A malformed page is divided into the records that can be separated.

    Raises:
        SourceError: there is no list at the path of `rules`.

    """
    body = page.body.removeprefix(_BOM)
    try:
        if page.lines:
            return Parsed(_pieces(body), None)
        document: Any = msgspec.json.decode(body) if body.strip() else []
    except _NOT_JSON:
        return Parsed(_pieces(body), None)
    if not body.strip():
        return Parsed([], document)
    raw = _list(msgspec.Raw(body), rules.items, rules.shown(page.url))
    if raw is None:
        return Parsed([body.strip()] if document else [], document)
    return Parsed([bytes(record) for record in msgspec.json.decode(raw, type=list[msgspec.Raw])], document)


def next_url(page: Page, parsed: Parsed, rules: Rules) -> str | None:
    """Return the URL of the page that follows; None if there is none.

    Raises:
        SourceError: it cannot be found out, or is on another server.

    """
    paging = rules.paging if rules.paging != "auto" else detect_paging(page, parsed)
    if any(_at(parsed.document, path) is False for path in _MORE):
        return None
    if paging == "link":
        return _followed(page, page.link, rules) if page.link else None
    if paging == "cursor":
        return _by_cursor(page, parsed, rules)
    if paging in ("page", "offset") and parsed.records:
        param = rules.param or paging
        first = 1 if paging == "page" else 0
        at = dict(parse_qsl(urlsplit(page.url).query, True)).get(param, str(first))
        if not at.isdigit():
            message = f"{rules.shown(page.url)}: {param}: expected a number, got {at!r}"
            raise SourceError(message)
        return _with_param(page.url, param, str(int(at) + (1 if paging == "page" else len(parsed.records))))
    return None


def detect_paging(page: Page, parsed: Parsed) -> str:
    """Return the paging of an API, detected from one of its pages."""
    if page.link:
        return "link"
    if any(_at(parsed.document, path) not in (None, _NOTHING) for path in _NEXTS):
        return "cursor"
    names = dict(parse_qsl(urlsplit(page.url).query, True))
    return next((name for name in ("page", "offset") if name in names), "none")


class _Nothing:
    pass


_NOTHING = _Nothing()


def _at(document: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(document, dict) or key not in document:
            return _NOTHING
        document = document[key]
    return document


def _by_cursor(page: Page, parsed: Parsed, rules: Rules) -> str | None:
    if parsed.document is None:
        message = (
            f"{rules.shown(page.url)}: expected JSON that leads to the next page, got a malformed answer"
        )
        raise SourceError(message)
    paths = (
        [rules.next]
        if rules.next
        else [path for path in _NEXTS if _at(parsed.document, path) is not _NOTHING]
    )
    value = _at(parsed.document, paths[0]) if paths else None
    if value in (None, "", False) or value is _NOTHING:
        return None
    if not isinstance(value, str | int):
        message = (
            f"{rules.shown(page.url)}: {paths[0]}: expected a text or a number, got {type(value).__name__}"
        )
        raise SourceError(message)
    text = str(value)
    if text.startswith(("http://", "https://", "/", "?")):
        return _followed(page, text, rules)
    return _with_param(page.url, rules.param or _NEXTS.get(paths[0], "cursor"), text)


def _followed(page: Page, link: str, rules: Rules) -> str:
    """Return the URL behind a link, on the same server only: a token must not be sent to another one."""
    url = urljoin(page.url, link)
    here, there = urlsplit(page.url), urlsplit(url)
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        message = (
            f"{rules.shown(page.url)}: expected the next page on the same server, got {rules.shown(url)}"
        )
        raise SourceError(message)
    return there._replace(fragment="").geturl()


def _with_param(url: str, name: str, value: str) -> str:
    parts = urlsplit(url)
    query = [pair for pair in parse_qsl(parts.query, True) if pair[0] != name]
    return parts._replace(query=urlencode([*query, (name, value)])).geturl()


def _list(raw: msgspec.Raw, path: str, where: str) -> msgspec.Raw | None:
    """Return the list of records in a document: at `path`, or where APIs put it; None: it is one record itself."""
    if bytes(raw).lstrip()[:1] != b"{":
        return raw if bytes(raw).lstrip()[:1] == b"[" else None
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    kinds = {name: bytes(value)[:1] for name, value in members.items()}
    name, _, rest = path.partition(".")
    if path:
        if name not in members or (not rest and kinds[name] != b"["):
            message = f"{where}: expected a list of records at {path!r}, got an object without it"
            raise SourceError(message)
        return _list(members[name], rest, where)
    for name in _LISTS:
        if kinds.get(name) in (b"[", b"{"):
            return _list(members[name], "", where)
        if name in members and bytes(members[name]) == b"null":
            return msgspec.Raw(b"[]")
    lists = [members[name] for name, kind in kinds.items() if kind == b"["]
    return lists[0] if len(lists) == 1 else None


def _pieces(body: bytes) -> list[bytes]:
    """Return the records that can be separated in a malformed document, or in JSON lines."""
    array = body.lstrip().startswith(b"[")
    read = (
        FORMATS["json_array"] if array else detect_format(body[:HEAD_BYTES], len(body) <= HEAD_BYTES)
    ).read
    return [record for records in read([body], 0, None) for record in records.records]
