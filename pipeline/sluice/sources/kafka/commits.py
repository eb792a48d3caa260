"""Commits of a Kafka source on a cluster, where what reads and what stores are not one process.

A runner's state is gone when its job is cancelled, so offsets are committed when their records are stored, not when
the runner keeps them. The graph itself carries the news: each batch comes with a claim on its offsets, the last steps
tell what they have stored, and a step with a state for each partition commits the stored prefix.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import msgspec
from apache_beam.coders import BytesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.utils.timestamp import Timestamp

from sluice.elements import Acks, OffsetSpan, RecordBatch
from sluice.provenance import PartitionProvenance
from sluice.sources.kafka.client import Topic
from sluice.sources.kafka.reader import Commits

_OFFSET_BITS = 48
"""A ticket holds a partition above an offset: enough for 65,536 partitions of 280 trillion records each."""

_RETRY_SECONDS = 1


def ack_token_of(partition: int, end: int) -> int:
    """Return the ticket of the batch of a partition that ends before the offset `end`."""
    return partition << _OFFSET_BITS | end


class CommitUpdate(NamedTuple):
    """That records were read, up to an offset, or how many of the batch that ends there are stored.

    `claim` is None for what is stored.
    """

    end: int
    records: int
    offset_span: OffsetSpan | None


class CommitStored(beam.PTransform):
    """`read`: RecordBatch, and by any other name Receipts: commits each partition up to where all is stored.

    What it commits is stored, whatever becomes of the runner: so it does not wait for a checkpoint. After a recovery
    its state, the reader's offsets and the groups that wait are those of one checkpoint, so it counts right again.
    """

    def __init__(self, topic: Topic) -> None:
        """Commit for the group of `topic`."""
        super().__init__()
        self._topic = topic

    def expand(self, inputs: dict[str, beam.PCollection[Any]]) -> beam.PCollection[None]:
        """Bring the news of each partition together."""
        news = [
            each
            | f"Tell what is {name}"
            >> beam.FlatMap(_read if name == "read" else _stored).with_output_types(tuple[int, Any])
            for name, each in inputs.items()
        ]
        return (
            news
            | "Gather news" >> beam.Flatten()
            | "Commit" >> beam.ParDo(CommitPrefix(self._topic)).with_output_types(type(None))
        )


def _read(batch: RecordBatch) -> Iterator[tuple[int, list[CommitUpdate]]]:
    if isinstance(batch.provenance, PartitionProvenance) and batch.offset_span is not None:
        yield (
            batch.provenance.partition,
            [CommitUpdate(batch.offset_span.end, len(batch.records), batch.offset_span)],
        )


def _stored(acks: Acks) -> Iterable[tuple[int, list[CommitUpdate]]]:
    """Return the news of one pane, a partition an element: a state is read and written for each."""
    found: dict[int, list[CommitUpdate]] = defaultdict(list)
    for ack_token, records in acks.items():
        end = ack_token & (1 << _OFFSET_BITS) - 1
        found[ack_token >> _OFFSET_BITS].append(CommitUpdate(end, records, None))
    return found.items()


class Stored(msgspec.Struct, array_like=True):
    """How far a partition is stored without a gap, though its news may come in any order."""

    prefix: int = -1
    """All below this offset is stored; -1 before the first claim is known."""
    ends: dict[int, int] = msgspec.field(default_factory=dict)
    """Claimed and not yet in the prefix: start -> end."""
    waiting: dict[int, int] = msgspec.field(default_factory=dict)
    """End -> records that are not stored yet; below 0 if they were stored before the claim on them was known."""

    def add(self, news: CommitUpdate) -> None:
        """Take note of news, each once."""
        offset_span = news.offset_span
        left = self.waiting.get(news.end, 0) + (news.records if offset_span is not None else -news.records)
        self.waiting[news.end] = left
        if offset_span is not None:
            self.ends[offset_span.start] = news.end
            if offset_span.first:
                self.prefix = offset_span.start
        while self.prefix in self.ends and not self.waiting[self.ends[self.prefix]]:
            end = self.ends.pop(self.prefix)
            del self.waiting[end]
            self.prefix = end


_TIMER = TimerSpec("again", TimeDomain.REAL_TIME)
_AGAIN: Any = beam.DoFn.TimerParam(_TIMER)
_KEPT: Any = beam.DoFn.StateParam(ReadModifyWriteStateSpec("stored", BytesCoder()))


class CommitPrefix(beam.DoFn):
    """(partition, list of News) -> nothing; commits."""

    def __init__(self, topic: Topic) -> None:
        """Commit for the group of `topic`."""
        self._topic = topic

    def setup(self) -> None:
        """Connect to nothing yet."""
        self._commits = Commits(self._topic)

    def process(self, keyed: tuple[int, list[CommitUpdate]], state: Any = _KEPT, again: Any = _AGAIN) -> None:
        """Take note of news, and commit what has been stored by now."""
        partition, news = keyed
        kept = state.read()
        stored = Stored() if kept is None else msgspec.msgpack.decode(kept, type=Stored)
        before = stored.prefix
        for each in news:
            stored.add(each)
        state.write(msgspec.msgpack.encode(stored))
        if stored.prefix != before:
            self._commit(partition, stored.prefix, again)

    @on_timer(_TIMER)  # type: ignore[untyped-decorator]
    def try_again(self, partition: int = beam.DoFn.KeyParam, state: Any = _KEPT, again: Any = _AGAIN) -> None:
        """Commit what could not be committed: there may be no more news for long."""
        self._commit(partition, msgspec.msgpack.decode(state.read(), type=Stored).prefix, again)

    def _commit(self, partition: int, offset: int, again: Any) -> None:
        self._commits.want(partition, offset)
        if not self._commits.finish():
            again.set(Timestamp.now() + _RETRY_SECONDS)
