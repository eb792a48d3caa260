"""Commits of a Kafka source on a cluster, where the records are read in one process and stored in another.

A runner's state is gone when its job is cancelled, so offsets are committed when their records are stored, not when
the runner has checkpointed them. The graph itself carries the updates: each batch has the span of its offsets, the
last steps report which records they have stored, and a step with a state per partition commits the contiguous prefix.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.coders import BytesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.utils.timestamp import Timestamp

from sluice.elements import Acks, RecordBatch
from sluice.provenance import PartitionProvenance
from sluice.sources.kafka.client import Topic
from sluice.sources.kafka.prefix import CommitUpdate, ContiguousPrefix
from sluice.sources.kafka.reader import Commits

_OFFSET_BITS = 48
"""The low bits of an ack token hold the offset, the others the partition: 65,536 partitions of 280 trillion records."""

_RETRY_SECONDS = 1


def ack_token_of(partition: int, end: int) -> int:
    """Return the ack token of the batch of a partition that ends before the offset `end`."""
    return partition << _OFFSET_BITS | end


class CommitStored(beam.PTransform):
    """Inputs `read` (RecordBatch) and any others (Acks) -> nothing; commits each partition's contiguous prefix.

    It does not wait for a checkpoint, since committed records are stored whatever happens to the runner. After a
    recovery its state, the reader's offsets and the pending groups come from one checkpoint, so the counts agree.
    """

    def __init__(self, topic: Topic) -> None:
        """Commit for the group of `topic`."""
        super().__init__()
        self._topic = topic

    def expand(self, inputs: dict[str, beam.PCollection[Any]]) -> beam.PCollection[None]:
        """Bring the updates of each partition together."""
        updates = [
            collection
            | f"Updates: {name}"
            >> beam.FlatMap(_read_updates if name == "read" else _stored_updates).with_output_types(
                tuple[int, Any]
            )
            for name, collection in inputs.items()
        ]
        return (
            updates
            | "Gather updates" >> beam.Flatten()
            | "Commit" >> beam.ParDo(CommitPrefix(self._topic)).with_output_types(type(None))
        )


def _read_updates(batch: RecordBatch) -> Iterator[tuple[int, list[CommitUpdate]]]:
    provenance, span = batch.provenance, batch.offset_span
    if isinstance(provenance, PartitionProvenance) and span is not None:
        update = CommitUpdate(span.end, len(batch.records), span, provenance.topic_id)
        yield provenance.partition, [update]


def _stored_updates(acks: Acks) -> Iterable[tuple[int, list[CommitUpdate]]]:
    """Return the updates of a pane, one element a partition: a state is read and written for each element."""
    updates: dict[int, list[CommitUpdate]] = defaultdict(list)
    for ack_token, records in acks.items():
        end = ack_token & (1 << _OFFSET_BITS) - 1
        updates[ack_token >> _OFFSET_BITS].append(CommitUpdate(end, records, None))
    return updates.items()


_TIMER = TimerSpec("again", TimeDomain.REAL_TIME)
_RETRY_TIMER: Any = beam.DoFn.TimerParam(_TIMER)
_STORED: Any = beam.DoFn.StateParam(ReadModifyWriteStateSpec("stored", BytesCoder()))


class CommitPrefix(beam.DoFn):
    """(partition, list of CommitUpdate) -> nothing; commits the contiguous prefix of each partition."""

    def __init__(self, topic: Topic) -> None:
        """Commit for the group of `topic`."""
        self._topic = topic

    def setup(self) -> None:
        """Prepare the commits; nothing is connected yet."""
        self._commits = Commits(self._topic)

    def process(
        self, keyed: tuple[int, list[CommitUpdate]], state: Any = _STORED, timer: Any = _RETRY_TIMER
    ) -> None:
        """Apply the updates, and commit the prefix if it has grown."""
        partition, updates = keyed
        encoded = state.read()
        prefix = (
            ContiguousPrefix() if encoded is None else msgspec.msgpack.decode(encoded, type=ContiguousPrefix)
        )
        before = prefix.offset
        for update in updates:
            prefix.add(update)
        state.write(msgspec.msgpack.encode(prefix))
        if prefix.offset != before:
            self._commit(partition, prefix, timer)

    @on_timer(_TIMER)  # type: ignore[untyped-decorator]
    def retry(
        self, partition: int = beam.DoFn.KeyParam, state: Any = _STORED, timer: Any = _RETRY_TIMER
    ) -> None:
        """Repeat a commit that failed: the next update may come much later."""
        prefix = msgspec.msgpack.decode(state.read(), type=ContiguousPrefix)
        self._commit(partition, prefix, timer)

    def _commit(self, partition: int, prefix: ContiguousPrefix, timer: Any) -> None:
        self._commits.request(partition, prefix.offset, prefix.topic_id)
        if not self._commits.flush():
            timer.set(Timestamp.now() + _RETRY_SECONDS)
