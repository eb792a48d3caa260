"""The records of a page: the list in the answer that they are in, and their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from sluice.errors import SourceError
from sluice.formats import read_records
from sluice.formats.json_syntax import NOT_JSON
from sluice.sources.http_api.documents import (
    MISSING,
    KeyPath,
    elements,
    is_list,
    look_up,
    open_document,
)
from sluice.sources.http_api.names import (
    ENVELOPES,
    GENERIC_LISTS,
    SIDE_LISTS,
    is_nothing,
    is_page_total,
    is_total,
    leads_on,
    normalize,
    says_more,
)

_BOM = b"\xef\xbb\xbf"
_ENVELOPE_DEPTH = 4
_FAILURES = ("error", "errors", "fault", "exception", "errormessage", "errorcode")
_SUCCESSES = ("ok", "success", "successful", "succeeded")


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """Where the records of all pages are: in the list at a path, or each on a line; an answer may be a list itself."""

    kind: Literal["list", "lines", "object"]
    path: KeyPath = KeyPath(())

    def __str__(self) -> str:
        """Return it as the log says it."""
        if self.kind == "list":
            return f"in the list at {self.path}" if self.path.keys else "in a list"
        return "on its lines" if self.kind == "lines" else "the answer itself"


LINES, OBJECT = RecordPlace("lines"), RecordPlace("object")


@dataclass(frozen=True, slots=True)
class Parsed:
    """The records of a page, byte for byte."""

    records: Sequence[bytes]
    document: dict[str, Any] | None
    """The members of the answer; none if it is no object, None if it is malformed."""
    place: RecordPlace | None
    """Where its records are; None if the page does not tell, since it has none."""
    failure: str = ""
    """What is wrong with the answer although its status is a success; its path and value."""


def parse_body(body: bytes, lines: bool, items: KeyPath | None, place: RecordPlace | None) -> Parsed:
    """Return the records of an answer. A malformed answer is divided into the records that can be separated.

    Args:
        body: the unpacked answer.
        lines: its Content-Type is JSON lines.
        items: the path of the list of records that the user set.
        place: where the records of the pages before were; None on the first page.

    Raises:
        SourceError: the list of records is not where it was or should be, or several lists may be it.

    """
    body = body.removeprefix(_BOM).strip()
    if lines or place == LINES:
        return Parsed(read_records(body), {}, LINES)
    if not body:
        return Parsed([], {}, place, "" if place is None else "an empty answer")
    try:
        document = open_document(body)
    except NOT_JSON:
        return _malformed(body, place)
    if is_list(document):
        if items is not None or (place is not None and place.path.keys):
            raise _no_list(items or (place or OBJECT).path, "a list")
        return Parsed(_bytes(document), {}, RecordPlace("list"))
    return _parse_object(body, document, items, place)


def _parse_object(body: bytes, document: Any, items: KeyPath | None, place: RecordPlace | None) -> Parsed:
    """Return the records of an answer that is an object, or a value that is no list either."""
    failure = find_failure(document)
    path = items or (place.path if place is not None and place.kind == "list" else None)
    if path is not None:
        return _at_path(document, path, failure, strict=items is not None)
    if not isinstance(document, dict) or not document:
        return Parsed([body] if document else [], {}, OBJECT if document else place)
    found = OBJECT if place == OBJECT else _choose(document)
    if found is None or found == OBJECT:
        return Parsed([body] if found else [], document, found, failure)
    return _at_path(document, found.path, failure, strict=False)


def _at_path(document: Any, path: KeyPath, failure: str, *, strict: bool) -> Parsed:
    place = RecordPlace("list", path)
    value = look_up(document, path) if path.keys else MISSING
    if value is None:
        return Parsed([], document, place, failure)
    if is_list(value):
        return Parsed(_bytes(value), document, place, failure)
    failure = failure or f"an answer without the list of records at {path}" if path.keys else "an object"
    if strict or not isinstance(document, dict):
        raise _no_list(path, "an object without it" if isinstance(document, dict) else "another value")
    is_empty_page = value is MISSING and any(map(leads_on, document)) and all(map(_describes_page, document))
    return Parsed([], document, place, "" if is_empty_page else failure)


def _no_list(path: KeyPath, got: str) -> SourceError:
    where = f" at {str(path)!r}" if path.keys else ""
    return SourceError(f"expected a list of records{where}, got {got}")


def _malformed(body: bytes, place: RecordPlace | None) -> Parsed:
    """Return the pieces of a malformed answer; several lines are JSON lines, of which some may be malformed."""
    pieces = read_records(body)
    if place is None and len(pieces) > 1 and not body.startswith(b"["):
        place = LINES
    failure = "HTML" if body[:1] == b"<" else ""
    return Parsed(pieces, None, place, failure)


def _bytes(raw: msgspec.Raw) -> list[bytes]:
    return [bytes(record) for record in elements(raw)]


def find_failure(document: Any) -> str:
    """Return what says in an answer that the request failed, though its status is a success; '' if nothing does."""
    for name, value in document.items() if isinstance(document, dict) else ():
        plain = normalize(name)
        is_failure = (
            (plain in _FAILURES and not is_nothing(value) and not (is_list(value) and not elements(value)))
            or (plain in _SUCCESSES and value is False)
            or (plain == "status" and str(value).lower() in ("error", "fail", "failed", "failure"))
        )
        if is_failure:
            return f"an answer with {KeyPath((name,))}"
    return ""


def _choose(document: dict[str, Any]) -> RecordPlace | None:
    """Return where the records are in an object; None if it has none; OBJECT if it is one record itself."""
    lists = list(_lists(document, (), inside=False))
    objects = [path for path, value in lists if _has_objects(value)]
    generic = [path for path in objects if normalize(path.keys[-1]) in GENERIC_LISTS]
    chosen = objects if len(objects) == 1 else generic
    if len(chosen) == 1:
        return RecordPlace("list", chosen[0])
    if objects:
        names = ", ".join(map(str, chosen or objects))
        message = f"expected one list of records, got {names}; set #items="
        raise SourceError(message)
    known = [
        (path, value) for path, value in lists if len(path.keys) > 1 or normalize(path.keys[-1]) in ENVELOPES
    ]
    scalars = [path for path, value in known if elements(value)]
    if len(scalars) == 1:
        return RecordPlace("list", scalars[0])
    has_null = any(normalize(name) in ENVELOPES and value is None for name, value in document.items())
    if known or has_null or all(_describes_page(name) or is_list(value) for name, value in document.items()):
        return None
    return OBJECT


def _lists(
    document: dict[str, Any], keys: tuple[str, ...], *, inside: bool
) -> Iterator[tuple[KeyPath, msgspec.Raw]]:
    """Yield the lists that may be the records: those of the answer, and of the objects in it that hold such lists."""
    for name, value in document.items():
        plain = normalize(name)
        if plain in SIDE_LISTS:
            continue
        if is_list(value):
            yield KeyPath((*keys, name)), value
        elif isinstance(value, dict) and len(keys) < _ENVELOPE_DEPTH and (inside or plain in ENVELOPES):
            yield from _lists(value, (*keys, name), inside=True)


def _has_objects(value: msgspec.Raw) -> bool:
    return any(bytes(element).startswith(b"{") for element in elements(value))


def _describes_page(name: str) -> bool:
    plain = normalize(name)
    return (
        says_more(name, False) is not None
        or leads_on(name)
        or is_total(name)
        or is_page_total(name)
        or plain in SIDE_LISTS
        or plain
        in (
            "etag",
            "first",
            "kind",
            "limit",
            "offset",
            "page",
            "pagesize",
            "pagination",
            "paging",
            "perpage",
            "prev",
        )
    )
