"""What the launcher prepares for the graph of one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import apache_beam as beam

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.contracts import Contract
from sluice.dead_letters.log import DeadLetterLog
from sluice.elements import DEAD_LETTER, REDELIVERY, SOURCE_FILE
from sluice.eventlog.log import EventLog
from sluice.eventlog.source_manifest import SourceManifest
from sluice.graph.load import BackfillSegments, LoadDeadLetters, LoadSegments
from sluice.graph.load_days import BackfillDays, LoadDays
from sluice.graph.progress import Progress
from sluice.graph.segment_loader import SegmentLoader
from sluice.graph.shuffle import Spill
from sluice.graph.windowing import Windowing
from sluice.retry import RetryPolicy
from sluice.run_state import RunHandle
from sluice.validation.age_limits import AgeLimits
from sluice.warehouses import Coalescing, LoadCost, Warehouse


@dataclass(frozen=True)
class RunContext:
    """What the graph needs besides the job: opened logs, a prepared warehouse, limits, a clock."""

    log: EventLog
    dead_letters: DeadLetterLog
    warehouse: Warehouse
    tables: Mapping[str, Contract]
    """Event type, that of dead letters included, -> its contract as its table takes it: see `tables.fit_to_table`."""
    ages: AgeLimits
    event_windowing: Windowing
    dead_letter_windowing: Windowing
    totals_url: str
    clock: Clock
    retry: RetryPolicy
    handle: RunHandle
    acknowledge: beam.PTransform
    """Takes what was `read`, and the acks of what is stored; acknowledges it at the source."""
    manifest: SourceManifest
    progress: Progress | None = None
    spill: Spill | None = None
    in_process: bool = False
    """All steps are in the launcher's process, and none is repeated: they count there."""

    @property
    def counting_handle(self) -> RunHandle | None:
        """The handle, for steps that count in the launcher's process; None if they do not."""
        return self.handle if self.in_process else None

    @property
    def coalesced_loads(self) -> LoadCost | None:
        """What one load uses, if the segments of a day are loaded together: the source ends, and the warehouse can.

        Some records of a source without an end are loaded as its job loads them, which may do so at the same time: two
        loads of a segment are recognized as the same only if both are of that segment alone.
        """
        warehouse, source_ends = self.warehouse, self.ages.started is not None
        if not source_ends or not isinstance(warehouse, Coalescing) or not warehouse.coalesces:
            return None
        return warehouse.load_cost

    @property
    def coalesced_logs(self) -> LoadCost | None:
        """What one load of `sluice load` uses, if it loads the segments of a day together."""
        warehouse = self.warehouse
        return warehouse.load_cost if isinstance(warehouse, Coalescing) and warehouse.coalesces_logs else None

    def load_events(self, job: Job) -> beam.PTransform:
        """Return the step that loads the segments of events: LoadRequest -> step counts; `rejected`; `acks`."""
        if self.coalesced_loads is not None:
            return LoadDays(self.event_loader(job), self.clock)
        step = LoadSegments(self.event_loader(job), self.clock, self.counting_handle)
        return beam.ParDo(step).with_outputs(LoadSegments.REJECTED, LoadSegments.ACKS, main="step_counts")

    def load_dead_letters(self, job: Job) -> beam.PTransform:
        """Return the step that loads the segments of dead letters: LoadRequest -> step counts; `acks`."""
        if self.coalesced_loads is not None:
            return LoadDays(self.dead_letter_loader(job), self.clock, counts_alone=True)
        step = LoadDeadLetters(self.dead_letter_loader(job), self.counting_handle)
        return beam.ParDo(step).with_outputs(LoadDeadLetters.ACKS, main="step_counts")

    def backfill(self, loader: SegmentLoader) -> beam.PTransform:
        """Return the step that loads what the warehouse lacks: Segment -> step counts; `rejected`."""
        if self.coalesced_logs is not None:
            return BackfillDays(loader, self.clock)
        return beam.ParDo(BackfillSegments(loader, self.clock)).with_outputs(
            BackfillSegments.REJECTED, main="step_counts"
        )

    def event_loader(self, job: Job, *, retries_rejected: bool = False) -> SegmentLoader:
        """Return what loads the segments of events, and with `retries_rejected` rows that were rejected before."""
        return self._loader(job, self.log, job.contracts, retries_rejected)

    def dead_letter_loader(self, job: Job, *, retries_rejected: bool = False) -> SegmentLoader:
        """Return what loads the segments of dead letters and redeliveries, and perhaps rows rejected before."""
        return self._loader(job, self.dead_letters, (DEAD_LETTER, REDELIVERY), retries_rejected)

    def manifest_loader(self, job: Job, *, retries_rejected: bool = False) -> SegmentLoader:
        """Return what loads the segments of the manifest of sources, and perhaps rows that were rejected before."""
        return self._loader(job, self.manifest.log, (SOURCE_FILE,), retries_rejected)

    def _loader(
        self, job: Job, log: EventLog, event_types: Iterable[str], retries_rejected: bool
    ) -> SegmentLoader:
        tables = {name: self.tables[name] for name in event_types}
        return SegmentLoader(
            self.warehouse, tables, log, job, self.clock, self.retry, retries_rejected=retries_rejected
        )
