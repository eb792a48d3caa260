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


def test_worker_writes_its_progress_five_times_a_second(tmp_path: Path) -> None:
    now = [0.0]
    progress = Progress(str(tmp_path), lambda: now[0])
    progress.add(1, 1, 0)
    now[0] = 0.19
    progress.add(1, 1, 0)
    assert progress.totals() == Totals(1, 1, 0)
    now[0] = 0.2
    progress.add(1, 1, 1)
    assert progress.totals() == Totals(3, 3, 1)


def test_what_is_appended_and_loaded_is_written_at_once(tmp_path: Path) -> None:
    progress = Progress(str(tmp_path), lambda: 0.0)
    progress.add_stored(StepCounts({("routed", "order"): 5, ("rejected", "order"): 5}))
    assert list(tmp_path.iterdir()) == []
    progress.add(100, 10, 1)
    stored = {("accepted", "order"): 4, ("duplicates", "order"): 2, ("segments", "order"): 1}
    progress.add_stored(StepCounts(stored | {("accepted", "dead_letter"): 1}))
    progress.add_stored(StepCounts({("loaded", "order"): 3, ("load_rejected", "order"): 1}))
    assert progress.totals() == Totals(100, 10, 1, 6, 2, 4)


def test_totals_are_replaced_as_a_whole(tmp_path: Path) -> None:
    progress = Progress(str(tmp_path), lambda: 0.0)
    progress.add(100, 10, 1)
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    (tmp_path / f".{path.name}").write_bytes(before[:9])  # of a worker that died
    with path.open("rb") as reader:
        progress.add_stored(StepCounts({("accepted", "order"): 4}))
        assert reader.read() == before
    assert progress.totals() == Totals(100, 10, 1, 4, 0, 0)
    assert list(tmp_path.iterdir()) == [path]


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
