"""Two streaming runs in one process, one after the other: the second knows nothing of the first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sluice.clock import Clock
from sluice.config.job import Job, load_job
from sluice.graph.ledger import Report
from sluice.run_state import RunState
from sluice.runtime.launch import run_job
from sluice.runtime.observers import SilentObserver
from sluice.telemetry import figure_sums

from devservers.kafka import KafkaTopic
from devservers.waiting import wait_until
from tests.runtime.repeated_runs import EVENT, changed, process_settings

pytestmark = pytest.mark.alone

WHILE_THREADS_WORK = {"thread excepthook", "sdk_worker.print"}
"""What stays so long as threads of Beam have not noticed the end of their run: tests/runtime/test_process_settings.py
has the moments."""


class DrainOnceLoaded(SilentObserver):
    """Drains a run when it has loaded so many events, and keeps what its figures were at its beginning."""

    def __init__(self, events: int) -> None:
        self.events = events
        self.read_before = -1
        self.draining_before = True

    def watch_streaming(self, _job: Job, run: RunState, _clock: Clock) -> AbstractContextManager[None]:
        self.read_before = figure_sums(run.totals.counts())["read"]
        self.draining_before = run.draining.is_set()
        return self._drain(run)

    @contextmanager
    def _drain(self, run: RunState) -> Iterator[None]:
        ended = threading.Event()

        def watch() -> None:
            wait_until(
                lambda: ended.is_set() or figure_sums(run.totals.counts())["loaded"] >= self.events,
                f"{self.events} events are loaded, or the run ends",
            )
            run.draining.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        yield
        ended.set()
        watcher.join()


def run(job: Job, events: int) -> Report:
    observer = DrainOnceLoaded(events)
    before = process_settings()
    report = run_job(job, observer=observer)
    assert set(changed(before, process_settings())) <= WHILE_THREADS_WORK
    assert (observer.read_before, observer.draining_before) == (0, False)
    assert isinstance(report, Report)
    return report


def test_second_streaming_run_starts_with_a_state_of_its_own(topic: KafkaTopic, tmp_path: Path) -> None:
    job = load_job(
        "jobs/backend_events.yaml",
        {
            "source": topic.source,
            "files": f"{tmp_path}/files",
            "warehouse": f"duckdb:///{tmp_path}/w.duckdb",
            "dead_letters": f"{tmp_path}/dead_letters",
            "windows.flush": "1s",
            "windows.allowed_lateness": "3650d",
        },
    )
    topic.publish([(EVENT % number).encode() for number in range(3)])
    first = run(job, 3)
    topic.publish([(EVENT % number).encode() for number in range(3, 5)])
    second = run(job, 2)
    assert [(made.read, made.loaded, made.reconciled) for made in (first, second)] == [
        (3, 3, True),
        (2, 2, True),
    ]
