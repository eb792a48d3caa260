"""What would become of records: the verdict of the contracts on some of them, without a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sluice.contracts import Contract
from sluice.elements import RecordBatch, Rejected
from sluice.validation.age_limits import AgeLimits
from sluice.validation.decoded_counts import reasons_of
from sluice.validation.records import RecordDecoder


class Reason(NamedTuple):
    """Rejected records of one property and code, with what one of them shows."""

    records: int
    expected: str
    got: str


@dataclass(slots=True)
class Trial:
    """The verdict on some records. Nothing is known of duplicates: a run finds them in the event log."""

    read: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    """By event type."""
    rejected: list[Rejected] = field(default_factory=list)

    def reasons(self) -> dict[str, Reason]:
        """Return the properties and codes of rejected records, the most frequent first."""
        reasons: dict[str, Reason] = {}
        for rejected in self.rejected:
            for name, violation in reasons_of(rejected).items():
                records = reasons[name].records if name in reasons else 0
                reasons[name] = Reason(records + 1, violation.expected, violation.got)
        return dict(sorted(reasons.items(), key=lambda item: (-item[1].records, item[0])))


def try_records(
    contracts: Mapping[str, Contract],
    route_by: str | None,
    batches: Iterable[RecordBatch],
    ages: AgeLimits,
    key: bytes | None = None,
) -> Trial:
    """Return what a run would do with the records of `batches`, which has the same contracts, routing and ages.

    `key` is that of masked properties, if there are any. Pure.
    """
    decoder = RecordDecoder(contracts, route_by, ages, 1, key)
    trial = Trial()
    for batch in batches:
        decoded = decoder.decode(batch)
        trial.read += len(batch.records) + decoded.separated
        for log_key, lines in decoded.events.items():
            trial.accepted[log_key.event_type] += len(lines)
        trial.rejected += decoded.rejected
    return trial
