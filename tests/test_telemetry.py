from __future__ import annotations

from sluice.elements import DEAD_LETTER, StepCounts
from sluice.telemetry import RunTotals, StepTotals, figure_sums, measure
from sluice.timeline import WindowEvents

SECOND = 1_000_000


def loaded(start: int, event_type: str, events: int) -> StepCounts:
    return StepCounts({}, windows=[WindowEvents(start * SECOND, (start + 1) * SECOND, event_type, events)])


def test_totals_add_up_and_dead_letters_are_not_events() -> None:
    totals = RunTotals()
    totals.add(StepCounts({("accepted", "order"): 3, ("accepted", DEAD_LETTER): 7}))
    totals.add(StepCounts({("accepted", "order"): 1, ("accepted", "view"): 2}))
    assert totals.counts() == {("accepted", "order"): 4, ("accepted", "view"): 2}
    assert figure_sums(totals.counts())["accepted"] == 6


def test_windows_of_several_segments_add_up_and_only_the_latest_are_kept() -> None:
    totals = RunTotals()
    for start in range(100):
        totals.add(loaded(start, "order", 2))
    totals.add(loaded(99, "view", 5))
    totals.add(loaded(99, "order", 1))
    assert totals.windows(2) == [
        (98 * SECOND, 99 * SECOND, {"order": 2}),
        (99 * SECOND, 100 * SECOND, {"order": 3, "view": 5}),
    ]
    assert len(totals.windows(1000)) == 60


def test_measured_step_counts_are_returned_and_in_the_totals() -> None:
    totals, step_counts = RunTotals(), StepCounts({("read", ""): 9})
    assert measure(step_counts, totals) is step_counts
    assert figure_sums(totals.counts())["read"] == 9


def test_names_from_the_data_are_bounded_and_their_sum_is_exact() -> None:
    totals = RunTotals()
    for name in range(1000):
        totals.add(StepCounts({("unknown_type", str(name % 500)): 1 + name % 3, ("accepted", str(name)): 1}))
    names = [name for figure, name in totals.counts() if figure == "unknown_type"]
    assert len(names) == 21
    assert "(others)" in names
    assert figure_sums(totals.counts())["unknown_type"] == sum(1 + name % 3 for name in range(1000))
    assert figure_sums(totals.counts())["accepted"] == 1000


def test_step_totals_are_the_sum_of_everything() -> None:
    totals = StepTotals()
    for counts in (
        StepCounts({("accepted", DEAD_LETTER): 2}, 0.0, 5.0),
        StepCounts({("accepted", DEAD_LETTER): 1, ("read", ""): 4}),
        StepCounts({("read", ""): 1}, 3.0, 9.0),
    ):
        totals.add(counts)
    assert totals.total() == StepCounts({("accepted", DEAD_LETTER): 3, ("read", ""): 5}, 0.0, 9.0)
