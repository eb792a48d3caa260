"""Values of typed formats have one spelling in JSON, and lose nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sluice.formats.canonical_rows import (
    base64_text,
    date_text,
    decimal_number,
    duration_text,
    float_or_text,
    lines_of,
    numbered,
    time_text,
    timestamp_text,
)


@pytest.mark.parametrize(
    ("value", "per_second", "text"),
    [
        (0, 1, "1970-01-01T00:00:00Z"),
        (-1, 1, "1969-12-31T23:59:59Z"),
        (1_736_330_400_000, 10**3, "2025-01-08T10:00:00Z"),
        (1_736_330_400_120, 10**3, "2025-01-08T10:00:00.120Z"),
        (1_736_330_400_120_000, 10**6, "2025-01-08T10:00:00.120Z"),
        (1_736_330_400_123_456, 10**6, "2025-01-08T10:00:00.123456Z"),
        (1_736_330_400_123_456_000, 10**9, "2025-01-08T10:00:00.123456Z"),
        (1_736_330_400_123_456_789, 10**9, "2025-01-08T10:00:00.123456789Z"),
        (-62_135_596_800, 1, "0001-01-01T00:00:00Z"),
        (253_402_300_800, 1, "+10000-01-01T00:00:00Z"),
        (-62_135_596_801, 1, "+0000-12-31T23:59:59Z"),
        (-(2**63), 10**6, "-290308-12-21T19:59:05.224192Z"),
    ],
)
def test_instant_is_written_with_the_fewest_digits(value: int, per_second: int, text: str) -> None:
    assert timestamp_text(value, per_second, "Z") == text


@settings(max_examples=50)
@given(st.datetimes())
def test_timestamp_of_the_calendar_is_that_of_python(value: datetime) -> None:
    micros = (value - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001  a local timestamp has none
    assert datetime.fromisoformat(timestamp_text(micros, 10**6, "")) == value
    utc = value.replace(tzinfo=UTC)
    assert datetime.fromisoformat(timestamp_text(micros * 1000, 10**9, "Z")) == utc


@settings(max_examples=50)
@given(st.dates())
def test_date_of_the_calendar_is_that_of_python(value: date) -> None:
    assert date_text((value - date(1970, 1, 1)).days) == value.isoformat()


@pytest.mark.parametrize(
    ("function", "value", "per_second", "text"),
    [
        (time_text, 86_399_999, 10**3, "23:59:59.999"),
        (time_text, 1, 10**9, "00:00:00.000000001"),
        (time_text, 3600, 1, "01:00:00"),
        (duration_text, 1500, 10**3, "PT1.500S"),
        (duration_text, -90_000_000_000, 10**9, "-PT90S"),
    ],
)
def test_times_and_durations(function: object, value: int, per_second: int, text: str) -> None:
    assert callable(function)
    assert function(value, per_second) == text


def test_values_that_json_has_not_are_texts() -> None:
    values = [float("nan"), float("inf"), float("-inf"), 1.5, -0.0]
    assert list(map(float_or_text, values)) == ["NaN", "Infinity", "-Infinity", 1.5, -0.0]
    assert base64_text(b"\x00\xff") == "AP8="


def test_line_of_a_row_is_exact() -> None:
    row = {
        "a": decimal_number(Decimal("12345678901234567890.1200")),
        "b": "x\n\u2028é",
        "c": None,
        "d": 2**64 - 1,
    }
    line = '{"a":12345678901234567890.1200,"b":"x\\n\u2028é","c":null,"d":18446744073709551615}'
    assert lines_of([row, {}]) == [line.encode(), b"{}"]
    assert lines_of([]) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [("0E-9", "0.000000000"), ("-1E-7", "-0.0000001"), ("1E+3", "1000"), ("1E+999999", "1E+999999")],
)
def test_decimal_has_no_exponent_but_a_huge_one(value: str, text: str) -> None:
    assert bytes(decimal_number(Decimal(value))) == text.encode()


def test_lines_are_numbered_in_blocks_of_half_a_mib() -> None:
    blocks = list(numbered([b"x" * 1000] * 1000, 7))
    assert [(len(block.records), block.offsets) for block in blocks] == [
        (525, range(7, 532)),
        (475, range(532, 1007)),
    ]
