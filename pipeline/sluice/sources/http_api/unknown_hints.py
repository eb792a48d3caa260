"""What may say that an API has more records, where nothing in its answer leads to another page by a known convention.

Names are many, so these rules look at the words of a name. They only ever end a run with an error, which says what to
set: a known convention, see `conventions.decide`, is chosen by exact names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sluice.sources.http_api.documents import KeyPath, elements, is_list, open_document
from sluice.sources.http_api.hints import Member, members
from sluice.sources.http_api.links import join, query_of
from sluice.sources.http_api.names import is_container, leads_on, normalize
from sluice.sources.http_api.pages import Page
from sluice.sources.http_api.records import OBJECT, Parsed

_LONGEST_NAME = 60
_LONGEST_TEXT = 200
_MOST = 10**18
_FLAGS = {
    "true": True,
    "yes": True,
    "y": True,
    "1": True,
    "false": False,
    "no": False,
    "n": False,
    "0": False,
}

_PLACE = re.compile("summar|stat|count|total|nav|control|range|window|chunk|batch|progress|^more|^pos")
"""Names of objects that may describe an answer, besides those of `names.is_container`."""

_MORE = re.compile(
    "^(is|has|are)?(there)?(any)?more(?!over)|another|further|following|subsequent|older|remaining|truncat|partial|incomplete|capped|overflow"
    "|exceed|limit(ed|reached|hit)|^(has|is)?continu|cutoff|^(has)?next|(load|show|fetch|get)more|paginat(ed|e)$|^(is)?paged$"
)
"""Names of flags which are true if there is more."""

_END = re.compile(
    "^(is|at|has|reached|the)?(end|eof|ended|finished|exhausted|done|last|final)"
    "(of|reached|page|batch|chunk|list|results|records|data)*$|complete(d)?$|^all(are|is)?(loaded|read|results|records|rows|fetched|returned|data)$"
    "|^(is)?fully|^nomore"
)
"""Names of flags which are false if there is more."""

_WAY = re.compile(
    "^(start(ing)?|search|resume)?after$|^(since|max|last|min|oldest|final)(id|key|item|doc|document|record|row|seen|value|sort)$"
    "|^(exclusive)?start(ing)?(after|key|from|at)|^resume|pointer$|^(search)?position$|^checkpoint"
    "|^(pag|cursor|scroll|query|seek|offset|skip|batch|chunk|continu)[a-z]*(state|key|locator|cursor|token|to)$"
    "|locator$|iter(ator)?$|^forward|^older|^following|^subsequent|^(load|show|fetch|get)?more|^seek|^offsetid$|^(up|a)?n(e)?xt"
)
"""Names of texts and numbers that may ask for the next page."""

_NOT_WAY = re.compile(
    "prev|before|current|self|access|refresh|csrf|xsrf|auth|bearer|session|sync|delta|poll|retry"
)

_LEFT = re.compile(
    "remain|^left$|(records|rows|items|results|entries|events|hits|pages|docs|documents)left$|omitted|unread"
    "|unreturned|notshown|notreturned|(more|truncated|hidden)count$"
)
"""Names of numbers of what was left out."""

_NOT_LEFT = re.compile(
    "rate|limit|quota|credit|call|request|api|time|second|minute|hour|day|ttl|balance|attempt|retr|budget|token"
)

_COUNTS = (
    "totals?|count|number|num|n|found|match(?:es|ed|ing)?|available|overall|outof|of|length|cardinality|size"
)
_COUNTED = (
    "no|results?|records?|items?|rows?|entry|entries|hits?|docs?|documents?|events?|objects?|elements?|logs?|lines?"
    "|all|full|sum|grand|filtered|collection|list|dataset|set|opensearch|search|query|response|estimated"
)
_TOTAL = re.compile(f"(?:{_COUNTS}|{_COUNTED})+")
_COUNT = re.compile(_COUNTS)
_NOT_TOTAL = frozenset({"n", "no", "all", "full", "size", "list", "set", "search", "query"})
"""Words of totals that say nothing alone."""

_PARTS = re.compile(
    "(?:(?:total|num|number|count|max|last|n|no)(?:of)?)*(?:pages?|batches|chunks|parts|slices|windows|blocks)(?:index|num|number|count|total|available)?"
)
_NOT_PARTS = frozenset({"page", "pageindex", "pagenum", "pagenumber", "pagecount"})

_SHOWING = re.compile("page|range|show|display|result|item|record|row|position|progress|batch|chunk|part")
_OF = re.compile(
    r"[^0-9]*(?:[0-9]+\s*[-–.]+\s*)?([0-9]{1,18})\s*(?:/|\bof\b)\s*([0-9]{1,18})\D*", re.IGNORECASE
)
"""`page 1 of 3`, `0-9/25`, `1-10 of 25`."""

_SIZES = frozenset(
    "limit perpage pagesize pagelimit size itemsperpage resultsperpage hitsperpage recordsperpage maxresults maxitems"
    " maxrecords maxcount top take first rows count num n batchsize pagecount".split()
)
"""Names of the most records of a page, in the query and in an answer."""

_HEADER = re.compile(
    "^(current)?page$|^perpage$|^pagesize$|^page(token|state|key)$|locator$"
    "|^(remaining|left|omitted)(records|rows|items|results|pages)$|^(records|rows|items|results|pages)(remaining|left)$"
)
"""Names of headers that describe a page, besides those of totals."""

_NO_WAY = re.compile("prev|before|first|self|current|canonical|this|^start")


def describes_page(header: str) -> bool:
    """Tell whether a header of this name may say which page an answer is, or that there is more."""
    plain = normalize(header)
    return len(plain) <= _LONGEST_NAME and (_HEADER.search(plain) is not None or _names_total(plain))


def _names_total(plain: str) -> bool:
    return bool(_TOTAL.fullmatch(plain) and _COUNT.search(plain)) and plain not in _NOT_TOTAL


def find_unknown_hint(parsed: Parsed, page: Page) -> tuple[str, object] | None:
    """Return the name and the value of what may say that there is more than a page; None if nothing does.

    `page` is the only page that was read, and `parsed` its records. A single record tells nothing of others.
    """
    if parsed.place == OBJECT or parsed.document is None:
        return None
    near = [member for member in members(parsed) if _describes_answer(member, parsed)]
    sent = set(query_of(page.url).values())
    for member in near:
        plain = normalize(member.name)
        if len(plain) <= _LONGEST_NAME and _says_more(plain, member, len(parsed.records), sent):
            return str(member.path), member.value
    return _page_url(parsed, page) or _full_page(near, parsed, page)


def _describes_answer(member: Member, parsed: Parsed) -> bool:
    along = parsed.place.path.keys if parsed.place is not None else ()
    keys = member.path.keys[:-1]
    return all(
        is_container(key) or _PLACE.search(normalize(key)) or along[: at + 1] == keys[: at + 1]
        for at, key in enumerate(keys)
    )


def _says_more(plain: str, member: Member, records: int, sent: set[str]) -> bool:
    """Tell whether a member may say that there is more than the number of records that were read."""
    value = member.value
    flag = value if isinstance(value, bool) else _FLAGS.get(str(value).lower()) if _is_scalar(value) else None
    if flag is not None and _MORE.search(plain):
        return flag
    if flag is not None and _END.search(plain):
        return not flag
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, dict):
        return bool(value) and re.fullmatch("more|after|resume|position", plain) is not None
    return _is_way(plain, value, sent) or _counts_more(plain, member, records) or _is_part(plain, value)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _is_way(plain: str, value: Any, sent: set[str]) -> bool:
    if not leads_on(plain) and (_WAY.search(plain) is None or _NOT_WAY.search(plain) is not None):
        return False
    if is_list(value):
        return bool(elements(value)) and plain.startswith(("search", "position", "resume", "more", "next"))
    # A number that the query asked for is an echo.
    return _is_scalar(value) and str(value).strip() not in {"", "0", "-1", *sent}


def _counts_more(plain: str, member: Member, records: int) -> bool:
    count = claim_of(member.value)
    if count is None or count == 0:
        return False
    if _LEFT.search(plain) and not _NOT_LEFT.search(plain):
        return True
    parent = normalize(member.path.keys[-2]) if len(member.path.keys) > 1 else ""
    if parent.endswith(("pages", "chunk", "batch", "chunks", "batches")):
        return count > 1 and plain in ("total", "count", "of", "all", "last")
    is_inside = _names_total(parent) and (plain == "value" or _TOTAL.fullmatch(plain) is not None)
    return count > records and (is_inside or _names_total(plain))


def _is_part(plain: str, value: Any) -> bool:
    """Tell whether a text or a number says that an answer is one of several."""
    if isinstance(value, str):
        match = _OF.fullmatch(value) if len(value) <= _LONGEST_TEXT and _SHOWING.search(plain) else None
        return match is not None and int(match[2]) > max(int(match[1]), 1)
    count = claim_of(value)
    return count is not None and count > 1 and plain not in _NOT_PARTS and bool(_PARTS.fullmatch(plain))


def claim_of(value: Any) -> int | None:
    """Return a number of records in any style: 25.0, `1,025`, `1000+`; None if it is none."""
    if isinstance(value, str) and len(value) <= _LONGEST_TEXT:
        digits = re.sub(r"[,_'\s.]|^[~≈>]|\+$", "", value)
        return min(int(digits), _MOST) if digits.isascii() and digits.isdigit() else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and 0 <= value < _MOST else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _page_url(parsed: Parsed, page: Page) -> tuple[str, object] | None:
    """Return a member, under any name, that is the URL of the same place with another query."""
    urls = [
        (path, text, url) for path, text in _texts(parsed) if (url := _same_place(text, page)) is not None
    ]
    own = {url for path, _, url in urls if _NO_WAY.search(normalize(path.keys[-1]))} | {page.url, page.base}
    return next(((str(path), text) for path, text, url in urls if url not in own), None)


def _texts(parsed: Parsed) -> Iterator[tuple[KeyPath, str]]:
    for path, value, _ in members(parsed):
        along = parsed.place.path.keys if parsed.place is not None else ()
        if isinstance(value, str):
            yield path, value
        elif is_list(value) and path.keys != along and len(bytes(value)) < 1 << 16:
            for index, element in enumerate(elements(value)):
                opened = open_document(element, 2)
                if isinstance(opened, str):
                    yield KeyPath((*path.keys, str(index))), opened
                elif isinstance(opened, dict):
                    yield from _links_in(path, index, opened)


def _links_in(path: KeyPath, index: int, link: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    relation = str(link.get("rel", link.get("relation", "")))
    for key, value in link.items():
        if isinstance(value, str) and key not in ("rel", "relation"):
            yield KeyPath((*path.keys, str(index), relation or key)), value


def _same_place(text: str, page: Page) -> str | None:
    """Return the absolute URL of a text, if it is the place of the page with a query."""
    if not text.startswith(("http://", "https://", "/", "?")) or "?" not in text:
        return None
    try:
        url, own = join(page.base, text), join(page.base, page.url)
    except ValueError:
        return None
    is_same = (url.host, url.path) == (own.host, own.path)
    return str(url) if is_same and url.query and url.query != own.query else None


def _full_page(near: list[Member], parsed: Parsed, page: Page) -> tuple[str, object] | None:
    """Return the size of pages, if the page is as full as it may be."""
    if not parsed.records:
        return None
    sizes = [(name, value) for name, value in query_of(page.url).items()]
    sizes += [(str(m.path), m.value) for m in near if normalize(m.name) not in ("count", "num", "n", "rows")]
    for name, value in sizes:
        if normalize(name.rpartition(".")[2]) in _SIZES and claim_of(value) == len(parsed.records):
            return name, len(parsed.records)
    return None
