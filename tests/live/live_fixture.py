"""What must be in the logs and the warehouse of a streaming job that read a whole feed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from devservers.live_job import TABLES, LiveJob, wait_until
from devservers.record_feed import RecordFeed
from devservers.sluice_process import SluiceProcess
from devservers.topic import Topic

MakeJob = Callable[[Topic], LiveJob]
"""A fixture of tests/live/conftest.py: makes jobs that end with the test, however it ends."""


def assert_stored_exactly_once(job: LiveJob, feed: RecordFeed) -> None:
    """Every event is in log and warehouse once, every broken record is one dead letter, the counts are exact."""
    assert job.lines() == Counter(feed.events)
    assert job.payloads() == Counter(feed.broken)
    by_type = Counter(json.loads(event)["event_type"] for event in feed.events)
    for event_type, table in TABLES.items():
        rows = job.sql(f"select count(*), count(distinct _event_id) from {table}")
        assert rows == [(by_type[event_type], by_type[event_type])], event_type
    assert job.sql("select count(*), count(distinct letter_id) from dead_letters") == [
        (len(feed.broken), len(feed.broken))
    ]
    counts = job.sql("select event_type, cast(sum(events) as bigint) from event_counts group by event_type")
    assert dict(counts) == by_type


def drain_and_check(job: LiveJob, feed: RecordFeed, run: SluiceProcess) -> dict[str, Any]:
    """Wait until the whole feed is stored, drain the run, check everything; return the report."""
    wait_until(lambda: job.stored() >= feed.stored, run)
    report = job.drain(run)
    unacknowledged = job.topic.unacknowledged()
    assert unacknowledged == 0, f"{unacknowledged} records of {job.topic.source}\n{run.output()}"
    assert_stored_exactly_once(job, feed)
    return report
