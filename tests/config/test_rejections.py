from __future__ import annotations

from decimal import Decimal

import pytest
from sluice.config.rejections import RejectionLimit, rejection_limit
from sluice.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ("5%", RejectionLimit(percent=Decimal(5))),
        ("0.1%", RejectionLimit(percent=Decimal("0.1"))),
        ("100%", RejectionLimit(percent=Decimal(100))),
        ("0%", RejectionLimit(percent=Decimal(0))),
        ("100", RejectionLimit(number=100)),
        (100, RejectionLimit(number=100)),
        (0, RejectionLimit(number=0)),
    ],
)
def test_share_or_number_is_read(value: object, limit: RejectionLimit) -> None:
    assert rejection_limit(value, "job") == limit
    assert rejection_limit(str(limit), "job") == limit


@pytest.mark.parametrize(
    "value",
    ["", "%", "5 %", "-1", "-1%", "101%", "100.1%", "1e3", "5.5", 5.5, True, None, [], "½", "9" * 400, "٥"],
)
def test_anything_else_is_rejected(value: object) -> None:
    with pytest.raises(ConfigError, match="^job: expected a share of the records from 0% to 100%"):
        rejection_limit(value, "job")


def test_message_says_expected_and_got() -> None:
    with pytest.raises(ConfigError) as raised:
        rejection_limit("5 %", "job.yaml: max_rejected")
    assert str(raised.value) == (
        "job.yaml: max_rejected: expected a share of the records from 0% to 100%, such as 5%, or a number, "
        "such as 100; got '5 %'"
    )


@pytest.mark.parametrize(
    ("limit", "rejected", "read", "exceeded"),
    [
        ("5%", 5, 100, False),
        ("5%", 6, 100, True),
        ("5%", 1, 19, True),
        ("0.1%", 1, 1000, False),
        ("0.1%", 1, 999, True),
        ("0%", 0, 0, False),
        ("0%", 1, 10**12, True),
        ("100%", 7, 7, False),
        ("0", 0, 7, False),
        ("0", 1, 7, True),
        ("100", 100, 100, False),
        ("100", 101, 10**9, True),
    ],
)
def test_limit_is_exceeded_by_one_record_more(limit: str, rejected: int, read: int, exceeded: bool) -> None:
    assert rejection_limit(limit, "job").is_exceeded(rejected, read) is exceeded
