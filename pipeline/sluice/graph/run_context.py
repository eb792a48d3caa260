"""What the launcher prepares for the graph of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import apache_beam as beam

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.contracts import Contract
from sluice.elements import DEAD_LETTER
from sluice.eventlog.log import EventLog
from sluice.graph.progress import Progress
from sluice.graph.segment_loader import SegmentLoader
from sluice.graph.shuffle import Spill
from sluice.graph.windowing import Windowing
from sluice.retry import RetryPolicy
from sluice.run_state import RunHandle
from sluice.validation.age_limits import AgeLimits
from sluice.warehouses import Warehouse


@dataclass(frozen=True)
class RunContext:
    """What the graph needs besides the job: opened logs, a prepared warehouse, limits, a clock."""

    log: EventLog
    dead_letters: EventLog
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
    progress: Progress | None = None
    spill: Spill | None = None
    in_process: bool = False
    """All steps are in the launcher's process, and none is repeated: they count there."""

    @property
    def counting_handle(self) -> RunHandle | None:
        """The handle, for steps that count in the launcher's process; None if they do not."""
        return self.handle if self.in_process else None

    def event_loader(self, job: Job) -> SegmentLoader:
        """Return what loads the segments of events."""
        tables = {name: self.tables[name] for name in job.contracts}
        return SegmentLoader(self.warehouse, tables, self.log, job, self.clock, self.retry)

    def dead_letter_loader(self, job: Job) -> SegmentLoader:
        """Return what loads the segments of dead letters."""
        tables = {DEAD_LETTER: self.tables[DEAD_LETTER]}
        return SegmentLoader(self.warehouse, tables, self.dead_letters, job, self.clock, self.retry)
