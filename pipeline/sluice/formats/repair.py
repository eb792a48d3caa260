r"""Malformed log lines -> the JSON object that was meant, by the rules that the contract allows.

A repaired line says so: `"_repaired": {"rules": […], "line": "…"}`, with the rules that were used and the line as
received. Groups of a contract's own patterns are searched for in the text before the object, and fill only members
that the object does not have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from json.encoder import encode_basestring as quote  # in C

from sluice.contracts import REPAIRED_KEY, Contract, Path
from sluice.formats.repair_grammar import LineGrammar, Reading
from sluice.formats.text_coercion import Columns, nested

MAX_LINE_BYTES = 1 << 20
"""A longer record is no log line, and is not repaired."""


class LineRepairer:
    """Repairs the malformed lines of some contracts, each by the rules that it names."""

    def __init__(self, contracts: Mapping[str, Contract], route_by: str | None) -> None:
        """Compile `contracts` (event type -> contract), routed by the property `route_by` if there are several."""
        self._writers = {
            name: _LineWriter(contract) for name, contract in contracts.items() if contract.repair
        }
        self._route_by = route_by if len(contracts) > 1 else None
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
        writer = self._writer(reading)
        return None if writer is None else writer.write(reading, line)

    def _writer(self, reading: Reading) -> _LineWriter | None:
        if self._route_by is None:
            return next(iter(self._writers.values()))
        route = reading.members.get(self._route_by)
        for event_type, writer in self._writers.items():
            if route is not None and route[0] == quote(event_type):
                return writer
        return None


class _LineWriter:
    """Writes the lines of one contract, if they need only the rules that it allows."""

    def __init__(self, contract: Contract) -> None:
        self.columns = Columns(contract)
        self._allowed = {name for name, _ in contract.repair}
        self._patterns = [
            (name, re.compile(pattern)) for name, pattern in contract.repair if pattern is not None
        ]

    def write(self, reading: Reading, line: str) -> bytes | None:
        """Return the repaired line; None if it has no members, contradicts itself or needs a rule not allowed."""
        values: dict[Path, str] = {}
        for key, (json_text, text) in reading.members.items():
            path = (key,) if text is None else self.columns.find(key)
            value = json_text if text is None else self.columns.encoder(path)(text)
            if values.setdefault(path, value) != value:
                return None
        if any([path[:1] in values for path in values if len(path) > 1]):
            return None
        rules = reading.rules | self._fill(values, reading.before)
        if not values or not rules <= self._allowed:
            return None
        names = ",".join(map(quote, sorted(rules)))
        mark = f'"{REPAIRED_KEY}":{{"rules":[{names}],"line":{quote(line)}}}'
        return f"{nested(values)[:-1]},{mark}}}".encode()

    def _fill(self, values: dict[Path, str], before: str) -> set[str]:
        """Add the missing values that the contract's own patterns find in `before`; return the rules that did."""
        rules = set()
        for name, pattern in self._patterns:
            matches = list(pattern.finditer(before))
            if len(matches) != 1:  # which of two would be a guess
                continue
            for group, text in matches[0].groupdict().items():
                path = self.columns.find(group)
                if text and path not in values and path[:1] not in values:
                    values[path] = self.columns.encoder(path)(text)
                    rules.add(name)
        return rules
