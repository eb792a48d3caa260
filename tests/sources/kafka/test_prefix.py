"""The contiguous prefix of a partition, for updates and completions in any order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from sluice.elements import OffsetSpan
from sluice.sources.kafka.prefix import CommitUpdate, ContiguousPrefix, ReadOffsets


def updates_of(sizes: Sequence[tuple[int, int]]) -> list[CommitUpdate]:
    """Return all updates of batches of (records, offsets without a record), read from the offset 7 on."""
    ends = [7]
    for records, gap in sizes:
        ends.append(ends[-1] + records + gap)
    updates = []
    for (start, end), (records, _) in zip(pairwise(ends), sizes, strict=True):
        updates.append(CommitUpdate(end, records, OffsetSpan(start, end, first=start == 7)))
        updates += [CommitUpdate(end, 1, None)] * records  # stored one by one, as events of many minutes are
    return updates


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)).filter(any), min_size=1, max_size=6),
    st.randoms(),
)
def test_prefix_ends_at_the_first_record_that_is_not_stored(
    sizes: list[tuple[int, int]], luck: random.Random
) -> None:
    updates = updates_of(sizes)
    luck.shuffle(updates)
    prefix = ContiguousPrefix()
    for number, update in enumerate(updates, 1):
        prefix.add(update)
        encoded = msgspec.msgpack.encode(prefix)  # as a runner stores it
        prefix = msgspec.msgpack.decode(encoded, type=ContiguousPrefix)
        assert prefix.offset == expected(updates[:number])
    assert (prefix.ends, prefix.outstanding) == ({}, {})


def expected(known: Sequence[CommitUpdate]) -> int:
    at = 7
    batches = {update.offset_span.start: update for update in known if update.offset_span is not None}
    if 7 not in batches:
        return -1
    while at in batches:
        end = batches[at].end
        if (
            sum(update.records for update in known if update.offset_span is None and update.end == end)
            < batches[at].records
        ):
            break
        at = end
    return at


def test_offsets_are_stored_up_to_the_first_incomplete_batch() -> None:
    offsets = ReadOffsets(10)
    first, second, third = offsets.add(12), offsets.add(20), offsets.add(21)
    assert (offsets.stored, offsets.end) == (10, 21)
    second()
    assert offsets.stored == 10
    first()
    assert offsets.stored == 20
    third()
    assert offsets.stored == 21


@given(st.permutations(range(1, 12)))
def test_batches_stored_in_any_order_extend_the_prefix(order: Sequence[int]) -> None:
    offsets = ReadOffsets(0)
    complete = {end: offsets.add(end) for end in range(1, 12)}
    for done, end in enumerate(order, 1):
        complete[end]()
        stored = set(order[:done])
        assert offsets.stored == next(at for at in range(12) if at + 1 not in stored)
