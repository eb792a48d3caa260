"""Stored line -> the members that its contract does not name, as the column `_extra` has them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec

from sluice.arrow.json_structs import UnconvertibleLine, decoded_type, struct_of
from sluice.contracts import Property
from sluice.formats.json_syntax import NOT_JSON

_Finder = Callable[[bytes | msgspec.Raw], bytes | None]
"""JSON text -> its members outside the contract as compact JSON; None if there are none."""

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw] | None).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw] | None).decode


class UnknownMembers:
    """Finds the members of lines that an object does not declare."""

    def __init__(self, root: Property) -> None:
        """Compile `root`, the object that a line is."""
        self._decode_known = msgspec.json.Decoder(struct_of(root, strict=True)).decode
        self._find = _object_finder(root)

    def find(self, line: bytes, *, likely: bool) -> str | None:
        """Return the members of `line` outside the contract as compact JSON, nested as they were; None: there are none.

        `likely` says that there are some, which saves a first look. Numbers keep their text. Objects in arrays are
        named by their index, from 0.

        Raises:
            UnconvertibleLine: the line cannot be searched.

        """
        try:
            if not likely and self._has_known_only(line):
                return None
            text = self._find(line)
            return None if text is None else text.decode()
        except NOT_JSON as error:
            raise UnconvertibleLine.from_error(error) from error

    def _has_known_only(self, line: bytes) -> bool:
        try:
            self._decode_known(line)
        except msgspec.ValidationError:  # usually a member that the contract does not name
            return False
        return True


def _object_finder(prop: Property) -> _Finder:
    known = frozenset(member.name for member in prop.properties)
    inner_finders = [
        (member.name, find) for member in prop.properties if (find := _suspicious_finder(member)) is not None
    ]

    def find_members(raw: bytes | msgspec.Raw) -> bytes | None:
        members = _decode_members(raw) or {}
        inner = {}
        for name, find in inner_finders:
            if name in members and (text := find(members[name])) is not None:
                inner[name] = text
        return _object(
            [
                _key(name) + (inner[name] if name in inner else compact(value))
                for name, value in members.items()
                if name not in known or name in inner
            ]
        )

    return find_members


def _array_finder(items: Property) -> _Finder | None:
    find = _finder(items)
    if find is None:
        return None

    def find_in_items(raw: bytes | msgspec.Raw) -> bytes | None:
        texts = ((index, find(value)) for index, value in enumerate(_decode_items(raw) or []))
        return _object([b'"%d":%b' % (index, text) for index, text in texts if text is not None])

    return find_in_items


def _finder(prop: Property) -> _Finder | None:
    """Return what finds unknown members in a value of `prop`; None if its type cannot have any."""
    if prop.type == "object":
        return _object_finder(prop)
    return None if prop.items is None else _array_finder(prop.items)


def _suspicious_finder(prop: Property) -> _Finder | None:
    """Return a finder that searches only values that a strict decoder rejects: most have no unknown members."""
    find = _finder(prop)
    if find is None:
        return None
    decode_known = msgspec.json.Decoder(decoded_type(prop, strict=True)).decode

    def find_if_rejected(raw: bytes | msgspec.Raw) -> bytes | None:
        try:
            decode_known(raw)
        except msgspec.ValidationError:
            return find(raw)
        return None

    return find_if_rejected


def _object(members: list[bytes]) -> bytes | None:
    return b"{" + b",".join(members) + b"}" if members else None


@lru_cache(maxsize=4096)
def _key(name: str) -> bytes:
    return msgspec.json.encode(name) + b":"


def compact(raw: bytes | msgspec.Raw) -> bytes:
    """Remove white space between tokens; numbers, strings and order stay as they are."""
    text = bytes(raw)
    return msgspec.json.format(text, indent=-1) if text[:1] in (b"{", b"[") else text
