"""usage: live.py [SECONDS]: a streaming job on this machine, killed half way, and the proof that nothing was lost.

It starts a broker that is installed here, and publishes records of a shop to it (2% broken, 5% repeated). `sluice run`
reads them, is killed with SIGKILL half way, and is started again. The proof compares the published records with the
log, the warehouse and the dead letters, without asking the pipeline.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sluice.cli.console import wide_console

from devservers import kafka, pubsub
from devservers.kafka import KafkaTopic
from devservers.live_job import TABLES, LiveJob, wait_until
from devservers.record_feed import BackgroundPublisher, RecordFeed
from devservers.topic import Topic

OUT = Path("out/live")
RATE = 500
LOOK_SECONDS = 5.0


@contextmanager
def new_topic(folder: Path, console: Console) -> Iterator[Topic]:
    """Start a broker that is installed on this machine, and yield a new topic of it."""
    if kafka.is_installed():
        console.print("broker: Kafka (.tools/kafka)")
        with kafka.start(folder) as broker:
            yield KafkaTopic(broker)
    elif pubsub.is_installed():
        console.print("broker: the Pub/Sub emulator, because Kafka is not installed")
        with pubsub.start() as emulator:
            yield emulator.create("backend-events-topic")
    else:
        console.print(
            "expected Java, and Kafka's jars (scripts/tools kafka) or the Pub/Sub emulator; found neither"
        )
        sys.exit(1)


def counts(job: LiveJob) -> Table:
    """Return the counts of the latest windows, as the warehouse has them."""
    table = Table("window", "event type", "events", title="event_counts, the latest windows")
    rows = job.sql(
        "select window_start, event_type, events from event_counts"
        " qualify dense_rank() over (order by window_start desc) <= 2 order by 1 desc, 2"
    )
    for start, event_type, events in rows:
        table.add_row(f"{start:%H:%M:%S}", event_type, f"{events:,}")
    return table


def proof(job: LiveJob, feed: RecordFeed) -> Table:
    """Compare the published records with the stored ones; exit if they differ."""
    table = Table("", "published", "log", "warehouse", "equal", title="every record exactly once")
    lines, payloads = job.lines(), job.payloads()
    loaded = sum(job.sql(f"select count(*) from {table}")[0][0] for table in TABLES.values())
    dead_letters = job.sql("select count(*) from dead_letters")[0][0]
    accepted = lines == Counter(feed.events) and loaded == len(feed.events)
    rejected = payloads == Counter(feed.broken) and dead_letters == len(feed.broken)
    table.add_row(
        "distinct events", f"{len(feed.events):,}", f"{lines.total():,}", f"{loaded:,}", str(accepted)
    )
    table.add_row(
        "dead letters", f"{len(feed.broken):,}", f"{payloads.total():,}", f"{dead_letters:,}", str(rejected)
    )
    table.add_row("duplicates", f"{len(feed.duplicates):,}", "0", "0", "")
    if not (accepted and rejected):
        sys.exit("what was stored is not what was published")
    return table


def main() -> None:
    """Run the demonstration."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    console = wide_console()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    feed = RecordFeed(seed=2025)
    with tempfile.TemporaryDirectory(prefix="live-") as scratch, new_topic(OUT.absolute(), console) as topic:
        job = LiveJob(OUT.absolute(), Path(scratch), topic)
        console.print(f"sluice run jobs/backend_events.yaml --source '{topic.source}' --windows.flush 2s …")
        running = job.start()
        try:
            with BackgroundPublisher(topic, feed, RATE):
                begun, killed = time.monotonic(), False
                wait_until(lambda: job.stored() > 0, running)
                while time.monotonic() - begun < seconds:
                    time.sleep(LOOK_SECONDS)
                    if not killed and time.monotonic() - begun > seconds / 2:
                        os.kill(running.process.pid, signal.SIGKILL)
                        running.finish()
                        console.print(f"[bold]SIGKILL[/] after {feed.published:,} records; starting it again")
                        running, killed = job.start(), True
                    console.print(counts(job))
            wait_until(lambda: job.stored() >= feed.stored, running)
            report = job.drain(running)
        finally:
            running.kill()
    console.print(proof(job, feed))
    figures = ", ".join(f"{name} {report[name]:,}" for name in ("read", "accepted", "duplicates", "rejected"))
    console.print(f"the second run reconciles: {figures}")


if __name__ == "__main__":
    main()
