from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from sluice.config.durations import day_or_yesterday, duration, floor_to, time_with_offset
from sluice.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("5m", 300), ("2h", 7200), ("7d", 604800), ("0s", 0)]
)
def test_duration_with_unit_is_seconds(text: str, seconds: float) -> None:
    assert duration(text, "x") == seconds


@pytest.mark.parametrize("value", ["10", "1.5s", "s", "-1s", "10 s", 10, None])
def test_duration_without_unit_is_rejected(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        duration(value, "--since")
    assert str(caught.value) == (
        f"--since: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, got {value!r}"
    )


def test_duration_over_ten_years_is_rejected() -> None:
    assert duration("3650d", "x") == 3650 * 86400
    with pytest.raises(ConfigError, match="(?m)^x: expected at most 3650d, got '3651d'$"):
        duration("3651d", "x")


@pytest.mark.parametrize("unit", ["ms", "s", "m", "h", "d"])
@pytest.mark.parametrize("digits", [120, 400, 5_000, 100_000])
def test_duration_of_many_digits_is_read_or_rejected(digits: int, unit: str) -> None:
    assert duration("0" * digits + f"7{unit}", "x") == duration(f"7{unit}", "x")
    with pytest.raises(ConfigError, match=r"(?m)^x: expected at most 3650d, got '9{98}…$"):
        duration("9" * digits + unit, "x")


def test_time_needs_an_offset() -> None:
    assert time_with_offset("2025-02-08T13:09:00Z", "x") == datetime(2025, 2, 8, 13, 9, tzinfo=UTC)
    for text in (
        "2025-02-08T13:09:00",
        "yesterday",
        "",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ):
        with pytest.raises(ConfigError) as caught:
            time_with_offset(text, "x")
        assert str(caught.value) == (
            f"x: expected a time with its offset, such as 2025-02-08T13:09:00Z, got {text!r}"
        )


def test_time_is_floored_to_the_start_of_its_span() -> None:
    assert floor_to(86400 * 3 + 7.5, 86400) == 86400 * 3
    assert floor_to(7.5, 0) == 7.5


def test_yesterday_is_the_last_whole_day_in_utc() -> None:
    midnight = 1_796_083_200.0  # 2026-12-01T00:00:00Z
    assert day_or_yesterday("yesterday", "--as-of", midnight) == date(2026, 11, 30)
    assert day_or_yesterday("yesterday", "--as-of", midnight - 1) == date(2026, 11, 29)
    assert day_or_yesterday("2026-12-31", "--as-of", midnight) == date(2026, 12, 31)
