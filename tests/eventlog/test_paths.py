"""Path rules, segment ids and shards."""

from __future__ import annotations

import pytest
import xxhash
from sluice.eventlog.paths import (
    SegmentName,
    minute_prefix,
    parse_segment_path,
    segment_file,
    segment_id,
    segment_number,
    segment_path,
)

MINUTE = 1_786_630_020  # 2026-08-13T14:07:00Z


@pytest.mark.parametrize(
    ("name", "minute", "number", "folder", "path"),
    [
        ("order", MINUTE, 1, "order", "order/2026/08/13/14/07/order_2026081314070001.json"),
        ("order", MINUTE, 9999, "order", "order/2026/08/13/14/07/order_2026081314079999.json"),
        ("order", MINUTE, 10000, "order", "order/2026/08/13/14/07/order_20260813140710000.json"),
        ("dead_letter", 0, 12, "", "1970/01/01/00/00/dead_letter_1970010100000012.json"),
        ("order", -62135596800, 1, "a/b", "a/b/0001/01/01/00/00/order_0001010100000001.json"),
        ("order", 253402300740, 1, "order", "order/9999/12/31/23/59/order_9999123123590001.json"),
        ("a_202608131407", -60, 1, "a", "a/1969/12/31/23/59/a_202608131407_1969123123590001.json"),
    ],
)
def test_segment_path_is_parsed_back(name: str, minute: int, number: int, folder: str, path: str) -> None:
    assert segment_path(name, minute, number, folder) == path
    assert parse_segment_path(path) == SegmentName(name, minute, number, folder)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "order/_log.json",
        "order/2026/08/13/14/07/order_2026081314070000.json",  # numbers start at 1
        "order/2026/08/13/14/07/order_202608131407001.json",  # three digits
        "order/2026/08/13/14/07/order_20260813140700001.json",  # 1 in five digits
        "order/2026/08/13/14/07/order_2026081314080001.json",  # another minute
        "order/2026/13/13/14/07/order_2026131314070001.json",  # month 13
        "order/0000/01/01/00/00/order_0000010100000001.json",  # no year 0
        "order/2026/08/13/14/07/order_2026081314070001.json~",
        "order/2026/08/13/14/07/order_2026081314070001.json.gz",
        "order/2026/08/13/14/07/order_202608131407\u0660\u0660\u0660\u0661.json",  # Arabic digits
        "2026/08/13/order_2026081314070001.json",
    ],
)
def test_parse_segment_path_rejects_other_paths(path: str) -> None:
    assert parse_segment_path(path) is None


@pytest.mark.parametrize("number", [1, 9, 10, 9999, 10000, 123456])
def test_segment_file_is_parsed_back(number: int) -> None:
    stem = minute_prefix("order", MINUTE, "order")[1]
    file = segment_file(stem, number)
    assert file == f"order_202608131407{number:04d}.json"
    assert segment_number(stem, file) == number


@pytest.mark.parametrize(
    "file",
    [
        "order_202608131407.json",
        "order_2026081314070000.json",  # numbers start at 1
        "order_202608131407001.json",  # three digits
        "order_20260813140700001.json",  # 1 in five digits
        "order_2026081314070001.json~",
        "order_2026081314070001.json.gz",
        "order_2026081314080001.json",  # another minute
        "Order_2026081314070001.json",
        "order_202608131407\u0660\u0660\u0660\u0661.json",  # Arabic digits
        "_log.json",
    ],
)
def test_file_that_is_no_segment_of_the_minute_has_no_number(file: str) -> None:
    assert segment_number("order_202608131407", file) is None


def test_minute_that_is_not_whole_is_rejected() -> None:
    with pytest.raises(ValueError, match="minute: expected epoch seconds that are a multiple of 60, got 61"):
        segment_path("order", 61, 1)


def test_segment_id_hashes_type_minute_and_content() -> None:
    assert segment_id("order", 60, b"a\n") == xxhash.xxh3_128_hexdigest(b"order\x0060\0a\n")
    assert segment_id("order", 60, b"a\n") != segment_id("user", 60, b"a\n")
    assert segment_id("order", 60, b"a\n") != segment_id("order", 120, b"a\n")
