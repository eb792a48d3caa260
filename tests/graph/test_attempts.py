"""Figures of runs whose runner ended: every way in which a graph can be cut off between two of its steps."""

from __future__ import annotations

import itertools

import pytest
from sluice.elements import StepCounts
from sluice.graph.attempts import Attempt, add_attempts, not_read_again
from sluice.graph.ledger import Report, make_report

Counts = dict[tuple[str, str], int]


def report(*attempts: Attempt) -> Report:
    return make_report(add_attempts(attempts), job="j", run_id="r", started=0, seconds=1)


def counts_of(read: int, routed: int, accepted: int, loaded: int, rejected: int, dead_letters: int) -> Counts:
    """A graph that read so many records; each step has done so many of them. `routed` includes rejected."""
    return {
        ("read", ""): read,
        ("routed", "a"): routed,
        ("accepted", "a"): accepted,
        ("loaded", "a"): loaded,
        ("rejected", "a"): rejected,
        ("code", "enum"): rejected,
        ("accepted", "dead_letter"): dead_letters,
    }


CUTS = [
    (read, routed, accepted, loaded, rejected, dead_letters)
    for read, routed, accepted, loaded, rejected, dead_letters in itertools.product(
        (0, 9, 10), (0, 9), (0, 4, 7), (0, 4, 7), (0, 2), (0, 1, 2)
    )
    if read >= routed >= accepted + rejected and accepted >= loaded and rejected >= dead_letters
]


@pytest.mark.parametrize("cut", CUTS)
def test_graph_that_was_cut_off_anywhere_reconciles_with_the_next_one(cut: tuple[int, ...]) -> None:
    read, _, accepted, loaded, rejected, dead_letters = cut
    first = Attempt(StepCounts(counts_of(*cut)), interrupted=True, unacknowledged=10 - loaded - dead_letters)
    again = counts_of(
        10, 10, 7 - accepted, 7 - loaded, 3, 3
    )  # what was accepted and not loaded is loaded now
    again["duplicates", "a"] = accepted
    made = report(first, Attempt(StepCounts(again), interrupted=False, unacknowledged=0))
    assert made.reconciled
    assert (made.accepted, made.loaded, made.duplicates, made.rejected) == (7, 7, accepted, rejected + 3)
    assert (made.read, made.reread) == (10 + accepted + rejected, read - accepted - rejected)
    assert made.by_type["a"].reconciled


def test_record_that_was_acknowledged_and_not_stored_does_not_reconcile() -> None:
    counts = StepCounts(counts_of(10, 10, 7, 7, 2, 2))
    assert report(Attempt(counts, interrupted=True, unacknowledged=1)).reconciled
    assert not report(Attempt(counts, interrupted=True, unacknowledged=0)).reconciled


def test_last_graph_must_have_stored_all_that_it_read() -> None:
    counts = StepCounts(counts_of(10, 10, 7, 7, 2, 2))
    assert not report(Attempt(counts, interrupted=False, unacknowledged=1)).reconciled


@pytest.mark.parametrize(
    "figure", [("accepted", "a"), ("rejected", "a"), ("accepted", "dead_letter"), ("routed", "a")]
)
def test_figure_that_is_higher_than_it_can_be_does_not_reconcile(figure: tuple[str, str]) -> None:
    counts = counts_of(10, 10, 7, 7, 3, 3)
    assert report(Attempt(StepCounts(counts), interrupted=True, unacknowledged=9)).reconciled
    counts[figure] += 1
    assert not report(Attempt(StepCounts(counts), interrupted=True, unacknowledged=9)).reconciled


def test_graph_that_read_nothing_adds_nothing() -> None:
    made = report(Attempt(StepCounts({}), interrupted=True, unacknowledged=0))
    assert (made.reconciled, made.read, made.reread) == (True, 0, 0)


@pytest.mark.parametrize(("read", "warnings"), [(4, 1), (5, 0)])
def test_drain_before_all_is_read_again_is_a_warning(read: int, warnings: int) -> None:
    left = Attempt(StepCounts({("read", ""): 9}), interrupted=True, unacknowledged=5)
    last = Attempt(StepCounts({("read", ""): read}), interrupted=False, unacknowledged=0)
    warning = (
        "the run was drained before all of 5 records that were not stored when the runner ended were read again; "
        "they were not acknowledged, and the next run reads them"
    )
    assert not_read_again([left, last]) == [warning] * warnings


def test_run_that_was_not_interrupted_has_no_such_warning() -> None:
    assert not_read_again([Attempt(StepCounts({}), interrupted=False, unacknowledged=0)]) == []
