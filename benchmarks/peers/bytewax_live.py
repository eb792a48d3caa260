"""bytewax: a dataflow of Kafka's records, checked, put together by partition, and written in batches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op  # type: ignore[import-not-found]  # in the environment of the peers
from bytewax.connectors.kafka import KafkaSource  # type: ignore[import-not-found]  # in the environment of the peers
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]  # in the environment of the peers
from bytewax.outputs import DynamicSink, StatelessSinkPartition  # type: ignore[import-not-found]  # in the environment of the peers
from bytewax.testing import run_main  # type: ignore[import-not-found]  # in the environment of the peers

from benchmarks.peers.live_store import Checked, Store, tally

__all__ = ["run", "tally"]

_MOST = 200_000
"""Records of a batch."""


class _Writing(StatelessSinkPartition):
    def __init__(self, store: Store) -> None:
        self._store = store

    def write_batch(self, items: Sequence[tuple[str, Sequence[Checked]]]) -> None:
        for _, batch in items:
            self._store.write(batch)


class StoreSink(DynamicSink):
    """Writes batches to the store; one worker."""

    def __init__(self, out: Path) -> None:
        """Open the store."""
        self._store = Store(out)

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> _Writing:
        """Return what writes."""
        return _Writing(self._store)


def run(broker: str, topic: str, _records: int, flush: float, out: Path) -> None:
    """Drain a topic: the source ends where its partitions end."""
    flow = Dataflow("drain")
    source = KafkaSource([broker], [topic], tail=False, batch_size=1000)
    read: Any = op.input("read", flow, source)
    checked = op.map("check", read, lambda message: (str(message.partition), Checked(message.value)))
    batches = op.collect("batch", checked, timedelta(seconds=flush), _MOST)
    op.output("write", batches, StoreSink(out))
    run_main(flow)
