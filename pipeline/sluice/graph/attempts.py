"""What the graphs of one streaming run counted, added up: a run starts its graph again when its runner has ended.

A graph whose runner ended leaves records behind that it has read and not stored. They were not acknowledged, so their
source delivers them to the next graph, which reads them again. They must not be counted twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sluice.elements import StepCounts, add_step_counts
from sluice.graph.ledger import LOST_DEAD_LETTERS, REREAD, dead_letter_gap
from sluice.source_tallies import settled_tally


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one graph of a run counted; `unacknowledged` records were left behind if it was `interrupted`."""

    counts: StepCounts
    interrupted: bool
    unacknowledged: int


def add_attempts(attempts: Sequence[Attempt]) -> StepCounts:
    """Return the sum of what all graphs counted, without the records that an interrupted one has left behind."""
    return add_step_counts(
        _without_reread(attempt) if attempt.interrupted else attempt.counts for attempt in attempts
    )


def not_read_again(attempts: Sequence[Attempt]) -> list[str]:
    """Return a warning if the run was drained before it has read again what an interrupted graph left behind."""
    left = max((attempt.unacknowledged for attempt in attempts if attempt.interrupted), default=0)
    if attempts[-1].interrupted or attempts[-1].counts.counts.get(("read", ""), 0) >= left:
        return []
    return [
        f"the run was drained before all of {left:,} records that were not stored when the runner ended were read "
        "again; they were not acknowledged, and the next run reads them"
    ]


def _without_reread(attempt: Attempt) -> StepCounts:
    """Return the counts of a graph without what it left behind, which is counted as REREAD.

    If that is more than what was not acknowledged, a record was lost: the counts stay, and so do not reconcile.
    """
    counts = Counter(attempt.counts.counts)
    left = {name: _left(counts, name) for figure, name in attempt.counts.counts if figure == "routed"}
    undecoded = counts["read", ""] - sum(
        number for (figure, _), number in counts.items() if figure == "routed"
    )
    reread = undecoded + sum(left.values())
    gap = dead_letter_gap(counts)
    if min(undecoded, gap, *left.values()) < 0 or reread > attempt.unacknowledged:
        return attempt.counts
    for name, number in left.items():
        counts["routed", name] -= number
    counts["read", ""] -= reread
    counts[REREAD] += reread
    counts[LOST_DEAD_LETTERS] += gap
    sources = {source: settled_tally(tally) for source, tally in attempt.counts.sources.items()}
    return replace(attempt.counts, counts=dict(counts), sources=sources)


def _left(counts: Counter[tuple[str, str]], name: str) -> int:
    """Return how many records of one type were decoded, and are neither stored nor known to be stored."""
    return counts["routed", name] - sum(
        counts[figure, name] for figure in ("accepted", "duplicates", "rejected")
    )
