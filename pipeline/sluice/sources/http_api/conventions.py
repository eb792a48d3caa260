"""Which way the pages of an API follow each other, decided from what the user set and from the first page."""

from __future__ import annotations

import re
from typing import Any

from sluice.errors import SourceError
from sluice.sources.http_api.documents import KeyPath, open_document
from sluice.sources.http_api.hints import (
    Lead,
    find_leads,
    find_more,
    find_page_total,
    find_total,
    members,
)
from sluice.sources.http_api.links import join, query_of
from sluice.sources.http_api.names import count_of, is_nothing, normalize
from sluice.sources.http_api.pages import Page, Rules
from sluice.sources.http_api.paging import (
    SCROLL_ID,
    BodyPaging,
    LastRecordPaging,
    LinkPaging,
    NumberedPaging,
    Paging,
    SinglePage,
)
from sluice.sources.http_api.records import OBJECT, Parsed

_CURSOR_PARAMS = ("cursor", "after", "page_token", "pageToken", "page_cursor", "marker", "continuation_token")
_PAGE_PARAMS = ("page", "pageNumber", "page_number", "pageNo", "pageIndex", "page_index", "page[number]")
_OFFSET_PARAMS = ("offset", "skip", "$skip", "startAt", "startIndex", "start", "page[offset]")
_OFFSET_NAMES = ("off", "skip", "start")
_PAGE_ECHOES = {
    "page": "page",
    "currentpage": "page",
    "number": "page",
    "pagenumber": "",
    "pageno": "",
    "pagenum": "",
    "curpage": "",
    "currentpagenumber": "",
    "pageindex": "",
}
"""Names of the page's number in an answer -> the parameter; '' if it has the same name."""

_SIZES = frozenset({"limit", "perpage", "pagesize", "size", "itemsperpage"})
"""Names of the most records of a page in an answer."""

_AMBIGUOUS = frozenset({"number", "start"})
"""Names that may mean something else than a page, where nothing else in the answer speaks of pages."""

NOTHING_LEADS = "nothing leads to another"
"""Why there is a single page, although the API does not say so."""

_OFFSET_ECHOES = frozenset({"offset", "skip", "startat", "startindex", "start"})
_NEXT_CURSOR = re.compile(
    "next[_-]?(cursor|page|page[_-]?(?:token|cursor)|offset|marker|continuation[_-]?token|cursor[_-]?mark|max[_-]?id|skip)",
    re.IGNORECASE,
)
_SAME_PARAM = frozenset(
    {"nexttoken", "continuationtoken", "continuation", "continue", "scrollid", "bookmark"}
)


def decide(page: Page, parsed: Parsed, rules: Rules, api: str) -> Paging:
    """Return how the pages of an API follow each other.

    Args:
        page: the first page.
        parsed: its records.
        rules: what the user set, which is obeyed.
        api: the URL of the API.

    Raises:
        SourceError: several links lead to different pages, or the user's parameter cannot be used.

    """
    return _from_options(page, parsed, rules, api) or _detect(page, parsed, rules, api)


def _from_options(page: Page, parsed: Parsed, rules: Rules, api: str) -> Paging | None:
    if rules.paging == "none":
        return SinglePage("#paging=none")
    if rules.cursor is not None:
        return LastRecordPaging(rules.cursor, rules.param)
    if rules.next is not None:
        lead = Lead(rules.next, "", is_link=False)
        return BodyPaging(rules.next, rules.param or _cursor_param(lead, page, None) or "cursor", rules, api)
    if rules.paging == "cursor":
        return _in_body(page, parsed, rules, api) or BodyPaging(None, rules.param, rules, api)
    if rules.paging in ("page", "offset") or rules.first_page is not None:
        return _numbered(page, parsed, rules, counts_records=rules.paging == "offset")
    return LinkPaging(rules, api) if rules.paging == "link" else None


