"""How far a partition is stored, told by news in any order; tests/live/test_kafka.py has the commits."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from sluice.elements import OffsetSpan
from sluice.sources.kafka.commits import CommitUpdate, Stored, _stored, ack_token_of


def news_of(sizes: Sequence[tuple[int, int]]) -> list[CommitUpdate]:
    """Return all news of batches of (records, offsets without a record), read from the offset 7 on."""
    ends = [7]
    for records, gap in sizes:
        ends.append(ends[-1] + records + gap)
    told = []
    for (start, end), (records, _) in zip(pairwise(ends), sizes, strict=True):
        told.append(CommitUpdate(end, records, OffsetSpan(start, end, first=start == 7)))
        told += [CommitUpdate(end, 1, None)] * records  # stored one by one, as events of many minutes are
    return told


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)).filter(any), min_size=1, max_size=6),
    st.randoms(),
)
def test_the_prefix_is_what_is_stored_without_a_gap(
    sizes: list[tuple[int, int]], luck: random.Random
) -> None:
    told = news_of(sizes)
    luck.shuffle(told)
    stored = Stored()
    for number, each in enumerate(told, 1):
        stored.add(each)
        stored = msgspec.msgpack.decode(msgspec.msgpack.encode(stored), type=Stored)  # as its runner keeps it
        assert stored.prefix == expected(sizes, told[:number])
    assert (stored.ends, stored.waiting) == ({}, {})


def expected(sizes: Sequence[tuple[int, int]], known: Sequence[CommitUpdate]) -> int:
    at = 7
    claims = {each.offset_span.start: each for each in known if each.offset_span is not None}
    if 7 not in claims:
        return -1
    while at in claims:
        end = claims[at].end
        if (
            sum(each.records for each in known if each.offset_span is None and each.end == end)
            < claims[at].records
        ):
            break
        at = end
    return at


def test_a_ticket_tells_partition_and_offset() -> None:
    acks = {ack_token_of(3, 5_000_000_000): 2, ack_token_of(65_535, 1): 7, ack_token_of(3, 5): 1}
    assert list(_stored(acks)) == [
        (3, [CommitUpdate(5_000_000_000, 2, None), CommitUpdate(5, 1, None)]),
        (65_535, [CommitUpdate(1, 7, None)]),
    ]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(acks), type=dict[int, int]) == acks
