"""The same graph on a real Flink cluster: one JobManager, two TaskManagers, checkpoints, and one of them killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sluice.graph.ledger import read_report

from devservers import flink
from devservers.flink import FlinkCluster
from devservers.kafka import KafkaBroker, KafkaTopic
from devservers.live_job import LiveJob, wait_until
from devservers.record_feed import BackgroundPublisher, RecordFeed
from devservers.sluice_command import sluice
from devservers.tools import ROOT
from tests.end_to_end.replay_fixture import Replay
from tests.live.live_fixture import assert_stored_exactly_once

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

LIVE = ("--streaming", "--checkpointing_interval=3000", "--max_bundle_time_mills=100")
RATE = 200
AHEAD = 300.0
"""Seconds by which events are ahead, so that their windows do not end, and hand them on, while the test runs."""

SECONDS = 240.0
"""Within which a cluster on a busy machine has stored what was published."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    with flink.start(tmp_path_factory.mktemp("flink")) as running:
        yield running


def test_flink_replay_equals_local_replay(cluster: FlinkCluster, tmp_path: Path, scratch: Path) -> None:
    here, there = Replay(tmp_path / "here", scratch), Replay(tmp_path / "there", scratch)
    history = ROOT / "examples/backend_events/history/*"
    here.run(history)
    there.folder.mkdir()
    done = sluice(*there.arguments(history, *cluster.options()), environment={"TMPDIR": str(scratch)})
    assert done.code == 0, done.err[-3000:]
    assert there.figures() == here.figures()
    assert there.state() == here.state()


def test_cancelled_job_and_killed_task_manager_store_every_event_once(
    cluster: FlinkCluster, broker: KafkaBroker, tmp_path: Path, scratch: Path
) -> None:
    topic = KafkaTopic(broker)
    job, feed = LiveJob(tmp_path / "job", scratch, topic), RecordFeed(1, ahead=AHEAD)
    submit(job, cluster, "--windows.flush=1h")
    cancelled = cluster.job()
    topic.publish(feed.take(2000))
    wait_until(lambda: cluster.received(cancelled, "Append events/Group by log key") > 0, seconds=SECONDS)
    completed = cluster.checkpoints(cancelled)["completed"] + 2  # the first of them may have begun before
    wait_until(lambda: cluster.checkpoints(cancelled)["completed"] >= completed, seconds=SECONDS)
    # The checkpoints hold what was read, and go with the job. So it must not have been acknowledged.
    assert (len(job.lines()), topic.unacknowledged()) == (0, feed.published)
    cluster.cancel(cancelled)
    totals = submit(job, cluster)
    running = cluster.job()
    with BackgroundPublisher(topic, feed, RATE):
        wait_until(
            lambda: job.stored() > 0 and cluster.checkpoints(running)["completed"] > 0, seconds=SECONDS
        )
        before = job.stored()
        cluster.kill_task_manager()
        cluster.start_task_manager()
        wait_until(lambda: cluster.checkpoints(running)["restored"] > 0, seconds=SECONDS)
        wait_until(lambda: job.stored() > before + 10 * RATE, seconds=SECONDS)
    wait_until(lambda: job.stored() >= feed.stored, seconds=SECONDS)
    wait_until(lambda: topic.unacknowledged() == 0, seconds=SECONDS)
    assert_stored_exactly_once(job, feed)
    wait_until(
        lambda: read_report(totals).reconciled and read_report(totals).read >= feed.published, seconds=SECONDS
    )
    report = read_report(totals)
    assert (report.read, report.rejected) == (feed.published, len(feed.broken))
    # What was stored but not yet covered by a checkpoint was found in the log when it was read again.
    assert report.accepted + report.backfilled <= len(feed.events)
    assert report.accepted + report.duplicates == len(feed.events) + len(feed.duplicates)
    cluster.cancel(running)


def submit(job: LiveJob, cluster: FlinkCluster, *flags: str) -> str:
    """Submit a streaming job; return where its totals are."""
    submission = job.submit(*cluster.options(), *LIVE, *flags)
    assert submission.finish() == 0, submission.output()
    return submission.output().split()[-1]
