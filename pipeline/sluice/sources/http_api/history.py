"""What was read of an API: the way its pages follow each other, chosen once, and whether they were all there was."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import xxhash

from sluice.errors import SourceError
from sluice.sources.http_api.conventions import NOTHING_LEADS, decide, find_number
from sluice.sources.http_api.documents import KeyPath, look_up
from sluice.sources.http_api.hints import find_leads, find_more, find_page_total, find_total
from sluice.sources.http_api.links import query_of
from sluice.sources.http_api.names import normalize
from sluice.sources.http_api.pages import Page, Rules
from sluice.sources.http_api.paging import NumberedPaging, Paging, SinglePage
from sluice.sources.http_api.records import Parsed, RecordPlace, parse_body
from sluice.sources.http_api.unknown_hints import find_unknown_hint

_LOGGER = logging.getLogger("sluice")

SAME_PAGES = 10
"""An API that answers with this many equal pages in a row, none of them empty, ignores the page of the request."""

EMPTY_PAGES = 1000
"""An API may filter the records of its pages, so that some are empty; so many in a row lead nowhere."""

BROKEN_LINK = "header:link"
"""Among the headers of a page: its Link header has no single next page."""

_OPTIONS = "set #next=, #cursor= or #paging=, or #incomplete=warn"
_LARGEST_SHOWN = 10**18
_PLACES = frozenset(
    "cursor after before pagetoken startingafter endingbefore marker continuationtoken nexttoken paginationtoken"
    " pageinfo scrollid sinceid maxid bookmark continue".split()
)
"""Parameters of the query, without signs, which say that reading begins in the middle."""


class History:
    """The pages of one API, taken one after the other.

    All its errors are SourceErrors whose text begins with the URL of the page, as it may be shown.
    """

    def __init__(self, rules: Rules, api: str) -> None:
        """Begin at the first page of the API at the URL `api`."""
        self._rules = rules
        self._api = api
        self._paging: Paging | None = None
        self._place: RecordPlace | None = None
        self._page = Page(api, b"")
        self._parsed = Parsed([], {}, None)
        self._records = self._pages = self._same = self._empty = 0
        self._first: Sequence[bytes] = ()
        self._first_leads: frozenset[KeyPath] = frozenset()
        self._total: tuple[int, KeyPath] | None = None
        self._page_total: tuple[int, KeyPath] | None = None
        self._seen: set[tuple[str, str]] = set()

    @property
    def numbered(self) -> bool:
        """Whether a page was read, and this program counts pages on, so that status 204 and 404 are the end."""
        return self._paging is not None and self._paging.numbered

    def take(self, page: Page, *, is_new: bool) -> Sequence[bytes]:
        """Return the records of the next page; none if it is the first page again, of an API that counts from 1.

        Args:
            page: the page.
            is_new: it was requested now, so it must not be one that was read before.

        """
        try:
            return self._take(page, is_new=is_new)
        except SourceError as error:
            raise self._located(page, error) from error

    def _take(self, page: Page, *, is_new: bool) -> Sequence[bytes]:
        before, parsed = self._parsed.records, self.parse(page)
        if parsed.failure:
            self._report(page, f"expected a list of records, got {parsed.failure}")
        self._page, self._parsed = page, parsed
        self._place = self._place or parsed.place
        records = parsed.records
        if self._paging is None:
            self._begin(page, parsed)
        elif self._pages == 1 and isinstance(self._paging, NumberedPaging) and self._paging.probes:
            records = () if records == self._first else records
        self._records += len(records)
        self._pages += bool(records)
        if parsed.records or self._total is None:
            self._total = find_total(parsed) or self._total
            self._page_total = find_page_total(parsed) or self._page_total
        if is_new:
            self._check_progress(page, is_same=bool(parsed.records) and parsed.records == before)
        return records

    def parse(self, page: Page) -> Parsed:
        """Return the records of a page."""
        parsed = parse_body(page.body, page.lines, self._rules.items, self._place)
        if not page.headers or parsed.document is None:
            return parsed
        return Parsed(parsed.records, parsed.document | dict(page.headers), parsed.place, parsed.failure)

    def _begin(self, page: Page, parsed: Parsed) -> None:
        rules = self._rules
        self._paging = decide(page, parsed, rules, self._api)
        if BROKEN_LINK in page.headers and (
            rules.paging == "link" or (rules.paging == "auto" and rules.next is None)
        ):
            self._report(page, "Link: expected one link with rel=next, as RFC 8288 says, got another header")
        self._first = parsed.records
        self._first_leads = frozenset(lead.path for lead in find_leads(parsed))
        place = f"records are {parsed.place}" if parsed.place is not None else "no records yet"
        _LOGGER.info("%s: %s; %s", rules.shown(page.url), place, self._paging)

    def _check_progress(self, page: Page, *, is_same: bool) -> None:
        digest = xxhash.xxh3_128_hexdigest(b"\n".join(self._parsed.records))
        self._same = self._same + 1 if is_same else 0
        self._empty = 0 if self._parsed.records else self._empty + 1
        if self._same >= SAME_PAGES:
            message = f"expected another page, got the same {self._same + 1} times; check #paging="
            raise SourceError(message)
        if self._empty >= EMPTY_PAGES:
            message = f"expected records, got {self._empty} pages without any; check #next= and #param="
            raise SourceError(message)
        if (page.url, digest) in self._seen:
            message = f"expected another page, got one that was read before; check #next= and #param=; {self._paging}"
            raise SourceError(message)
        self._seen.add((page.url, digest))

    def next_url(self) -> str | None:
        """Return the URL of the page that follows; None behind the last one."""
        try:
            return self._next_url(self._page, self._parsed)
        except SourceError as error:
            raise self._located(self._page, error) from error

    def _next_url(self, page: Page, parsed: Parsed) -> str | None:
        return self._paging.next_url(page, parsed) if self._paging is not None else None

    def has_changed(self, page: Page) -> bool:
        """Return whether another answer for the page that was read last has other records, or leads elsewhere."""
        parsed = self.parse(page)
        try:
            return parsed.records != self._parsed.records or self._next_url(page, parsed) != self.next_url()
        except SourceError as error:
            raise self._located(page, error) from error

    def compare_first(self, kept: Page, now: Page, folder: str) -> None:
        """Compare the first page, which is kept in `folder`, with the answer of now; warn if that has other records.

        Raises:
            SourceError: it has none of the records that are kept.

        """
        before, after = set(self.parse(kept).records), set(self.parse(now).records)
        if not before or before <= after:
            return
        where = self._rules.shown(kept.url)
        if before.isdisjoint(after):
            message = (
                f"{where}: expected records of the page that is kept in {folder}, got {len(after)} others: the pages "
                "that are kept are no position in this API; remove the folder to read all pages again"
            )
            raise SourceError(message)
        _LOGGER.warning(
            "%s: the first page has other records than the one that is kept in %s; to read what is new there, remove "
            "the folder",
            *(where, folder),
        )

    def forget_last(self) -> None:
        """Take the page that was read last out of the account, since it is read again."""
        self._records -= len(self._parsed.records)
        self._pages -= bool(self._parsed.records)
        self._seen = {key for key in self._seen if key[0] != self._page.url}

    def finish(self, *, answered: bool = False) -> None:
        """Make sure that nothing hints at more records than were read.

        Args:
            answered: the API answered that the page that follows does not exist.

        Raises:
            SourceError: something does; or, if the user wishes so, it is a warning.

        """
        if self._rules.paging == "none":
            return
        problem = ("" if answered else self._find_hint()) or self._find_shortage() or self._find_unknown()
        try:
            if problem:
                self._report(self._page, problem)
        except SourceError as error:
            raise self._located(self._page, error) from error

    def _find_hint(self) -> str:
        """Return what the last page says of a page that follows."""
        more, flag = find_more(self._parsed)
        if more:
            value = str(look_up(self._parsed.document, flag)).lower()
            return f"{flag}: expected the end or a known way to the next page, got {value}; {_OPTIONS}"
        if more is False:
            return ""
        known = self._first_leads if self._pages > 1 else frozenset()
        used = self._paging.path if self._paging is not None else None
        for lead in find_leads(self._parsed):
            if lead.path not in known and lead.path != used:
                return (
                    f"{lead.path}: expected the end or a known way to the next page, got {self._shown(lead.value)};"
                    f" set #next={lead.path}&param=NAME, or #incomplete=warn"
                )
        return self._find_number()

    def _find_number(self) -> str:
        """Return what an answer says that has the number of its page, although nothing led to another page."""
        paging = self._paging
        number = find_number(self._parsed)
        if number is None or not isinstance(paging, SinglePage) or paging.reason != NOTHING_LEADS:
            return ""
        return (
            f"{number[1]}: expected the end or a known way to the next page, got {self._shown(number[0])}; set "
            "#paging=page, #paging=offset or, if there is one page, #paging=none"
        )

    def _find_shortage(self) -> str:
        """Return which total the records that were read do not reach, if reading began at the first of them."""
        query = query_of(self._api)
        paging = self._paging
        number = 0
        if isinstance(paging, NumberedPaging) and paging.param in query:
            number = paging.number(self._api)
        is_offset = isinstance(paging, NumberedPaging) and paging.counts_records
        if any(normalize(name) in _PLACES for name in query) or (number > 1 and not is_offset):
            return ""
        skipped = number if is_offset else 0
        if self._total is not None and self._total[0] > self._records + skipped:
            total, path = self._total
            return f"{path}: expected {self._shown(total)} records in all, got {self._records + skipped}; {_OPTIONS}"
        if self._page_total is not None and self._page_total[0] > max(self._pages, 1) and not skipped:
            pages, path = self._page_total
            return f"{path}: expected {self._shown(pages)} pages in all, got {self._pages}; {_OPTIONS}"
        return ""

    def _find_unknown(self) -> str:
        """Return what may say that there is more than one page, where no known convention led to another."""
        paging = self._paging
        is_all = (
            self._total is not None
            and "total" in normalize(str(self._total[1]))
            and self._total[0] == self._records
        )
        if not isinstance(paging, SinglePage) or paging.reason != NOTHING_LEADS or is_all:
            return ""
        hint = find_unknown_hint(self._parsed, self._page)
        if hint is None:
            return ""
        return (
            f"{hint[0]}: expected the end or a known way to the next page, got {self._shown(hint[1])}; set #next=, "
            "#cursor= or #paging=, #paging=none if this is all, or #incomplete=warn"
        )

    def _shown(self, value: object) -> str:
        """Return what messages may show of a value: numbers, and URLs without their secrets."""
        if isinstance(value, str):
            return self._rules.shown(value) if "://" in value else f"a text of {len(value)} characters"
        if isinstance(value, int):
            return str(value).lower() if abs(value) < _LARGEST_SHOWN else "10^18 or more"
        return {dict: "an object", float: "a fraction"}.get(type(value), "a list")

    def _report(self, page: Page, problem: str) -> None:
        if not self._rules.warns:
            raise SourceError(problem)
        _LOGGER.warning("%s: %s", self._rules.shown(page.url), problem)

    def _located(self, page: Page, error: SourceError) -> SourceError:
        return SourceError(f"{self._rules.shown(page.url)}: {error}")
