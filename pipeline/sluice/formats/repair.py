r"""Malformed log lines -> the JSON object that was meant, by the rules that the contract allows.

A repaired line says so: `"_repaired": {"rules": […], "line": "…"}`, with the rules that were used and the line as
received. Groups of a contract's own patterns are searched for in the text before the object, and fill only members
that the object does not have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import chain, islice
from json.encoder import encode_basestring as quote  # in C
from operator import ne
from typing import NamedTuple

import msgspec

from sluice.contracts import REPAIRED_KEY, Contract, Path
from sluice.contracts.patterns import compile_repair_pattern
from sluice.formats.repair_grammar import LineGrammar, Member, Reading, object_text
from sluice.formats.text_coercion import Columns, Encode, nested

MAX_LINE_BYTES = 1 << 20
"""A longer record is no log line, and is not repaired."""

_MAX_CACHED = 1000
"""Columns, combinations of columns and templates of objects that a contract's writer keeps."""
_MAX_CACHED_CHARACTERS = 4096
"""Of the names of one of them; longer ones do not come again."""

_encode = msgspec.json.Encoder().encode


class LineRepairer:
    """Repairs the malformed lines of some contracts, each by the rules that it names."""

    def __init__(self, contracts: Mapping[str, Contract], route_by: str | None) -> None:
        """Compile `contracts` (event type -> contract), routed by the property `route_by` if there are several."""
        self._writers = {
            name: _LineWriter(contract) for name, contract in contracts.items() if contract.repair
        }
        self._route_by = route_by or ""
        single = route_by is None or len(contracts) <= 1
        self._only_writer = next(iter(self._writers.values()), None) if single else None
        self._grammar = LineGrammar(
            {name for writer in self._writers.values() for name in writer.columns.names}
        )

    def repair(self, record: bytes) -> bytes | None:
        """Return the object that a malformed record was meant to be, as a line of JSON; None if that is not certain."""
        if not self._writers or len(record) > MAX_LINE_BYTES:
            return None
        try:
            line = record.decode()
        except UnicodeDecodeError:
            return None
        reading = self._grammar.read(line)
        writer = self._only_writer or self._writer(reading)
        return None if writer is None else writer.write(reading, line)

    def _writer(self, reading: Reading) -> _LineWriter | None:
        """Return the writer of the contract that a line names as its event type."""
        for event_type, writer in self._writers.items():
            if reading.is_text(self._route_by, event_type):
                return writer
        return None


class _Columns(NamedTuple):
    """The columns of the keys of a line, in their order."""

    paths: tuple[Path, ...]
    encoders: tuple[Encode, ...]
    are_separate: bool
    """No path lies within another one."""


