"""Ways in which the pages of an API follow each other: a class each, which knows the URL of the page that follows.

A way is chosen once for all pages of an API, see `conventions.decide`. `next_url` returns None behind the last page,
and raises SourceError if the page does not lead on as it should; its text begins with no URL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol
from urllib.parse import urlsplit

from sluice.errors import SourceError
from sluice.formats.json_syntax import NOT_JSON
from sluice.sources.http_api.documents import MISSING, KeyPath, look_up, open_document
from sluice.sources.http_api.hints import find_more, find_page_total, is_link
from sluice.sources.http_api.links import query_of, resolve, with_param
from sluice.sources.http_api.names import count_of, is_nothing
from sluice.sources.http_api.pages import Page, Rules
from sluice.sources.http_api.records import Parsed

NUMBERED_PARAMS = frozenset({"page", "p", "offset", "skip", "start"})
SCROLL_ID = "_scroll_id"
_LONGEST_NUMBER = 18


class Paging(Protocol):
    """How the pages of an API follow each other."""

    numbered: ClassVar[bool]
    """Pages are numbered by this program, so that the API says where they end by an empty page, 204 or 404."""

    @property
    def path(self) -> KeyPath | None:
        """The member of the answer that leads to the next page; None if none does."""

    @property
    def param(self) -> str:
        """The parameter of the query that chooses the page; '' if none does."""

    def next_url(self, page: Page, parsed: Parsed) -> str | None:
        """Return the URL of the page that follows; None behind the last page."""


@dataclass(frozen=True, slots=True)
class SinglePage:
    """There is one page, since the user or the API says so."""

    reason: str
    numbered: ClassVar[bool] = False
    path: None = None
    param: str = ""

    def __str__(self) -> str:
        """Return the way as the log says it."""
        return f"one page ({self.reason})"

    def next_url(self, page: Page, parsed: Parsed) -> None:
        """Return None."""


@dataclass(frozen=True, slots=True)
class LinkPaging:
    """A Link header with `rel="next"`, as RFC 8288 says."""

    rules: Rules
    api: str
    numbered: ClassVar[bool] = False
    path: None = None
    param: str = ""

    def __str__(self) -> str:
        """Return the way as the log says it."""
        return "the Link header leads to the next page"

    def next_url(self, page: Page, parsed: Parsed) -> str | None:
        """Return the target of the link."""
        if not page.link or find_more(parsed)[0] is False:
            return None
        return _resolved("Link", page.link, page, self)


@dataclass(frozen=True, slots=True)
class BodyPaging:
    """A member of the answer is the URL of the next page, or a cursor that a parameter of the query takes."""

    path: KeyPath | None
    param: str
    """'' if the member can only be a link."""
    rules: Rules
    api: str
    numbered: ClassVar[bool] = False

    def __str__(self) -> str:
        """Return the way as the log says it."""
        if self.path is None:
            return "a cursor or URL in the answer, of which the first page has none"
        return f"{self.path} leads to the next page" + (f" (as parameter {self.param})" if self.param else "")

    def next_url(self, page: Page, parsed: Parsed) -> str | None:
        """Return the URL of the link or with the cursor."""
        if parsed.document is None:
            message = "expected JSON that leads to the next page, got a malformed answer"
            raise SourceError(message)
        if self.path is None or find_more(parsed)[0] is False:
            return None
        value = look_up(parsed.document, self.path)
        if value is MISSING or is_nothing(value):
            return None
        if not isinstance(value, str | int) or isinstance(value, bool):
            kind = "list" if not isinstance(value, float | bool | dict) else type(value).__name__
            message = f"{self.path}: expected a text or a number that leads to the next page, got {kind}"
            raise SourceError(message)
        text = str(value)
        if text.startswith(("http://", "https://")) or (not self.rules.param and is_link(self.path, text)):
            return _resolved(str(self.path), text, page, self)
        if not self.param:
            message = f"{self.path}: expected a URL, got a cursor; set #param= to the parameter that takes it"
            raise SourceError(message)
        is_scroll = self.path.keys[-1] == SCROLL_ID
        url = with_param(_scroll_url(page.url) if is_scroll else page.url, self.param, text)
        is_facebook = len(self.path.keys) > 1 and self.path.keys[-2] == "cursors"
        ends_empty = is_scroll or is_facebook or self.param in NUMBERED_PARAMS or url == page.url
        return None if ends_empty and not parsed.records else url


def _resolved(name: str, link: str, page: Page, paging: LinkPaging | BodyPaging) -> str:
    """Return the URL behind a link; an error begins with the name of where the link is."""
    try:
        return resolve(link, page.base, paging.api, paging.rules.servers)
    except SourceError as error:
        message = f"{name}: {error}"
        raise SourceError(message) from error


def _scroll_url(url: str) -> str:
    """Return where Elasticsearch continues a search: /index/_search -> /_search/scroll, with `scroll` alone."""
    parts = urlsplit(url)
    if not parts.path.endswith("/_search"):
        return url
    prefix = parts.path.removesuffix("/_search").rpartition("/")[0]
    query = "&".join(pair for pair in parts.query.split("&") if pair.startswith("scroll="))
    return parts._replace(path=f"{prefix}/_search/scroll", query=query).geturl()


@dataclass(frozen=True, slots=True)
class LastRecordPaging:
    """A value of the last record of a page asks for the page that follows, as `starting_after` of Stripe."""

    field: KeyPath
    param: str
    numbered: ClassVar[bool] = False
    path: None = None

    def __str__(self) -> str:
        """Return the way as the log says it."""
        return f"{self.field} of the last record leads to the next page (as parameter {self.param})"

    def next_url(self, page: Page, parsed: Parsed) -> str | None:
        """Return the URL with the value of the last record."""
        if not parsed.records or find_more(parsed)[0] is False:
            return None
        try:
            value = look_up(open_document(parsed.records[-1]), self.field)
        except NOT_JSON:
            value = MISSING
        if is_nothing(value) or isinstance(value, bool) or not isinstance(value, str | int):
            message = (
                f"expected a text or a number at {self.field} of the last record, got another value or none"
            )
            raise SourceError(message)
        return with_param(page.url, self.param, str(value))


@dataclass(frozen=True, slots=True)
class NumberedPaging:
    """Page numbers, or offsets, which grow by the number of records."""

    param: str
    counts_records: bool
    """It is an offset."""
    first: int | None
    """Number of a page without the parameter; None: 0 or 1, which the next page shows."""
    echo: KeyPath | None = None
    """Member of the answer with the number of the page."""
    shift: int = 0
    """What the API adds to the number."""
    verified: bool = False
    """Numbers were found out from the answer, so they must agree with it on each page."""
    numbered: ClassVar[bool] = True
    path: None = None

    def __str__(self) -> str:
        """Return the way as the log says it."""
        kind = "offset" if self.counts_records else "page number"
        return f"the parameter {self.param} has the {kind}"

    @property
    def probes(self) -> bool:
        """Whether page 1 is requested to see if it is the first page again, or the second."""
        return self.first is None

    def next_url(self, page: Page, parsed: Parsed) -> str | None:
        """Return the URL with the next number."""
        if not parsed.records or find_more(parsed)[0] is False:
            return None
        at = self.number(page.url)
        if self._is_last(parsed, at):
            return None
        return with_param(page.url, self.param, str(at + (len(parsed.records) if self.counts_records else 1)))

    def _is_last(self, parsed: Parsed, at: int) -> bool:
        """Return whether page `at` is the last by the number of pages in its answer."""
        echo = count_of(look_up(parsed.document, self.echo)) if self.echo is not None else None
        agrees = echo == at + self.shift
        if echo is not None and self.verified and not agrees:
            message = (
                f"{self.echo}: expected {at + self.shift}, got {echo}; set #paging=, #param= and #first_page="
            )
            raise SourceError(message)
        pages = find_page_total(parsed)
        if pages is None or echo is None or not agrees or self.counts_records:
            return False
        return at >= pages[0] - (1 if self.first == 0 else 0)

    def number(self, url: str) -> int:
        """Return the number of the page at a URL."""
        text = query_of(url).get(self.param)
        if text is None:
            return self.first or 0
        if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
            got = repr(text) if len(text) <= _LONGEST_NUMBER else f"{len(text)} characters"
            message = f"{self.param}: expected a number, got {got}"
            raise SourceError(message)
        return int(text)
