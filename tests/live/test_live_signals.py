"""Bursts of SIGTERM and SIGINT at each moment of a streaming run: one line, an exit code, and nothing lost."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest

from devservers.kafka import KafkaTopic
from devservers.live_job import LiveJob, answer, wait_until
from devservers.record_feed import RecordFeed
from devservers.sluice_process import SluiceProcess
from tests.live.live_fixture import assert_stored_exactly_once, drain_and_check

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

INTERRUPTED = "sluice: interrupted; what was written stays valid, and the next run completes it"
TERM, INT = signal.SIGTERM, signal.SIGINT


def send(running: SluiceProcess, burst: Sequence[int], gap: float = 0.0) -> None:
    """Send signals with a gap between two, in seconds; those that come after the end are lost."""
    for number in burst:
        with suppress(ProcessLookupError):
            os.kill(running.process.pid, number)
        time.sleep(gap)


def lines(running: SluiceProcess, part: str) -> int:
    return sum(part in line for line in running.output().splitlines())


@pytest.mark.parametrize(
    ("burst", "gap"), [((TERM, TERM), 0.0), ((INT, TERM, INT), 0.01), ((TERM, INT, TERM, TERM, INT), 0.05)]
)
def test_burst_drains_a_run_and_further_signals_at_its_end_change_nothing(
    job: LiveJob, topic: KafkaTopic, burst: Sequence[int], gap: float
) -> None:
    feed = RecordFeed(41)
    running = job.start("--windows.flush", "60s")  # so that nothing is stored before the drain
    topic.publish(feed.take(300))
    wait_until(lambda: job.read() == feed.published, running)
    send(running, burst, gap)
    wait_until(lambda: "reconciled: " in running.output(), running)
    send(running, burst, gap)
    assert running.finish() == 0, running.output()
    assert (lines(running, ": draining: "), lines(running, "Traceback"), lines(running, INTERRUPTED)) == (
        1,
        0,
        0,
    )
    assert_stored_exactly_once(job, feed)
    assert topic.unacknowledged() == 0


def test_burst_in_a_drain_ends_the_run_with_one_line_and_the_next_completes_it(
    job: LiveJob, topic: KafkaTopic
) -> None:
    feed = RecordFeed(42)
    running = job.start("--windows.flush", "60s")
    topic.publish(feed.take(300))
    wait_until(lambda: job.read() == feed.published, running)
    running.kill("runner", number=signal.SIGSTOP)  # so that the drain cannot end
    send(running, (TERM, TERM))
    wait_until(lambda: ": draining: " in running.output(), running)
    send(running, (TERM, INT, TERM, TERM, INT), 0.02)
    assert running.finish() == 130, running.output()
    assert running.output().splitlines()[-1] == INTERRUPTED
    assert (lines(running, INTERRUPTED), lines(running, "Traceback")) == (1, 0)
    drain_and_check(job, feed, job.start())


@pytest.mark.parametrize("moment", ["at once", "modules", "metrics"])
def test_burst_at_the_start_ends_the_run_with_one_line(job: LiveJob, moment: str) -> None:
    job.process = SluiceProcess  # with the start of Python, and the import of what a forked process has
    running = job.start()
    if moment == "modules":  # the handlers are there, and the product's modules are being imported
        wait_until(lambda: _handles(running, TERM), running)
    if moment == "metrics":  # the graph is about to run
        wait_until(lambda: answer(job.metrics_port, "/healthz")[0] == 200, running)
    send(running, (TERM, TERM, INT), 0.001)
    code = running.finish()
    if moment == "at once":
        assert code in (-TERM, -INT, 143)  # Python itself has perhaps not begun
    else:
        assert code == (143 if moment == "modules" else 0), running.output()
    assert lines(running, INTERRUPTED) == (1 if code == 143 else 0)
    assert lines(running, "Traceback") == 0


def _handles(running: SluiceProcess, number: int) -> bool:
    """Return whether a process has a handler of its own for a signal."""
    with open(f"/proc/{running.process.pid}/status") as status:
        caught = next(line for line in status if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