def _detect(page: Page, parsed: Parsed, rules: Rules, api: str) -> Paging:
    if page.link:
        return LinkPaging(rules, api)
    more, flag = find_more(parsed)
    if more is False:
        return SinglePage(f"{flag} says that there are no more")
    paging = (
        _in_body(page, parsed, rules, api)
        or (_by_last_record(parsed, rules) if more else None)
        or _numbered_by_answer(page, parsed, rules)
    )
    if paging is not None:
        return paging
    ended = next((m.path for m in members(parsed) if m.near and _is_null_next(m.name, m.value)), None)
    if ended is not None:
        return SinglePage(f"{ended} says that none follows")
    return _numbered_by_query(page, parsed, rules) or SinglePage(NOTHING_LEADS)


def _in_body(page: Page, parsed: Parsed, rules: Rules, api: str) -> BodyPaging | None:
    leads = find_leads(parsed)
    links = [lead for lead in leads if lead.is_link and not (rules.param and str(lead.value)[:1] in "/?")]
    if links:
        if len({_target(lead, page) for lead in links}) > 1:
            message = f"expected one next page, got those of {', '.join(str(lead.path) for lead in links)}; set #next="
            raise SourceError(message)
        return BodyPaging(links[0].path, rules.param, rules, api)
    more = find_more(parsed)[0]
    scalars = [lead for lead in leads if isinstance(lead.value, str | int | float)]
    cursors = [(lead.path, rules.param or _cursor_param(lead, page, more)) for lead in scalars]
    known = [(path, param) for path, param in cursors if param]
    texts = [(path, param) for path, param in known if param not in (*_PAGE_PARAMS, *_OFFSET_PARAMS)]
    path, param = next(iter(texts or known), (None, ""))
    return BodyPaging(path, param, rules, api) if path is not None else None


def _target(lead: Lead, page: Page) -> str:
    """Return where a link leads, to compare it; a link that is no URL is an error once it is followed."""
    try:
        return str(join(page.base, str(lead.value)))
    except ValueError:
        return str(lead.value)


def _cursor_param(lead: Lead, page: Page, more: bool | None) -> str:
    """Return the parameter of the query that takes a cursor, by convention; '' if none is known."""
    keys = lead.path.keys
    name = keys[-1].removeprefix("header:").removeprefix("x-").removeprefix("pagination-")
    plain, parent = normalize(name), normalize(keys[-2]) if len(keys) > 1 else ""
    match = _NEXT_CURSOR.fullmatch(name)
    if match is not None:
        return match[1] if name.startswith("N") else match[1][:1].lower() + match[1][1:]
    if plain == "next":
        return _param_of_next(lead.value, query_of(page.url))
    if keys[-1] == SCROLL_ID or plain == "endcursor":
        return "scroll_id" if keys[-1] == SCROLL_ID else "after"
    has_same_name = plain in _SAME_PARAM or parent == "next" or plain in ("after", "offset")
    return name if has_same_name or (plain == "cursor" and more) else ""


def _param_of_next(value: Any, query: dict[str, str]) -> str:
    """Return the parameter for a cursor that is just called `next`."""
    names = (
        (*_CURSOR_PARAMS, *_PAGE_PARAMS, *_OFFSET_PARAMS) if count_of(value) is not None else _CURSOR_PARAMS
    )
    return next((name for name in names if name in query), "cursor")


def _by_last_record(parsed: Parsed, rules: Rules) -> LastRecordPaging | None:
    """Return the paging of Stripe, if an answer is a list as Stripe has it, whose records have an `id`."""
    if (parsed.document or {}).get("object") != "list" or not parsed.records:
        return None
    record = open_document(parsed.records[-1], 1)
    if not isinstance(record, dict) or is_nothing(record.get("id", "")):
        return None
    return LastRecordPaging(KeyPath(("id",)), rules.param or "starting_after")


def _is_null_next(name: str, value: Any) -> bool:
    return normalize(name).startswith("next") and is_nothing(value) and not isinstance(value, int)


def _numbered(page: Page, parsed: Parsed, rules: Rules, *, counts_records: bool) -> NumberedPaging:
    query = query_of(page.url)
    names = _OFFSET_PARAMS if counts_records else _PAGE_PARAMS
    param = rules.param or next((name for name in names if name in query), names[0])
    return _with_echo(page, parsed, param, counts_records=counts_records, first=rules.first_page)


