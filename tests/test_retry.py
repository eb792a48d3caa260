from __future__ import annotations

import logging
import re

import pytest
from sluice.errors import (
    ConfigError,
    LogChangedError,
    RateLimitError,
    StorageError,
    TableError,
    WarehouseError,
)
from sluice.retry import RetryPolicy, wait_until


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
    messages = [record.getMessage() for record in caplog.records]
    assert [re.sub(r"tried for \d+ s", "tried for N s", message) for message in messages] == [
        "disk full; tried for N s of 60 s",
        "locked; tried for N s of 60 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "failure"),
    [(0, StorageError("disk full")), (60, ConfigError("typo")), (60, LogChangedError("the log was deleted"))],
)
def test_other_failure_and_expired_time_are_not_retried(seconds: float, failure: Exception) -> None:
    calls = []

    def action() -> None:
        calls.append(1)
        raise failure

    with pytest.raises(type(failure), match=str(failure)):
        RetryPolicy(seconds)(action)
    assert calls == [1]


def test_rate_limit_is_retried_for_longer_than_other_failures() -> None:
    failures: list[Exception] = [RateLimitError("429"), RateLimitError("429"), WarehouseError("down")]
    pauses: list[float] = []

    def action() -> None:
        raise failures.pop(0)

    with pytest.raises(WarehouseError, match="down"):
        RetryPolicy(0, rate_limit_seconds=600, sleep=pauses.append)(action)
    assert (len(pauses), failures) == (2, [])
    failures.append(RateLimitError("429"))
    with pytest.raises(RateLimitError):
        RetryPolicy(0)(action)


def test_table_that_takes_no_rows_is_not_tried_again() -> None:
    calls = []

    def action() -> None:
        calls.append(1)
        message = "orders"
        raise TableError(message)

    with pytest.raises(TableError):
        RetryPolicy(60)(action)
    assert calls == [1]


def test_policy_retries_only_its_own_errors_and_logs_them_at_its_level(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pauses: list[float] = []
    errors: list[Exception] = [KeyError("busy"), KeyError("busy"), WarehouseError("down")]

    def action() -> None:
        raise errors.pop(0)

    policy = RetryPolicy(
        60, errors=(KeyError,), longest_pause=0.25, log_level=logging.DEBUG, sleep=pauses.append
    )
    with caplog.at_level(logging.DEBUG, "sluice"), pytest.raises(WarehouseError, match="down"):
        policy(action)
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG"]
    assert len(pauses) == 2
    assert max(pauses) <= 0.25


def test_requested_pause_replaces_the_usual_one() -> None:
    pauses: list[float] = []
    requests = [7.0, 0.0, 61.0]

    def action() -> None:
        raise StorageError(str(requests.pop(0)))

    policy = RetryPolicy(60, requested_pause=lambda error: float(str(error)), sleep=pauses.append)
    with pytest.raises(StorageError, match=r"61\.0"):
        policy(action)
    assert pauses == [7.0, 0.0]


def test_condition_that_comes_true_is_waited_for() -> None:
    answers = [False, False, True]
    assert wait_until(lambda: answers.pop(0), seconds=60, pause=0.001)
    assert answers == []


def test_condition_that_stays_false_is_given_up() -> None:
    assert not wait_until(lambda: False, seconds=0.01, pause=0.001)
