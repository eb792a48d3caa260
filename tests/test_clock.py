from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sluice.clock import MICROSECONDS, storable, window_time


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1.5, -1.5),
        (-62_135_596_801.0, -62_135_596_800.0),
        (253_402_300_799.5, 253_402_300_799.0),
        (9e15, 253_402_300_799.0),
        (-9e15, -62_135_596_800.0),
    ],
)
def test_times_are_ones_that_can_be_stored(seconds: float, expected: float) -> None:
    assert storable(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-10, datetime(1969, 12, 31, 23, 59, 50, tzinfo=UTC)),
        (253_402_300_800, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (-62_135_596_800 - 86_400, datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_window_begins_and_ends_in_the_years_1_to_9999(seconds: int, expected: datetime) -> None:
    assert window_time(seconds * MICROSECONDS) == expected
