"""The manifest of streaming runs: a row for each partition or subscription, which balances."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from devservers import pubsub
from devservers.kafka import KafkaTopic
from devservers.live_job import LiveJob
from devservers.pubsub import PubSubTopic
from devservers.record_feed import RecordFeed
from tests.live.live_fixture import MakeJob, drain_and_check

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

RECORDS = 300
SUMS = "sum(rows_read), sum(rows_accepted), sum(rows_duplicate), sum(rows_rejected)"


def check_manifest(job: LiveJob, feed: RecordFeed) -> None:
    """Run a job over a whole feed, and compare the sums of its manifest with its report."""
    job.topic.publish(feed.take(RECORDS))
    report = drain_and_check(job, feed, job.start())
    figures = tuple(report[name] for name in ("read", "accepted", "duplicates", "rejected"))
    assert report["reconciled"]
    assert job.sql(f"select {SUMS} from source_files") == [figures]
    assert job.sql("select count(*), count(distinct run_id) from source_files") == [(report["sources"], 1)]
    unbalanced = "rows_read <> rows_accepted + rows_duplicate + rows_rejected"
    assert job.sql(f"select count(*) from source_files where {unbalanced}") == [(0,)]


def test_manifest_has_the_offsets_of_each_partition(job: LiveJob, topic: KafkaTopic) -> None:
    check_manifest(job, RecordFeed(41))
    rows = job.sql("select partition_number, offset_from, offset_to - rows_read from source_files")
    # All records may have gone to one partition, and then to either.
    assert {tuple(offsets) for _, *offsets in rows} == {(0, 0)}
    assert 0 < len({number for number, _, _ in rows}) == len(rows)
    assert {uri for (uri,) in job.sql("select uri from source_files")} == {f"kafka://{topic.name}"}


@pytest.fixture
def subscription(monkeypatch: pytest.MonkeyPatch) -> Iterator[PubSubTopic]:
    with pubsub.start() as emulator:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator.host)
        yield emulator.create("manifest", ack_deadline_seconds=10)


def test_manifest_has_the_subscription(new_job: MakeJob, subscription: PubSubTopic) -> None:
    job = new_job(subscription)
    check_manifest(job, RecordFeed(42))
    assert job.sql("select uri, partition_number, offset_from from source_files") == [
        (subscription.source, None, None)
    ]
