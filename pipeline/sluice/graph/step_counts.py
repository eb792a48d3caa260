"""Sum step counts on any runner."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam

from sluice.elements import StepCounts, StepCountsSum


class SumStepCounts(beam.CombineFn):
    """StepCounts -> their sum. It adds up in place: a run of 10,000 files has as many sources."""

    def create_accumulator(self) -> StepCountsSum:
        """Begin with nothing counted."""
        return StepCountsSum()

    def add_input(self, total: StepCountsSum, step_counts: StepCounts) -> StepCountsSum:
        """Add what one step did."""
        total.add(step_counts)
        return total

    def merge_accumulators(self, totals: Iterable[StepCountsSum]) -> StepCountsSum:
        """Return the sum of sums."""
        merged = StepCountsSum()
        for total in totals:
            merged.add(total.total())
        return merged

    def extract_output(self, total: StepCountsSum) -> StepCounts:
        """Return the sum."""
        return total.total()
