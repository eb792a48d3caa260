"""Ack tokens and the updates of commits; the commits themselves are tested against a broker, in tests/live."""

from __future__ import annotations

import msgspec
from sluice.sources.kafka.commits import _stored_updates, ack_token_of
from sluice.sources.kafka.prefix import CommitUpdate


def test_ack_token_identifies_partition_and_offset() -> None:
    acks = {ack_token_of(3, 5_000_000_000): 2, ack_token_of(65_535, 1): 7, ack_token_of(3, 5): 1}
    assert list(_stored_updates(acks)) == [
        (3, [CommitUpdate(5_000_000_000, 2, None), CommitUpdate(5, 1, None)]),
        (65_535, [CommitUpdate(1, 7, None)]),
    ]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(acks), type=dict[int, int]) == acks
