"""Load segments into a warehouse: each at most once, its 10-second counts with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.transforms.window import TimestampedValue
from apache_beam.typehints import with_output_types

from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import count_events
from sluice.clock import Clock
from sluice.config.job import Job
from sluice.contracts import Contract
from sluice.elements import (
    DEAD_LETTER,
    Acks,
    LoadRequest,
    Rejected,
    Segment,
    StepCounts,
    StoredSegment,
    Violation,
)
from sluice.eventlog.log import EventLog
from sluice.provenance import Origin
from sluice.retry import RetryPolicy
from sluice.sources.acknowledgements import PENDING_ACKS
from sluice.telemetry import FIGURES
from sluice.validation.deduplication_keys import compile_deduplication_key
from sluice.warehouses import SegmentLoad, Warehouse


class CompleteAcks(beam.PTransform):
    """`read`: ignored; by any other name Receipts: settles them in `live.RECEIPTS`, where the source is told.

    For runs whose source and steps share a process; where sources issue no tickets there is nothing to settle.
    """

    def expand(self, inputs: dict[str, beam.PCollection[Any]]) -> tuple[beam.PCollection[None], ...]:
        """Settle what each step has stored."""
        return tuple(
            each | f"Settle {name}" >> beam.Map(_settle) for name, each in inputs.items() if name != "read"
        )


def _settle(acks: Acks) -> None:
    PENDING_ACKS.settle(acks)  # looked up in the worker: it does not travel


@with_output_types(StepCounts, rejected=list[Rejected], acks=Acks)
class LoadSegments(beam.DoFn):
    """Offer -> Tally of each segment; `rejected`: a list of Rejected, the rows that the warehouse refused; `receipts`.

    A segment of this run counts as `loaded` and `refused`; one that an earlier run stored but did not get to
    load counts as `recovered`, its refused rows as `resent`. One that the warehouse has is skipped; its refused
    rows are told again, so that a crash between load and dead letter loses none. A warehouse that fails is
    asked again for as long as `patience` lasts; then the bundle fails.

    The offer's receipts come as `receipts` when all is loaded; if rows were refused, with their dead letters.
    """

    REJECTED = "rejected"
    PENDING_ACKS = "acks"

    def __init__(
        self,
        warehouse: Warehouse,
        contracts: Mapping[str, Contract],
        log: EventLog,
        job: Job,
        clock: Clock,
        retry: RetryPolicy,
        *,
        recover: bool = False,
        letters: bool = False,
    ) -> None:
        """`contracts` are as their tables take them; `job` says what is loaded, and the width of the counts.

        `clock` tells when rows are ingested.

        What the job does not load stays in the log alone. For the ledger, events are loaded if their counts are.

        With `recover` every segment counts as one of an earlier run. A refused row of `letters` does not become
        a letter again: it stays in the log of the letters, and in the ledger.
        """
        self._recover = recover
        self._letters = letters
        self._retry = retry
        self._warehouse = warehouse
        self._contracts = {
            name: contract
            for name, contract in contracts.items()
            if name != DEAD_LETTER or "dead_letters" in job.load
        }
        self._load_rows = "events" in job.load
        self._load_counts = "counts" in job.load
        self._log = log
        self._job_contracts = job.contracts
        self._window = job.windows.counts
        self._clock = clock

    def setup(self) -> None:
        """Compile how identities are read back."""
        # A table may lack a property that its contract has, so the identity is that of the contract itself.
        contracts = {**self._contracts, **self._job_contracts}
        self._identities = {name: compile_deduplication_key(contract) for name, contract in contracts.items()}

    def process(self, offer: LoadRequest) -> Iterator[Any]:
        """Load the segments of one offer, but for those that the warehouse has."""
        rejected: list[Rejected] = []
        for offered in offer.segments:
            if (
                offered.event_type in self._contracts
            ):  # else it is kept in the log alone, as marks of letters are
                yield from self._load_one(offered, rejected)
        if self._letters or not rejected:
            if offer.acks:
                yield pvalue.TaggedOutput(self.PENDING_ACKS, offer.acks)
        else:
            rejected[0] = replace(rejected[0], acks=offer.acks)
            yield pvalue.TaggedOutput(self.REJECTED, TimestampedValue(rejected, self._clock()))

    def _load_one(self, offered: Segment | StoredSegment, rejected: list[Rejected]) -> Iterator[StepCounts]:
        event_type = offered.event_type
        new = isinstance(offered, Segment) and not self._recover
        row_errors = self._retry(lambda: self._warehouse.row_errors(offered.id, offered.minute))
        known = row_errors is not None
        if known and not new and not row_errors:
            return
        segment = (
            offered if isinstance(offered, Segment) else self._retry(lambda: self._log.read(offered.path))
        )
        if row_errors is None:
            row_errors = self._retry(lambda: self._load(segment))
        loaded = len(segment.lines) - len(row_errors)
        if new:
            yield StepCounts({("loaded", event_type): loaded, ("load_rejected", event_type): len(row_errors)})
        else:
            yield StepCounts(
                {
                    ("backfilled", event_type): 0 if known else loaded,
                    ("backfill_rejected", event_type): len(row_errors),
                }
            )
        rejected += (self._rejected(segment, index, reason) for index, reason in row_errors)

    def _rejected(self, segment: Segment, index: int, reason: str) -> Rejected:
        contract = self._contracts[segment.event_type]
        violation = Violation("rejected_by_warehouse", "", f"a row that {contract.table} takes", reason)
        return Rejected(
            record=segment.lines[index],
            origin=Origin(uri=segment.path, arrival=segment.minute, line=index + 1, offset=index),
            step="load",
            violations=(violation,),
            event_type=segment.event_type,
            contract=contract.label,
            event_time=datetime.fromtimestamp(segment.minute, UTC),
        )

    def _load(self, segment: Segment) -> list[tuple[int, str]]:
        contract = self._contracts[segment.event_type]
        identity = self._identities[segment.event_type]
        ingested_at = datetime.fromtimestamp(self._clock(), UTC)
        ids = [identity(line).hex() for line in segment.lines]
        table, row_errors = to_table(contract, segment, ids, ingested_at)
        windows = count_events(contract, table, self._window)
        rows = table if self._load_rows or segment.event_type == DEAD_LETTER else table.slice(0, 0)
        counted = windows if self._load_counts else []
        all_refused = self._warehouse.load(
            SegmentLoad(contract, segment, rows, row_errors, counted, ingested_at)
        )
        if not self._letters:
            FIGURES.add_windows(segment.event_type, windows)
        return all_refused
