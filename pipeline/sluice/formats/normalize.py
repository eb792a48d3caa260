"""Record as received -> the line of JSON that is validated against its contract.

Most records are that line already. Rows of a CSV file become objects, a record without an event time gets its time
of arrival if its contract says so, properties are filled from its source, and a malformed log line is repaired by its
contract's rules. No Beam, no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from sluice.contracts import Contract
from sluice.elements import RecordBatch, Violation
from sluice.formats.csv_conversion import RowConverter
from sluice.formats.json_recovery import BLANK
from sluice.formats.json_syntax import NOT_JSON
from sluice.formats.repair import LineRepairer
from sluice.formats.source_values import SourceValues
from sluice.provenance import CsvDialect

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Normalizer:
    """Turns records into lines, for the contracts of one job."""

    def __init__(self, contracts: Mapping[str, Contract], route_by: str | None) -> None:
        """Compile `contracts` (event type -> contract); one with `eventTimeDefault` or `fromSource` stands alone."""
        self._contracts, self._route_by = contracts, route_by
        self._converters: dict[CsvDialect, RowConverter] = {}
        self._repair = LineRepairer(contracts, route_by).repair
        self._can_repair = any(contract.repair for contract in contracts.values())
        self._default_time_key = next(
            (contract.event_time for contract in contracts.values() if contract.event_time_from_arrival), None
        )

        self._source_values = next(
            (SourceValues(contract) for contract in contracts.values() if contract.from_source), None
        )

    def lines(self, batch: RecordBatch) -> tuple[Sequence[bytes], Mapping[int, Violation]]:
        """Return a line for each record, and by index why some records have none; their lines are empty."""
        lines: Sequence[bytes] = batch.records
        violations: Mapping[int, Violation] = {}
        if batch.dialect is not None:
            if batch.dialect not in self._converters:
                self._converters[batch.dialect] = RowConverter(batch.dialect, self._contracts, self._route_by)
            lines, violations = self._converters[batch.dialect].convert(batch.records)
        if self._default_time_key is not None:
            lines = [
                self.with_event_time(line, batch.origin(index).arrival) for index, line in enumerate(lines)
            ]
        if self._source_values is not None:
            lines = self._source_values.fill(lines, batch.provenance)
        return lines, violations

    def repaired(self, batch: RecordBatch, index: int) -> bytes | None:
        """Return the line of a record that is no JSON object; None if it is one, or cannot be repaired."""
        if not self._can_repair or _is_object(batch.records[index]):
            return None
        line = self._repair(batch.records[index])
        if line is None or (self._source_values is None and self._default_time_key is None):
            return line
        origin = batch.origin(index)
        if self._source_values is not None:
            line = self._source_values.fill_line(line, origin.uri)
        return self.with_event_time(line, origin.arrival)

    def with_event_time(self, line: bytes, arrival: float) -> bytes:
        """Return an object with `arrival` (epoch seconds) as its event time, if it needs one and has none."""
        if self._default_time_key is None or self._has_time(line):
            return line
        body = line.rstrip()
        if not body.lstrip().startswith(b"{") or not body.endswith(b"}"):
            return line
        body = body[:-1].rstrip()
        time = datetime.fromtimestamp(arrival, UTC).isoformat().replace("+00:00", "Z")
        member = msgspec.json.encode(self._default_time_key) + b':"' + time.encode() + b'"}'
        return body + (b"" if body.endswith(b"{") else b",") + member

    def _has_time(self, line: bytes) -> bool:
        if msgspec.json.encode(self._default_time_key) not in line:
            return False
        try:
            return self._default_time_key in _decode_object(line)
        except NOT_JSON:
            return True


def _is_object(record: bytes) -> bool:
    text = record.strip(BLANK)
    if not (text.startswith(b"{") and text.endswith(b"}")):
        return False
    try:
        _decode_object(record)
    except NOT_JSON:
        return False
    return True
