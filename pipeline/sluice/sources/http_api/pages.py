"""A page of a JSON API, and what the user set about its pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.addresses import mask
from sluice.sources.http_api.documents import KeyPath

PAGINGS = ("auto", "link", "cursor", "page", "offset", "none")
"""How pages follow each other: a Link header, a cursor or URL in the body, a page number, an offset, not at all."""

PLACES_IN_PAGES = ("page", "offset", "limit", "cursor", "pageToken", "page_token")
"""Query parameters that select a page: messages may show them."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How to read the pages of an API; what is empty or None is detected."""

    paging: str = "auto"
    items: KeyPath | None = None
    """Of the list of records."""
    next: KeyPath | None = None
    """Of the cursor or URL of the next page."""
    cursor: KeyPath | None = None
    """Within the last record of a page, of the value that asks for the next page."""
    param: str = ""
    """Parameter of the query for the cursor, the page's number or the offset."""
    first_page: int | None = None
    """Number of the first page."""
    servers: tuple[str, ...] = ()
    """Other servers that a link or a redirect may lead to."""
    warns: bool = False
    """What hints at records that were not read is logged, and does not end the run."""
    harmless: tuple[str, ...] = PLACES_IN_PAGES
    """Parameters of the query that messages may show."""

    def shown(self, url: str) -> str:
        """Return the URL of a page as messages and dead letters may show it."""
        return mask(url, self.harmless, passwords=False)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: the requested URL, the body, and what its headers say of the next page."""

    url: str
    body: bytes
    link: str = ""
    """The target of the link to the next page in the Link header."""
    lines: bool = False
    """The Content-Type is JSON lines."""
    redirected_to: str = ""
    """The URL that redirects ended at; '' without redirects."""
    headers: Mapping[str, Any] = field(default_factory=dict)
    """Headers that say something of other pages: `header:NAME` -> value."""

    @property
    def base(self) -> str:
        """The URL that links in the answer are relative to."""
        return self.redirected_to or self.url