def _with_echo(
    page: Page,
    parsed: Parsed,
    param: str,
    *,
    counts_records: bool,
    first: int | None = None,
    verified: bool = False,
) -> NumberedPaging:
    """Return numbered pages, with the member of the answer that repeats the number.

    Without the parameter in the URL, that member says which number the first page has, so it is verified from then on.
    """
    echo = _find_echo(parsed, counts_records=counts_records)
    if param in query_of(page.url) or first is not None:
        number = NumberedPaging(param, counts_records, first).number(page.url)
        if echo is None or (abs(echo[0] - number) > 1 and not counts_records):
            return NumberedPaging(param, counts_records, first if first is not None else 1)
        base = 0 if echo[0] == 0 else 1
        return NumberedPaging(param, counts_records, base, echo[1], echo[0] - number, verified)
    if echo is None or (echo[0] > 1 and not counts_records):
        return NumberedPaging(param, counts_records, 0 if counts_records else None)
    return NumberedPaging(param, counts_records, echo[0], echo[1], verified=True)


def _find_echo(parsed: Parsed, *, counts_records: bool) -> tuple[int, KeyPath] | None:
    names = _OFFSET_ECHOES if counts_records else _PAGE_ECHOES
    if parsed.place == OBJECT:
        return None
    numbers = [
        (number, member.path)
        for member in members(parsed)
        if member.near and normalize(member.name) in names
        if (number := count_of(member.value)) is not None
    ]
    return min(numbers, key=lambda number: len(number[1].keys), default=None)


def _numbered_by_answer(page: Page, parsed: Parsed, rules: Rules) -> NumberedPaging | None:
    """Return numbered pages if the answer has its number, and says that there is more than it holds."""
    more, pages, total = find_more(parsed)[0], find_page_total(parsed), find_total(parsed)
    query = query_of(page.url)
    for counts_records in (False, True):
        echo = _find_echo(parsed, counts_records=counts_records)
        if echo is None or not parsed.records:
            continue
        is_more = (
            more
            or (total is not None and total[0] > len(parsed.records))
            or (pages is not None and pages[0] > 1)
        )
        names = _OFFSET_PARAMS if counts_records else _PAGE_PARAMS
        name = echo[1].keys[-1]
        same = name if counts_records else _PAGE_ECHOES[normalize(name)] or name
        param = rules.param or next((name for name in names if name in query), same)
        if is_more:
            return _with_echo(page, parsed, param, counts_records=counts_records, verified=True)
    return None


def find_number(parsed: Parsed) -> tuple[int, KeyPath] | None:
    """Return the number or offset of a page in its answer, with its path, if the answer does not show that it is all.

    A total shows it, and so does a page that has room for more records.
    """
    if parsed.place == OBJECT or not parsed.records or find_total(parsed) or find_page_total(parsed):
        return None
    sizes = [count_of(m.value) for m in members(parsed) if m.near and normalize(m.name) in _SIZES]
    if any(size is not None and size > len(parsed.records) for size in sizes):
        return None
    number = _find_echo(parsed, counts_records=False) or _find_echo(parsed, counts_records=True)
    is_clear = number is not None and normalize(number[1].keys[-1]) not in _AMBIGUOUS
    return number if is_clear else None


def _numbered_by_query(page: Page, parsed: Parsed, rules: Rules) -> NumberedPaging | None:
    """Return numbered pages if the query of the first page, or the user, has a parameter for the number."""
    query = query_of(page.url)
    if rules.param:
        is_offset = rules.param in _OFFSET_PARAMS or normalize(rules.param).startswith(_OFFSET_NAMES)
        if rules.param in (*_PAGE_PARAMS, *_OFFSET_PARAMS) or count_of(query.get(rules.param)) is not None:
            return _with_echo(page, parsed, rules.param, counts_records=is_offset)
        message = (
            f"expected a page that the parameter {rules.param} belongs to, got none; set #paging= or #next="
        )
        raise SourceError(message)
    for names, counts_records in ((_PAGE_PARAMS, False), (_OFFSET_PARAMS, True)):
        for name in names:
            if name in query and (name == names[0] or query[name].isdigit()):
                return _with_echo(page, parsed, name, counts_records=counts_records)
    return None