class _LineWriter:
    """Writes the lines of one contract, if they need only the rules that it allows."""

    def __init__(self, contract: Contract) -> None:
        self.columns = Columns(contract)
        self._allowed = {name for name, _ in contract.repair}
        self._patterns = [
            _OwnPattern(name, pattern, self.columns)
            for name, pattern in contract.repair
            if pattern is not None
        ]
        self._pattern_keys = {path[0] for pattern in self._patterns for path, _ in pattern.columns}
        """The members that the patterns can add, or add to."""
        self._columns_by_key: dict[str, tuple[Path, Encode]] = {}
        self._columns_by_keys: dict[tuple[str, ...], _Columns] = {}
        self._templates: dict[tuple[Path, ...], str] = {}
        self._marks: dict[tuple[frozenset[str], frozenset[str]], str | None] = {}

    def write(self, reading: Reading, line: str) -> bytes | None:
        """Return the repaired line; None if it has no members, contradicts itself or needs a rule not allowed."""
        text, rules = self._write_object(reading)
        mark = text and self._mark(rules, reading.implied)
        if not text or not mark:
            return None
        return f"{text[:-1]},{mark}".encode() + _encode(line) + b"}}"

    def _write_object(self, reading: Reading) -> tuple[str | None, frozenset[str]]:
        """Return the object as JSON, None if it has no members or contradicts itself, and the rules for it."""
        rules, members, values = reading.rules, reading.members or {}, None
        may_fill = bool(reading.before) and not self._pattern_keys <= reading.keys()
        if reading.contents is not None:
            values = self._values_of_contents(reading.contents)
        elif reading.json_object is not None:
            if not may_fill:
                return reading.json_object.text, rules
            values = {(key,): json_text for key, json_text in reading.json_object.texts().items()}
        elif may_fill or tuple in map(type, members.values()):
            values = self._values(members)
        elif members:
            return object_text(members), rules
        if values is None:
            return None, rules
        if reading.before:
            rules = rules | self._fill(values, reading.before)
        return self._nested(values) if values else None, rules

    def _values_of_contents(self, contents: Mapping[str, str]) -> dict[Path, str] | None:
        """Return path -> JSON text; None if a value contradicts another."""
        columns = self._columns(tuple(contents))
        texts = [encode(content) for encode, content in zip(columns.encoders, contents.values(), strict=True)]
        values = dict(zip(columns.paths, texts, strict=True))
        if len(values) < len(texts) and any(map(ne, map(values.get, columns.paths), texts)):
            return None
        return values if columns.are_separate else None

    def _values(self, members: Mapping[str, Member]) -> dict[Path, str] | None:
        """Return path -> JSON text; None if a value contradicts another."""
        values: dict[Path, str] = {}
        for key, member in members.items():
            path: Path = (key,)
            if isinstance(member, tuple):
                path, encode = self._column(key)
                json_text = encode(member[1])
            else:
                json_text = member
            if values.setdefault(path, json_text) != json_text:
                return None
        return values if _are_separate(values) else None

    def _columns(self, keys: tuple[str, ...]) -> _Columns:
        """Return the columns of keys whose values have no types; lines of one log often have the same keys."""
        columns = self._columns_by_keys.get(keys)
        if columns is None:
            paths, encoders = zip(*[self._column(key) for key in keys], strict=True)
            columns = _Columns(paths, encoders, _are_separate(paths))
            if len(self._columns_by_keys) < _MAX_CACHED and _are_short(keys):
                self._columns_by_keys[keys] = columns
        return columns

    def _column(self, key: str) -> tuple[Path, Encode]:
        """Return the path of a key whose value has no type, and what converts its content."""
        column = self._columns_by_key.get(key)
        if column is None:
            path = self.columns.find(key)
            column = path, self.columns.encoder(path)
            if len(self._columns_by_key) < _MAX_CACHED and _are_short([key]):
                self._columns_by_key[key] = column
        return column

    def _nested(self, values: Mapping[Path, str]) -> str:
        """Return the JSON object that has `values`; lines of one log often have the same paths."""
        paths = tuple(values)
        template = self._templates.get(paths)
        if template is None:
            template = _template(paths)
            if len(self._templates) < _MAX_CACHED and _are_short(chain.from_iterable(paths)):
                self._templates[paths] = template
        return template % tuple(values.values()) if template else nested(values)

    def _mark(self, rules: frozenset[str], implied: frozenset[str]) -> str | None:
        """Return the note of a line up to the line itself; None if the contract does not allow a rule."""
        if (rules, implied) not in self._marks:
            names = ",".join(map(quote, sorted(rules | (implied & self._allowed))))
            mark = f'"{REPAIRED_KEY}":{{"rules":[{names}],"line":'
            self._marks[rules, implied] = mark if rules <= self._allowed else None
        return self._marks[rules, implied]

    def _fill(self, values: dict[Path, str], before: str) -> set[str]:
        """Add the missing values that the contract's own patterns find in `before`; return the rules that did."""
        rules = set()
        for pattern in self._patterns:
            for (path, encode), text in zip(pattern.columns, pattern.find(before), strict=False):
                if text and path not in values and path[:1] not in values:
                    values[path] = encode(text)
                    rules.add(pattern.name)
        return rules


class _OwnPattern:
    """A contract's own pattern, and the columns that its groups fill."""

    def __init__(self, name: str, pattern: str, columns: Columns) -> None:
        self.name = name
        compiled = compile_repair_pattern(pattern)
        self._search = compiled.finditer
        self._search_bytes = compile_repair_pattern(pattern.encode()).finditer
        self._numbers = list(compiled.groupindex.values())
        paths = map(columns.find, compiled.groupindex)
        self.columns = [(path, columns.encoder(path)) for path in paths]
        """Path of a group's column, and what converts its text."""

    def find(self, text: str) -> list[str]:
        """Return the text of each group, '' if it has none; nothing unless the pattern matches exactly once."""
        # Of bytes, the binding of RE2 counts no characters; where all are ASCII, they have the same places.
        search, searched = (self._search_bytes, text.encode()) if text.isascii() else (self._search, text)
        matches = list(islice(search(searched), 2))
        if len(matches) != 1:  # which of two would be a guess
            return []
        return [text[start:end] for start, end in map(matches[0].span, self._numbers)]


def _are_separate(paths: Collection[Path]) -> bool:
    """Tell whether no path of two names lies within one of a single name."""
    return not any([path[:1] in paths for path in paths if len(path) > 1])


def _are_short(names: Iterable[str]) -> bool:
    return sum(map(len, names)) <= _MAX_CACHED_CHARACTERS


def _template(paths: Iterable[Path]) -> str:
    """Return the format of an object with values in the order of `paths`; empty if it has them in another order."""
    parts = nested({path: f"\0{index}\0" for index, path in enumerate(paths)}).split("\0")
    if parts[1::2] != [str(index) for index in range(len(parts) // 2)]:
        return ""
    return "%s".join([part.replace("%", "%%") for part in parts[::2]])
