"""Conflicting duplicates: events that were not stored, since the log has their key with other content.

Nothing of them would be left if they were dropped as duplicates, so each becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import TimestampedValue
from apache_beam.typehints import with_output_types

from sluice.clock import Clock
from sluice.contracts import Contract
from sluice.elements import ConflictingLine, Rejected, Violation
from sluice.provenance import Origin
from sluice.validation.explainer import read_event_time
from sluice.validation.records import PARTITION_MINUTES


@with_output_types(list[Rejected])
class RejectConflicts(beam.DoFn):
    """Conflicting lines of one append -> a list of Rejected, at the time of rejection."""

    def __init__(self, contracts: Mapping[str, Contract], clock: Clock) -> None:
        """`contracts` are by event type."""
        self._contracts = contracts
        self._clock = clock

    def process(self, lines: Sequence[ConflictingLine]) -> Iterator[Any]:
        """Reject one list."""
        yield TimestampedValue(list(map(self._rejected, lines)), self._clock())

    def _rejected(self, conflicting: ConflictingLine) -> Rejected:
        event_type, minute, _ = conflicting.log_key
        contract = self._contracts[event_type]
        stored, content = conflicting.stored_content.hex(), conflicting.content.hex()
        violation = Violation(
            "conflict", "", f"content {stored}, as its key {conflicting.key.hex()} has it in {conflicting.segment}",
            f"content {content}",
        )  # fmt: skip
        return Rejected(
            record=conflicting.line,
            origin=Origin(conflicting.uri, arrival=minute),
            step="append",
            violations=(violation,),
            event_type=event_type,
            contract=contract.label,
            event_time=read_event_time(contract, conflicting.line),
            partition_minutes=PARTITION_MINUTES[contract.log_partition],
            acks=conflicting.acks,
            identity=b"conflict\0%b/%d/%b%b"
            % (event_type.encode(), minute, conflicting.key, conflicting.content),
        )
