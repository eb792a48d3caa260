"""Record as it came -> the line of JSON that is held against its contract.

Most records are that line already. Rows of a CSV file become objects, a record of a stamped contract gets its
arrival as event time, and a damaged log line is mended if its contract says how. Pure: no Beam, no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from sluice.contracts import Contract
from sluice.elements import CsvDialect, RecordBatch, Violation
from sluice.formats.csv_rows import RowConverter
from sluice.formats.repair import Mender

_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Normalizer:
    """Prepares the records of a job's contracts."""

    def __init__(self, contracts: Mapping[str, Contract], route_by: str | None) -> None:
        """Compile what the contracts ask for; a stamped contract is the job's only one."""
        self._contracts, self._route_by = contracts, route_by
        self._converters: dict[CsvDialect, RowConverter] = {}
        self._mend = Mender(contracts, route_by).mend
        self._mends = any(contract.repair for contract in contracts.values())
        event_time_from_arrival = [
            contract.event_time for contract in contracts.values() if contract.event_time_from_arrival
        ]
        self._stamp = event_time_from_arrival[0] if event_time_from_arrival else None

    def lines(self, batch: RecordBatch) -> tuple[Sequence[bytes], Mapping[int, Violation]]:
        """Return a line for each record, and why, by index, some records are none; those lines are empty."""
        lines: Sequence[bytes] = batch.records
        broken: Mapping[int, Violation] = {}
        if batch.dialect is not None:
            if batch.dialect not in self._converters:
                self._converters[batch.dialect] = RowConverter(batch.dialect, self._contracts, self._route_by)
            lines, broken = self._converters[batch.dialect].convert(batch.records)
        if self._stamp is not None:
            lines = [
                self.event_time_from_arrival(line, batch.origin(index).arrival)
                for index, line in enumerate(lines)
            ]
        return lines, broken

    def mended(self, batch: RecordBatch, index: int) -> bytes | None:
        """Return the line of a record that is no JSON object; None if it is one, or cannot be mended."""
        if not self._mends or _is_object(batch.records[index]):
            return None
        line = self._mend(batch.records[index])
        if line is None or self._stamp is None:
            return line
        return self.event_time_from_arrival(line, batch.origin(index).arrival)

    def event_time_from_arrival(self, line: bytes, arrival: float) -> bytes:
        """Return an object with its arrival (epoch seconds) as event time, if it must have one and has none."""
        if self._stamp is None or self._has_time(line):
            return line
        body = line.rstrip()
        if not body.lstrip().startswith(b"{") or not body.endswith(b"}"):
            return line
        body = body[:-1].rstrip()
        time = datetime.fromtimestamp(arrival, UTC).isoformat().replace("+00:00", "Z")
        member = msgspec.json.encode(self._stamp) + b':"' + time.encode() + b'"}'
        return body + (b"" if body.endswith(b"{") else b",") + member

    def _has_time(self, line: bytes) -> bool:
        if msgspec.json.encode(self._stamp) not in line:
            return False
        try:
            return self._stamp in _object(line)
        except (*_NOT_JSON, msgspec.ValidationError):
            return True


def _is_object(record: bytes) -> bool:
    try:
        _object(record)
    except (*_NOT_JSON, msgspec.ValidationError):
        return False
    return True
