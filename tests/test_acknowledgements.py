from __future__ import annotations

import pytest
from sluice import acknowledgements
from sluice.acknowledgements import Outstanding, PendingAcks


def test_batch_is_acknowledged_once_all_its_records_are_stored() -> None:
    now = [100.0]
    pending_acks, acknowledged = PendingAcks(lambda: now[0]), list[str]()
    first = pending_acks.issue(3, 30, lambda: acknowledged.append("first"))
    now[0] = 104.0
    second = pending_acks.issue(2, 20, lambda: acknowledged.append("second"))
    assert pending_acks.outstanding() == Outstanding(records=5, bytes=50, seconds=4.0)
    pending_acks.complete({first: 2, second: 2})
    assert acknowledged == ["second"]
    assert pending_acks.outstanding() == Outstanding(records=1, bytes=30, seconds=4.0)
    pending_acks.complete({first: 1})
    assert acknowledged == ["second", "first"]
    assert pending_acks.outstanding() == Outstanding(records=0, bytes=0, seconds=0.0)


def test_ack_of_a_batch_that_is_not_pending_is_a_bug() -> None:
    pending_acks = PendingAcks()
    ack_token = pending_acks.issue(1, 1, lambda: None)
    pending_acks.complete({ack_token: 1})
    with pytest.raises(KeyError):
        pending_acks.complete({ack_token: 1})


@pytest.mark.parametrize(
    ("records", "size", "full"),
    [
        (acknowledgements.MAX_OUTSTANDING_RECORDS, 1, True),
        (1, acknowledgements.MAX_OUTSTANDING_BYTES, True),
        (acknowledgements.MAX_OUTSTANDING_RECORDS - 1, acknowledgements.MAX_OUTSTANDING_BYTES - 1, False),
    ],
)
def test_source_must_wait_at_either_limit(records: int, size: int, full: bool) -> None:
    pending_acks = PendingAcks()
    pending_acks.issue(records, size, lambda: None)
    assert pending_acks.is_full() is full
