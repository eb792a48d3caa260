from __future__ import annotations

import pytest
from sluice.sources.acknowledgements import Closing, Outstanding, PendingAcks


def test_a_batch_is_settled_once_all_its_records_are_stored() -> None:
    now = [100.0]
    pending_acks, settled = PendingAcks(lambda: now[0]), list[str]()
    first = pending_acks.issue(3, 30, lambda: settled.append("first"))
    now[0] = 104.0
    second = pending_acks.issue(2, 20, lambda: settled.append("second"))
    assert pending_acks.outstanding() == Outstanding(records=5, bytes=50, seconds=4.0)
    pending_acks.settle({first: 2, second: 2})
    assert settled == ["second"]
    assert pending_acks.outstanding() == Outstanding(records=1, bytes=30, seconds=4.0)
    pending_acks.settle({first: 1})
    assert settled == ["second", "first"]
    assert pending_acks.outstanding() == Outstanding(records=0, bytes=0, seconds=0.0)


def test_a_receipt_for_nothing_is_a_bug() -> None:
    pending_acks = PendingAcks()
    ack_token = pending_acks.issue(1, 1, lambda: None)
    pending_acks.settle({ack_token: 1})
    with pytest.raises(KeyError):
        pending_acks.settle({ack_token: 1})


def test_what_is_to_be_closed_is_closed_once_and_the_last_first() -> None:
    closing, closed = Closing(), list[int]()
    closing.add(lambda: closed.append(1))
    closing.add(lambda: closed.append(2))
    closing.close()
    closing.close()
    assert closed == [2, 1]
