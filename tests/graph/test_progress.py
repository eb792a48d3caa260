from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

from sluice.graph.progress import Progress, Totals


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
