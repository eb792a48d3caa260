"""What surrounds the records in an answer: its members, opened level by level, and paths to them.

Lists are not opened, so that the records in them cost nothing and keep their bytes, whatever numbers they have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import msgspec

from sluice.errors import ConfigError, quote
from sluice.formats.json_syntax import NOT_JSON

DEPTH = 8
"""Nesting up to which an answer is searched; what is deeper belongs to a record."""

HEADER = "header:"
"""Begins the path of a header of the answer."""

REL_NEXT = "[rel=next]"
"""Key of the member of a list of links whose relation is `next`."""

_DOTTED = re.compile(r'"((?:[^"\\]|\\.)*)"|([^."]+)')
_PLAIN_KEY = re.compile(r'[^."/\\][^."\\]*')


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()
"""What `look_up` returns if there is no such member."""


@dataclass(frozen=True, slots=True)
class KeyPath:
    """The keys that lead to a member of an answer."""

    keys: tuple[str, ...]

    def __str__(self) -> str:
        """Return the path as users write it: `meta.next`, or `meta."next.page"`."""
        return ".".join(_written(key) for key in self.keys)


def _written(key: str) -> str:
    if _PLAIN_KEY.fullmatch(key) or key.startswith(HEADER):
        return key
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def key_path(text: str, where: str) -> KeyPath:
    """Return the path in `text`: a JSON Pointer (RFC 6901), keys with dots between them, or `header:NAME`.

    A key with a dot in it stands in double quotes, with a backslash before a quote or a backslash.

    Raises:
        ConfigError: it is no path; the message begins with `where`.

    """
    if text.startswith(HEADER) and len(text) > len(HEADER):
        return KeyPath((text.lower(),))
    if text.startswith("/"):
        return KeyPath(tuple(key.replace("~1", "/").replace("~0", "~") for key in text[1:].split("/")))
    keys, at = [], 0
    while match := _DOTTED.match(text, at):
        keys.append(match[2] if match[2] is not None else re.sub(r"\\(.)", r"\1", match[1]))
        at = match.end()
        if at == len(text):
            return KeyPath(tuple(keys))
        if text[at] != ".":
            break
        at += 1
    message = f'{where}: expected a path such as meta.next, meta."next.page" or /meta/next, got {quote(text)}'
    raise ConfigError(message)


def open_document(raw: bytes | msgspec.Raw, depth: int = DEPTH) -> Any:
    """Return a JSON value: objects as dicts, lists as `msgspec.Raw`, numbers that Python cannot hold as text.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: it is not JSON.

    """
    text = bytes(raw).strip()
    if text.startswith(b"{") and depth:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        return {name: open_document(value, depth - 1) for name, value in members.items()}
    if text.startswith((b"[", b"{")):
        msgspec.json.decode(text, type=msgspec.Raw)
        return msgspec.Raw(text)
    try:
        return msgspec.json.decode(text)
    except NOT_JSON:  # a number that is out of range, or a text that is not UTF-8
        if depth == DEPTH:
            raise
        return text.decode(errors="replace")


def elements(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the elements of a list."""
    return msgspec.json.decode(raw, type=list[msgspec.Raw])


def is_list(value: Any) -> TypeGuard[msgspec.Raw]:
    """Tell whether a member of a document is a list."""
    return isinstance(value, msgspec.Raw) and bytes(value).startswith(b"[")


def look_up(document: Any, path: KeyPath) -> Any:
    """Return the member at a path; MISSING if there is none."""
    value = document
    for key in path.keys:
        if is_list(value):
            value = _element(value, key)
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return MISSING
    return value


def _element(value: msgspec.Raw, key: str) -> Any:
    if key == REL_NEXT:
        return next(iter(next_links(value)), MISSING)
    if not (key.isascii() and key.isdigit() and len(key) < DEPTH):
        return MISSING
    members = elements(value)
    return open_document(members[int(key)]) if int(key) < len(members) else MISSING


def next_links(value: msgspec.Raw) -> list[dict[str, Any]]:
    """Return the links of a list whose relation is `next`, as objects; in JSON:API, FHIR and OGC APIs."""
    links = [open_document(link, 2) for link in elements(value) if bytes(link).startswith(b"{")]
    return [link for link in links if "next" in _relations(link.get("rel", link.get("relation")))]


def _relations(value: Any) -> Sequence[str]:
    if is_list(value):
        return [str(open_document(relation)).lower() for relation in elements(value)]
    return str(value).lower().split()
