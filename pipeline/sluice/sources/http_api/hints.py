"""What an answer says of the records that it does not hold: members that lead on, flags, and totals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from sluice.sources.http_api.documents import REL_NEXT, KeyPath, elements, is_list, next_links, open_document
from sluice.sources.http_api.names import (
    count_of,
    is_container,
    is_cursor_name,
    is_link_name,
    is_nothing,
    is_page_total,
    is_total,
    leads_on,
    normalize,
    says_more,
)
from sluice.sources.http_api.records import OBJECT, Parsed

_LINK_KEYS = frozenset({"href", "url", "uri", "link", "ref"})
_IN_NEXT = _LINK_KEYS | {"after", "cursor", "page", "token", "pagetoken", "offset", "value"}
_OBJECTS = ("next", "continu", "lastevaluatedkey", "searchafter", "marker", "bookmark")
"""How the names of objects begin that lead to a next page."""

_TOTAL_VALUES = frozenset({"value", "count"})


_PLAIN_FLAGS = frozenset({"hasmore", "hasnext", "hasnextpage", "istruncated"})
"""Flags that a record is unlikely to have."""


class Member(NamedTuple):
    """A member of an answer; `near`: the object that it is in describes the answer, or holds the records."""

    path: KeyPath
    value: Any
    near: bool

    @property
    def name(self) -> str:
        """Its own key."""
        return self.path.keys[-1]


@dataclass(frozen=True, slots=True)
class Lead:
    """A member that says where the next page is: a link, or a cursor."""

    path: KeyPath
    value: Any
    is_link: bool


def members(parsed: Parsed) -> Iterator[Member]:
    """Yield the members of an answer outside of its lists."""
    along = parsed.place.path.keys if parsed.place is not None else ()
    yield from _members(parsed.document or {}, (), along, near=True)


def _members(
    document: dict[str, Any], keys: tuple[str, ...], along: tuple[str, ...], *, near: bool
) -> Iterator[Member]:
    for name, value in document.items():
        path = (*keys, name)
        yield Member(KeyPath(path), value, near)
        if isinstance(value, dict):
            is_near = near and (is_container(name) or path == along[: len(path)])
            yield from _members(value, path, along, near=is_near)


def find_leads(parsed: Parsed) -> list[Lead]:
    """Return the members that lead to a next page, in their order; in a single record, links called `next` only."""
    leads = [lead for member in members(parsed) for lead in _leads(member)]
    if parsed.place == OBJECT:
        return [lead for lead in leads if lead.is_link and normalize(lead.path.keys[-1]).startswith("next")]
    # An object is a lead only if nothing in it is one.
    return [lead for lead in leads if not isinstance(lead.value, dict) or not _holds_lead(lead, leads)]


def _holds_lead(outer: Lead, leads: list[Lead]) -> bool:
    keys = outer.path.keys
    return any(len(lead.path.keys) > len(keys) and lead.path.keys[: len(keys)] == keys for lead in leads)


def _leads(member: Member) -> Iterator[Lead]:
    path, value, near = member
    name = normalize(path.keys[-1])
    parent = normalize(path.keys[-2]) if len(path.keys) > 1 else ""
    if is_list(value) and near and name in ("link", "links"):
        yield from _links_in_list(path, value)
        return
    if is_list(value) and name == "next" and (links := list(_links_of_next(path, value))):
        yield from links
        return
    if is_nothing(value) or isinstance(value, bool) or (is_list(value) and not elements(value)):
        return
    if says_more(path.keys[-1], value) is not None:
        return
    is_in_next = parent == "next" and name in _IN_NEXT
    is_after = name == "after" and near and parent != ""
    is_offset = name == "offset" and near and isinstance(value, str) and count_of(value) is None
    is_next = leads_on(path.keys[-1]) and (near or name.startswith("next"))
    is_object = isinstance(value, dict) and not name.startswith(_OBJECTS)
    if (is_in_next or is_after or is_offset or is_next) and not is_object:
        yield Lead(path, value, is_link(path, value))


def _links_in_list(path: KeyPath, value: msgspec.Raw) -> Iterator[Lead]:
    for link in next_links(value)[:1]:
        keys = [key for key in link if normalize(key) in _LINK_KEYS]
        for key in keys[:1]:
            yield Lead(KeyPath((*path.keys, REL_NEXT, key)), link[key], is_link=True)
        if not keys:
            yield Lead(KeyPath((*path.keys, REL_NEXT)), link, is_link=False)


def _links_of_next(path: KeyPath, value: msgspec.Raw) -> Iterator[Lead]:
    """Yield the links of a list that is called `next`, as HAL allows."""
    for index, element in enumerate(elements(value)):
        link = open_document(element)
        for key in link if isinstance(link, dict) else ():
            if normalize(key) in _LINK_KEYS:
                yield Lead(KeyPath((*path.keys, str(index), key)), link[key], is_link=True)


def is_link(path: KeyPath, value: Any) -> bool:
    """Tell whether the value at a path is a link, and not a cursor, which may also begin with `/` or `?`."""
    if not isinstance(value, str):
        return False
    name = path.keys[-1]
    has_scheme = "://" in value.partition("?")[0][:20]
    is_in_links = len(path.keys) > 1 and normalize(path.keys[-2]) in ("link", "links")
    return (
        has_scheme
        or is_in_links
        or is_link_name(name)
        or (value.startswith(("/", "?")) and not is_cursor_name(name))
    )


def find_more(parsed: Parsed) -> tuple[bool | None, KeyPath]:
    """Return whether the flags of an answer say that there is more, and the path of the flag; None if none says so.

    If flags contradict each other, there is more.
    """
    flags = [
        (flag, member.path)
        for member in members(parsed)
        if (member.near and parsed.place != OBJECT) or normalize(member.name) in _PLAIN_FLAGS
        if (flag := says_more(member.name, member.value)) is not None
    ]
    return next((flag for flag in flags if flag[0]), flags[0] if flags else (None, KeyPath(())))


def find_total(parsed: Parsed) -> tuple[int, KeyPath] | None:
    """Return the largest number of records that an answer claims there are, and its path; None if it claims none."""
    return _largest(parsed, _names_total)


def find_page_total(parsed: Parsed) -> tuple[int, KeyPath] | None:
    """Return the largest number of pages that an answer claims there are, and its path; None if it claims none."""
    return _largest(parsed, lambda member: is_page_total(member.name))


def _largest(parsed: Parsed, applies: Callable[[Member], bool]) -> tuple[int, KeyPath] | None:
    totals = [
        (count, member.path)
        for member in members(parsed)
        if member.near and parsed.place != OBJECT and applies(member)
        if (count := count_of(member.value)) is not None
    ]
    return max(totals, key=lambda total: total[0], default=None)


def _names_total(member: Member) -> bool:
    keys = member.path.keys
    is_inside = len(keys) > 1 and normalize(keys[-1]) in _TOTAL_VALUES and normalize(keys[-2]) == "total"
    return is_inside or is_total(member.name)
