from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import pytest
from sluice.elements import StepCounts
from sluice.graph.progress import Phase, Progress, Totals, phase_of


def test_progress_of_all_workers_adds_up(tmp_path: Path) -> None:
    progress = Progress(str(tmp_path))
    assert progress.totals() == Totals(0, 0, 0)
    progress.add(100, 10, 1)
    pickle.loads(pickle.dumps(progress)).add(50, 5, 0)
    worker = multiprocessing.get_context("spawn").Process(target=progress.add, args=(1000, 100, 7))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert progress.totals() == Totals(1150, 115, 8)


def test_totals_of_an_instance_that_is_gone_still_count(tmp_path: Path) -> None:
    for number in range(1, 4):
        Progress(str(tmp_path)).add(100, 10, 1)
        assert Progress(str(tmp_path)).totals() == Totals(number * 100, number * 10, number)


def test_what_is_appended_and_loaded_is_written_at_once(tmp_path: Path) -> None:
    progress = Progress(str(tmp_path))
    progress.add_stored(StepCounts({("routed", "order"): 5, ("rejected", "order"): 5}))
    assert list(tmp_path.iterdir()) == []
    progress.add(100, 10, 1)
    assert progress.totals() == Totals(100, 10, 1)
    stored = {("accepted", "order"): 4, ("duplicates", "order"): 2, ("segments", "order"): 1}
    progress.add_stored(StepCounts(stored | {("accepted", "dead_letter"): 1}))
    assert progress.totals() == Totals(100, 10, 1, 6, 2, 0)
    progress.add_stored(StepCounts({("loaded", "order"): 3, ("load_rejected", "order"): 1}))
    assert progress.totals() == Totals(100, 10, 1, 6, 2, 4)
    assert len(list(tmp_path.iterdir())) == 1


def test_file_in_which_nothing_is_yet_counts_for_nothing(tmp_path: Path) -> None:
    progress = Progress(str(tmp_path))
    progress.add(100, 10, 1)
    (tmp_path / "made just now").touch()
    assert progress.totals() == Totals(100, 10, 1)


@pytest.mark.parametrize(
    ("totals", "apart", "phase"),
    [
        (Totals(), False, Phase("reading", "bytes", 0, 500)),
        (Totals(400, 40, 40), True, Phase("reading", "bytes", 400, 500)),
        (Totals(500, 50, 10, 8, 2, 6), False, Phase("storing and loading", "events", 8, 40)),
        (Totals(500, 50, 10, 40, 10, 30), False, Phase("storing and loading", "events", 40, 40)),
        (Totals(500, 50, 10, 39, 10, 0), True, Phase("storing", "events", 39, 40)),
        (Totals(500, 50, 10, 40, 10, 0), True, Phase("loading", "events", 0, 30)),
        (Totals(500, 50, 10, 40, 10, 30), True, Phase("loading", "events", 30, 30)),
        (Totals(0, 0, 0, 0, 0, 7), False, Phase("loading", "events", 7, None)),
    ],
)
def test_phase_is_that_of_the_last_step_that_has_begun(totals: Totals, apart: bool, phase: Phase) -> None:
    assert phase_of(totals, 500, loads_apart=apart) == phase
