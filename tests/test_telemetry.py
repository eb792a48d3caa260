from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from sluice import telemetry as metrics
from sluice.arrow.window_counts import WindowCount
from sluice.elements import DEAD_LETTER, StepCounts
from sluice.sources import acknowledgements as live
from sluice.telemetry import Figures, measure, registry

SECOND = 1_000_000


def test_figures_are_summed_without_dead_letters() -> None:
    figures = Figures()
    figures.add(StepCounts({("accepted", "order"): 3, ("accepted", DEAD_LETTER): 7}))
    figures.add(StepCounts({("accepted", "order"): 1, ("accepted", "view"): 2}))
    assert figures.counts() == {("accepted", "order"): 4, ("accepted", "view"): 2}
    assert figures.total("accepted") == 6


def test_window_counts_are_summed_and_only_the_latest_kept() -> None:
    figures = Figures()
    for start in range(100):
        figures.add_windows("order", [WindowCount(start * SECOND, (start + 1) * SECOND, 2)])
    figures.add_windows("view", [WindowCount(99 * SECOND, 100 * SECOND, 5)])
    figures.add_windows("order", [WindowCount(99 * SECOND, 100 * SECOND, 1)])
    assert figures.windows(2) == [
        (98 * SECOND, 99 * SECOND, {"order": 2}),
        (99 * SECOND, 100 * SECOND, {"order": 3, "view": 5}),
    ]
    assert len(figures.windows(1000)) == 60


def test_step_counts_are_exported_and_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    pending_acks = live.PendingAcks(lambda: 5.0)
    pending_acks.issue(4, 40, lambda: None)
    monkeypatch.setattr(metrics, "FIGURES", Figures())
    monkeypatch.setattr(metrics, "PENDING_ACKS", pending_acks)
    monkeypatch.setattr(metrics, "BACKLOG", live.Backlog())
    tally = StepCounts({("read", ""): 9, ("accepted", "order"): 3, ("code", "enum"): 2})
    assert measure(tally) is tally
    metrics.FIGURES.add_windows("order", [WindowCount(10 * SECOND, 20 * SECOND, 3)])
    served = generate_latest(registry()).decode().splitlines()
    assert [line for line in served if not line.startswith("#")] == [
        "sluice_read_total 9.0",
        "sluice_bytes_total 0.0",
        'sluice_accepted_total{event_type="order"} 3.0',
        'sluice_rejected_by_code_total{code="enum"} 2.0',
        "sluice_unacknowledged_records 4.0",
        "sluice_unacknowledged_bytes 40.0",
        "sluice_oldest_unacknowledged_seconds 0.0",
        "sluice_loaded_until_seconds 20.0",
    ]
