"""Prism, or the broker, ends or stands still under a streaming job, and comes back: the job goes on by itself."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sluice.clock import Clock
from sluice.config.job import Job, load_job
from sluice.graph.ledger import Report
from sluice.run_state import RunState
from sluice.runtime import metrics_server, streaming_run
from sluice.runtime.launch import run_job
from sluice.runtime.observers import SilentObserver
from sluice.telemetry import figure_sums

from devservers.kafka import KafkaBroker, KafkaTopic
from devservers.live_job import LiveJob, answer, wait_until
from devservers.record_feed import BackgroundPublisher, RecordFeed
from devservers.sluice_process import SluiceProcess
from tests.live.live_fixture import drain_and_check
from tests.runtime.repeated_runs import EVENT

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

RATE = 300


def test_prism_that_is_killed_or_stopped_costs_no_record(job: LiveJob, topic: KafkaTopic) -> None:
    feed = RecordFeed(31)
    running = job.start()
    topic.publish(feed.take(RATE))
    wait_until(lambda: job.stored() > 0, running)
    with BackgroundPublisher(topic, feed, RATE):
        for number in (signal.SIGKILL, signal.SIGSTOP):
            before = feed.published
            wait_until(lambda: feed.published > before + RATE, running)  # noqa: B023  called in this round of the loop
            running.kill("runner", number=number)
            wait_until(lambda: feed.published > before + 2 * RATE, running)  # noqa: B023  called in this round of the loop
            running.kill("runner", number=signal.SIGCONT)
        wait_until(lambda: job.metric("restarts_total") == 1, running)
        status, page = answer(job.metrics_port, "/")
    report = drain_and_check(job, feed, running)
    assert (status, "<small>started again: 1</small>" in page, "; starting it again" in page) == (
        200,
        True,
        True,
    )
    assert (report["restarts"], report["backfilled"]) == (1, 0)
    assert report["accepted"] == report["loaded"] == len(feed.events)
    assert [line.partition("; ")[0].partition("sluice: ")[2] for line in restart_lines(running)] == [
        "Prism, the runner of streaming jobs, ended with exit code 137"
    ]


def restart_lines(running: SluiceProcess) -> list[str]:
    return [line for line in running.output().splitlines() if "starting it again" in line]


class Script(SilentObserver):
    """Watches a run in a thread of its own, does with it what a test says, and drains it."""

    def __init__(self, act: Callable[[RunState], None]) -> None:
        self._act = act
        self.errors: list[BaseException] = []

    def watch_streaming(self, _job: Job, run: RunState, _clock: Clock) -> AbstractContextManager[None]:
        return self._acting(run)

    @contextmanager
    def _acting(self, run: RunState) -> Iterator[None]:
        def act() -> None:
            try:
                self._act(run)
            except BaseException as error:  # noqa: BLE001  raised in the main thread
                self.errors.append(error)
            run.draining.set()

        thread = threading.Thread(target=act)
        thread.start()
        yield
        thread.join()


def run_with(act: Callable[[RunState], None], topic: KafkaTopic, folder: Path) -> Report:
    """Run a job in this process, so that a test can set how long things may stand still."""
    job = load_job(
        "jobs/backend_events.yaml",
        {
            "source": topic.source,
            "files": f"{folder}/files",
            "warehouse": f"duckdb:///{folder}/w.duckdb",
            "dead_letters": f"{folder}/dead_letters",
            "windows.flush": "1s",
            "windows.allowed_lateness": "3650d",
        },
    )
    script = Script(act)
    report = run_job(job, observer=script)
    assert script.errors == []
    assert isinstance(report, Report)
    return report


def signal_prism(number: int) -> None:
    """Send a signal to the Prism that this process runs: the child of a child."""
    for entry in Path("/proc").iterdir():
        if (
            entry.name.isdigit()
            and _name(entry) == "prism"
            and _parent(_parent(int(entry.name))) == os.getpid()
        ):
            os.kill(int(entry.name), number)


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:  # it has ended
        return ""


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def publish(topic: KafkaTopic, first: int, after: int) -> None:
    topic.publish([(EVENT % number).encode() for number in range(first, after)])


def stalls_of(run: RunState) -> set[str]:
    """Return what stands still, without for how long."""
    return {line.partition(" last ")[0] for line in metrics_server.stalls(run, flush=1)}


def test_runner_that_stands_still_is_unhealthy_and_is_started_again(
    topic: KafkaTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "_IDLE_RUNNER_SECONDS", 3.0)

    def act(run: RunState) -> None:
        publish(topic, 0, 3)
        wait_until(lambda: figure_sums(run.totals.counts())["loaded"] == 3)
        wait_until(lambda: stalls_of(run) == set())
        signal_prism(signal.SIGSTOP)
        publish(topic, 3, 5)
        wait_until(lambda: "stalled: the runner" in stalls_of(run))
        monkeypatch.setattr(streaming_run, "IDLE_SECONDS", 3.0)
        wait_until(lambda: run.restarts == 1)
        monkeypatch.setattr(streaming_run, "IDLE_SECONDS", 600.0)
        wait_until(lambda: figure_sums(run.totals.counts())["loaded"] == 5)
        wait_until(lambda: stalls_of(run) == set())

    report = run_with(act, topic, tmp_path)
    assert (report.read, report.loaded, report.restarts, report.reconciled) == (5, 5, 1, True)


def test_broker_that_hangs_is_unhealthy_until_it_is_back(
    broker: KafkaBroker, topic: KafkaTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "SILENT_SECONDS", 5.0)
    monkeypatch.setattr("sluice.run_state.SILENT_SECONDS", 5.0)

    def act(run: RunState) -> None:
        publish(topic, 0, 3)
        wait_until(lambda: figure_sums(run.totals.counts())["loaded"] == 3 and run.backlog.total() == 0)
        broker.freeze()
        try:
            wait_until(lambda: stalls_of(run) == {"stalled: the source"})
            assert run.backlog.total() is None
        finally:
            broker.thaw()
        publish(topic, 3, 5)
        wait_until(lambda: figure_sums(run.totals.counts())["loaded"] == 5)
        wait_until(lambda: stalls_of(run) == set() and run.backlog.total() == 0)

    report = run_with(act, topic, tmp_path)
    assert (report.read, report.loaded, report.restarts, report.reconciled) == (5, 5, 0, True)
