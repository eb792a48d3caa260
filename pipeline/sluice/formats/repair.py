r"""Malformed log lines -> the JSON object that was meant, by the rules that the contract allows.

A repaired line says so: `"_repaired": {"rules": […], "line": "…"}`, with the rules that were used and the line as
received. Groups of a contract's own patterns are searched for in the text before the object, and fill only members
that the object does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from json.encoder import encode_basestring as quote  # in C

import msgspec

from sluice.contracts import REPAIRED_KEY, Contract, Path
from sluice.contracts.patterns import compile_repair_pattern
from sluice.formats.repair_grammar import LineGrammar, Member, Reading, object_text
from sluice.formats.text_coercion import Columns, Encode, nested

MAX_LINE_BYTES = 1 << 20
"""A longer record is no log line, and is not repaired."""

_MAX_CACHED_KEYS = 1000


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
        route = reading.members.get(self._route_by)
        if isinstance(route, tuple):
            route = route[0]
        json_text = str(route, "utf-8") if isinstance(route, msgspec.Raw) else route
        for event_type, writer in self._writers.items():
            if json_text == quote(event_type):
                return writer
        return None


class _LineWriter:
    """Writes the lines of one contract, if they need only the rules that it allows."""

    def __init__(self, contract: Contract) -> None:
        self.columns = Columns(contract)
        self._allowed = {name for name, _ in contract.repair}
        self._patterns = [
            (name, compile_repair_pattern(pattern))
            for name, pattern in contract.repair
            if pattern is not None
        ]
        self._pattern_keys = {
            self.columns.find(group)[0] for _, pattern in self._patterns for group in pattern.groupindex
        }
        """The members that the patterns can add, or add to."""
        self._columns_by_key: dict[str, tuple[Path, Encode]] = {}
        self._marks: dict[tuple[frozenset[str], frozenset[str]], str | None] = {}

    def write(self, reading: Reading, line: str) -> bytes | None:
        """Return the repaired line; None if it has no members, contradicts itself or needs a rule not allowed."""
        members, rules = reading.members, reading.rules
        values: dict[Path, str] | None = None
        if tuple in map(type, members.values()) or (reading.before and self._may_fill(members)):
            values = self._values(members)
            if values is None:
                return None
            if reading.before:
                rules = rules | self._fill(values, reading.before)
        if not members and not values:
            return None
        mark = self._mark(frozenset(rules), frozenset(reading.implied))
        if mark is None:
            return None
        text = nested(values) if values else reading.text or object_text(members)
        return f"{text[:-1]},{mark}{quote(line)}}}}}".encode()

    def _may_fill(self, members: Mapping[str, Member]) -> bool:
        """Tell whether `members`, whose values have types, lack a value that a pattern may find."""
        return not self._pattern_keys <= members.keys()

    def _values(self, members: Mapping[str, Member]) -> dict[Path, str] | None:
        """Return path -> JSON text; None if a value contradicts another."""
        values: dict[Path, str] = {}
        for key, member in members.items():
            path: Path = (key,)
            if isinstance(member, tuple):
                path, encode = self._column(key)
                json_text = encode(member[1])
            else:
                json_text = member if isinstance(member, str) else str(member, "utf-8")
            if values.setdefault(path, json_text) != json_text:
                return None
        if any([path[:1] in values for path in values if len(path) > 1]):
            return None
        return values

    def _column(self, key: str) -> tuple[Path, Encode]:
        """Return the path of a key whose value has no type, and what converts its content."""
        column = self._columns_by_key.get(key)
        if column is None:
            path = self.columns.find(key)
            column = path, self.columns.encoder(path)
            if len(self._columns_by_key) < _MAX_CACHED_KEYS:
                self._columns_by_key[key] = column
        return column

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
        for name, pattern in self._patterns:
            matches = list(islice(pattern.finditer(before), 2))
            if len(matches) != 1:  # which of two would be a guess
                continue
            for group, text in matches[0].groupdict().items():
                path = self.columns.find(group)
                if text and path not in values and path[:1] not in values:
                    values[path] = self.columns.encoder(path)(text)
                    rules.add(name)
        return rules
