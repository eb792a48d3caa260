"""Address of a source -> members of the records that came from it, as `fromSource` in a contract says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any
from urllib.parse import unquote

import msgspec

from sluice.contracts import Contract, Property
from sluice.contracts.patterns import compile_repair_pattern
from sluice.formats.json_syntax import NOT_JSON
from sluice.formats.text_coercion import encode_text
from sluice.provenance import Provenance, RedeliveryProvenance

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_BASIC_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
"""A date in the basic format of ISO 8601, as names of files have it."""


class SourceValues:
    """The properties of one contract that are filled from the address of a record's source.

    What the source says replaces what the record says: a member of that name is removed from the record. A property
    whose value is not in the address is absent, so that a required one makes the record invalid.
    """

    def __init__(self, contract: Contract) -> None:
        """Compile the patterns of `contract`, which has such properties."""
        self._find = [(prop, _compile(prop)) for prop in contract.from_source]
        self._names = [prop.name for prop in contract.from_source]
        self._keys = [msgspec.json.encode(name) for name in self._names]
        self.members = lru_cache(maxsize=4096)(self._members)
        """Address -> its members as JSON, without braces."""

    def fill(self, lines: Sequence[bytes], provenance: Provenance) -> list[bytes]:
        """Return `lines`, each with the members of its own source; what is no object stays as it is."""
        if isinstance(provenance, RedeliveryProvenance):
            return [
                self.fill_line(line, origin.uri)
                for line, origin in zip(lines, provenance.origins, strict=True)
            ]
        return list(map(partial(self.fill_line, uri=provenance.uri), lines))

    def fill_line(self, line: bytes, uri: str) -> bytes:
        """Return a line with the members of the source at address `uri`."""
        if any(key in line for key in self._keys):
            line = self._without_own(line)
        members = self.members(uri)
        if not members or not line.endswith(b"}") or not line.startswith(b"{"):
            body = line.strip()
            if not members or not body.startswith(b"{") or not body.endswith(b"}"):
                return line
            line = body
        body = line[:-1].rstrip()
        return body + (b"" if body == b"{" else b",") + members + b"}"

    def _without_own(self, line: bytes) -> bytes:
        try:
            members = _decode_object(line)
        except NOT_JSON:
            return line
        if members.keys().isdisjoint(self._names):
            return line
        texts = [
            msgspec.json.encode(name) + b":" + bytes(value)
            for name, value in members.items()
            if name not in self._names
        ]
        return b"{" + b",".join(texts) + b"}"

    def _members(self, uri: str) -> bytes:
        members = []
        for prop, find in self._find:
            text = find(uri)
            if text:
                if prop.type in ("date", "timestamp"):
                    text = _extended_date(text)
                members.append(f"{msgspec.json.encode(prop.name).decode()}:{encode_text(prop.type, text)}")
        return ",".join(members).encode()


def _compile(prop: Property) -> Any:
    """Return what finds the text of a property in an address; None or an empty text if it is not there."""
    rule = prop.from_source
    if rule is not None and rule.pattern is not None:
        pattern = compile_repair_pattern(rule.pattern)
        return lambda uri: (match := pattern.search(uri)) and match[prop.name]
    if rule is not None and rule.folder_key is not None:
        return partial(_folder_value, rule.folder_key)
    return str


def _folder_value(key: str, uri: str) -> str | None:
    """Return the value of the last folder `key=value` of an address, as Hive writes it, percent-decoded."""
    folders = [folder.partition("=") for folder in uri.split("/")[:-1]]
    return next((unquote(value) for name, equals, value in reversed(folders) if name == key and equals), None)


def _extended_date(text: str) -> str:
    """Return a date in the extended format of ISO 8601; other texts as they are."""
    match = _BASIC_DATE.fullmatch(text)
    return f"{match[1]}-{match[2]}-{match[3]}" if match else text
