from __future__ import annotations

import logging
import re

import pytest
from sluice.errors import ConfigError, StorageError, WarehouseError
from sluice.retry import RetryPolicy


def test_temporary_failure_is_retried_and_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    left = [StorageError("disk full"), WarehouseError("locked")]

    def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    with caplog.at_level(logging.WARNING, "sluice"):
        assert RetryPolicy(60)(action) == "done"
    told = [record.getMessage() for record in caplog.records]
    assert [re.sub(r"tried for \d+ s", "tried for N s", each) for each in told] == [
        "disk full; tried for N s of 60 s",
        "locked; tried for N s of 60 s",
    ]


@pytest.mark.parametrize(("seconds", "failure"), [(0, StorageError("disk full")), (60, ConfigError("typo"))])
def test_other_failure_and_expired_time_are_not_retried(seconds: float, failure: Exception) -> None:
    calls = []

    def action() -> None:
        calls.append(1)
        raise failure

    with pytest.raises(type(failure), match=str(failure)):
        RetryPolicy(seconds)(action)
    assert calls == [1]
