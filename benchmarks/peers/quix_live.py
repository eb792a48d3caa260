"""quixstreams: an application that checks each record and gives it to a sink, which writes with every checkpoint."""

from __future__ import annotations

import uuid
from pathlib import Path

from quixstreams import Application  # type: ignore[import-not-found]  # in the environment of the peers
from quixstreams.sinks import BatchingSink, SinkBatch  # type: ignore[import-not-found]  # in the environment of the peers

from benchmarks.peers.live_store import Checked, Store, tally

__all__ = ["run", "tally"]


class StoreSink(BatchingSink):
    """Writes what came since the last checkpoint; then its offsets are committed."""

    def __init__(self, out: Path) -> None:
        """Open the store."""
        super().__init__()
        self._store = Store(out)

    def write(self, batch: SinkBatch) -> None:
        """Write the records of one partition."""
        self._store.write([item.value for item in batch])


def run(broker: str, topic: str, records: int, flush: float, out: Path) -> None:
    """Drain a topic."""
    application = Application(
        broker_address=broker,
        consumer_group=f"quix-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
        commit_interval=flush,
        loglevel="ERROR",
    )
    frame = application.dataframe(application.topic(topic, value_deserializer="bytes"))
    frame.apply(Checked).sink(StoreSink(out))
    application.run(count=records, timeout=60.0, collect=False)
