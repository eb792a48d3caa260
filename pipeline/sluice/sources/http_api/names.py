"""What the names of members in an answer say, in whatever style they are written: `has_more`, `hasMore`, `HasMore`."""

from __future__ import annotations

import re
from typing import Any

GENERIC_LISTS = frozenset(
    "collection content data docs documents edges elements entries entry features hits items list member members nodes"
    " objects records resources results rows value values".split()
)
"""Names of lists of records that say nothing about the records."""

LISTS = GENERIC_LISTS | frozenset("events logs products".split())

ENVELOPES = LISTS | frozenset(
    "body d embedded feed message output page payload query response responsedata result resultset".split()
)
"""Names of objects that may hold the list of records."""

SIDE_LISTS = frozenset(
    "aggregations breadcrumbs columns errors facets fields filters headers included includes link links messages meta"
    " parameters schema sort warnings".split()
)
"""Names of lists beside the records."""

_LONGEST_NUMBER = 18

_CONTAINER = re.compile(
    "meta|pag|info|link|cursor|head|respon|result|data|hits|body|payload|embedded|list|search|scroll|next|^d$|^query$"
)
_MORE = re.compile(
    "^(has|are|is)?(there)?(any)?(next|more|additional)"
    "(pages?|items|results|records|rows|data|entries|elements|documents|events)?(available|exists?|toload)?$"
    "|^(is|was|results?|list)?truncated$|^(is)?incomplete(results)?$|^exceededtransferlimit$"
)
_LAST = re.compile(
    "^(is|at|reached)?(last|final)(page)?$|^(is)?(done|complete|completed|finished|exhausted)$|^nomore"
)
_TOTALS = re.compile(
    "^(estimated|approximate|full|grand|overall|result|results|records|items)?total(s|num|number|number?of)?"
    "(count|elements|results|records|items|size|hits|entries|rows|docs|documents|objects|events|logs|found|matches"
    "|filtered)?$"
    "|^contentrange$|^(odata|result|results|record|item|row|full|object|entry|element|hit)?count$|^(numfound|nbhits|recordsfiltered|numbermatched)$"
)
_PAGES = re.compile(
    "^(total|num|nb|number|count|max)?(of)?pages?(count|total)?$|^lastpage(number)?$|^totalpage(s|number)?$"
)
_NEXT = re.compile(
    "^next|cursor|token|continu|scroll|^(nextlink|more|marker|bookmark|lastevaluatedkey|searchafter)$"
)
_NOT_NEXT = re.compile(
    "prev|before|first|start(?!ing)|current|self|access|refresh|csrf|xsrf|security|auth|bearer|session|sync|delta|request|api"
    "|client|device|idtoken|poll|retry|reset|update|run$|type$|count$|tokens$|scrollable|nextofkin"
)
_CURSOR_VALUE = re.compile("cursor|token|continu|marker|scroll|bookmark|key$|id$|after|offset|mark$")
_LINK = re.compile("link|url|uri|href|ref$")


def normalize(name: str) -> str:
    """Return a name in lower case, without signs, and without the `X-` of headers and the `@odata.` of OData."""
    lower = (
        name.lower().removeprefix("header:").removeprefix("x-").removeprefix("@odata.").removeprefix("odata.")
    )
    return "".join(filter(str.isalnum, lower))


def is_container(name: str) -> bool:
    """Tell whether an object of this name describes the answer, or holds the records."""
    return _CONTAINER.search(normalize(name)) is not None


def says_more(name: str, value: Any) -> bool | None:
    """Return whether a member says that there is more, or that there is none; None if it says neither."""
    plain = normalize(name)
    flag = {"true": True, "false": False, True: True, False: False}.get(
        value.lower() if isinstance(value, str) else value if isinstance(value, bool) else ""
    )
    if flag is not None and _MORE.search(plain):
        return flag
    if flag is not None and _LAST.search(plain):
        return not flag
    return None


def count_of(value: Any) -> int | None:
    """Return a number of records or pages, which some APIs write as a text; None if it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def is_total(name: str) -> bool:
    """Tell whether a member with a number may say how many records there are."""
    return _TOTALS.search(normalize(name).removeprefix("wp").removeprefix("pagination")) is not None


def is_page_total(name: str) -> bool:
    """Tell whether a member with a number may say how many pages there are."""
    plain = normalize(name).removeprefix("wp").removeprefix("pagination")
    return plain not in ("page", "maxpage") and _PAGES.search(plain) is not None


def leads_on(name: str) -> bool:
    """Tell whether a member may say where the next page is."""
    plain = normalize(name)
    return _NEXT.search(plain) is not None and _NOT_NEXT.search(plain) is None


def is_cursor_name(name: str) -> bool:
    """Tell whether a member of this name has a cursor, also if it looks like a path."""
    plain = normalize(name)
    return _CURSOR_VALUE.search(plain) is not None and not is_link_name(name)


def is_link_name(name: str) -> bool:
    """Tell whether a member of this name has a link."""
    return _LINK.search(normalize(name)) is not None


def is_nothing(value: Any) -> bool:
    """Tell whether a value says that nothing follows. Twitter and Redis write 0."""
    return value in (None, "", False, 0, "0") or value == {} or (isinstance(value, str) and not value.strip())
