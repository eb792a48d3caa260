"""Which minute folders a process remembers, and what it remembers of each."""

from __future__ import annotations

import pytest
from sluice.elements import LogKey, Segment, StoredSegment
from sluice.eventlog.minute_folders import MAX_CACHED_KEYS, FolderCache, MinuteFolder

SEGMENT = Segment("5e" * 16, "order", "out/order/1.json", 60, [b"1", b"2"])
OTHER = Segment("0e" * 16, "order", "out/order/2.json", 60, [b"3"])


def folder() -> MinuteFolder:
    return MinuteFolder("order/1970/01/01/00/01", "order_197001010001", "order")


def stored(segment: Segment) -> StoredSegment:
    return StoredSegment(segment.event_type, segment.path, segment.minute, segment.id)


def test_folder_names_its_files() -> None:
    assert folder().file(7) == "order/1970/01/01/00/01/order_1970010100010007.json"


def test_key_belongs_to_the_first_segment_that_has_it() -> None:
    minute = folder()
    minute.add(1, SEGMENT, [b"a", b"b"])
    minute.add(2, OTHER, [b"b", b"c"])
    assert minute.numbers == {b"a": 1, b"b": 1, b"c": 2}
    assert minute.segments == {1: stored(SEGMENT), 2: stored(OTHER)}


@pytest.mark.parametrize(
    ("lines", "new", "reported"),
    [
        ({}, {}, ()),
        ({b"d": b"4", b"e": b"5"}, {b"d": b"4", b"e": b"5"}, ()),
        ({b"d": b"4", b"c": b"3"}, {b"d": b"4"}, (OTHER,)),
        ({b"c": b"3", b"d": b"4", b"a": b"1", b"b": b"2"}, {b"d": b"4"}, (SEGMENT, OTHER)),
        ({b"a": b"1"}, {}, (SEGMENT,)),
    ],
)
def test_segments_of_known_lines_are_reported_once(
    lines: dict[bytes, bytes], new: dict[bytes, bytes], reported: tuple[Segment, ...]
) -> None:
    minute = folder()
    minute.add(2, OTHER, [b"c"])
    minute.add(1, SEGMENT, [b"a", b"b"])
    assert minute.new_lines(lines) == new
    assert minute.report() == tuple(map(stored, reported))
    assert minute.report() == ()


def test_cleared_folder_knows_nothing() -> None:
    minute = folder()
    minute.add(1, SEGMENT, [b"a"])
    minute.to_report.add(1)
    minute.unguarded.add(1)
    minute.clear()
    assert minute == folder()


def visit(cache: FolderCache, minute: int, keys: int = 0) -> int:
    """Use the folder of a minute, add keys to it, and return how many it had."""
    with cache.use(LogKey("order", minute, 0), folder) as used:
        known = len(used.numbers)
        used.add(known, SEGMENT, [b"%d" % (known + number) for number in range(keys)])
        return known


@pytest.mark.parametrize(
    ("max_keys", "remembered"),
    [(24, [2, 2]), (23, [2, 0]), (12, [2, 0]), (11, [0, 0]), (0, [0, 0])],
)
def test_folder_counts_as_ten_keys_and_those_that_it_has(max_keys: int, remembered: list[int]) -> None:
    cache = FolderCache(max_keys)
    for minute in (60, 120):
        assert visit(cache, minute, keys=2) == 0
    assert [visit(cache, minute) for minute in (120, 60)] == remembered


def test_folder_used_least_recently_is_dropped_first() -> None:
    cache = FolderCache(33)
    for minute in (60, 120, 180):
        visit(cache, minute, keys=1)
    assert visit(cache, 60) == 1
    visit(cache, 240, keys=1)  # there is room for three
    assert [visit(cache, minute) for minute in (240, 60, 180)] == [1, 1, 1]
    assert visit(cache, 120) == 0


def test_folder_that_grows_pushes_others_out() -> None:
    cache = FolderCache(40)
    for minute in (60, 120):
        visit(cache, minute, keys=5)
    assert visit(cache, 120, keys=10) == 5  # 15 + 25 keys
    assert [visit(cache, minute) for minute in (60, 120)] == [5, 15]
    visit(cache, 120, keys=1)
    assert [visit(cache, minute) for minute in (120, 60)] == [16, 0]


def test_weight_is_exact_after_many_uses() -> None:
    cache = FolderCache(24)
    for _ in range(20):
        assert visit(cache, 60) in (0, 2)
        visit(cache, 60, keys=2 if visit(cache, 60) == 0 else 0)
    visit(cache, 120, keys=2)
    assert [visit(cache, minute) for minute in (60, 120)] == [2, 2]


def test_folder_of_a_failed_append_is_remembered_once() -> None:
    cache = FolderCache(24)
    with pytest.raises(OSError, match="disk full"), cache.use(LogKey("order", 60, 0), folder) as used:
        used.add(1, SEGMENT, [b"a", b"b"])
        message = "disk full"
        raise OSError(message)
    assert visit(cache, 60) == 2
    visit(cache, 120, keys=2)
    assert [visit(cache, minute) for minute in (60, 120)] == [2, 2]


def test_copies_of_two_threads_count_once() -> None:
    cache = FolderCache(24)
    key = LogKey("order", 60, 0)
    with cache.use(key, folder) as first, cache.use(key, folder) as second:
        assert first is not second
        first.add(1, SEGMENT, [b"a", b"b"])
        second.add(1, SEGMENT, [b"a"])
    assert visit(cache, 60) == 2  # the copy that was put back last
    visit(cache, 120, keys=2)
    assert [visit(cache, minute) for minute in (60, 120)] == [2, 2]


@pytest.mark.parametrize(("keys", "remembered"), [(499_990, 499_990), (499_991, 0)])
def test_a_million_keys_are_remembered(keys: int, remembered: int) -> None:
    cache = FolderCache(MAX_CACHED_KEYS)
    first = LogKey("order", 60, 0)
    with cache.use(first, folder) as used:
        used.numbers = dict.fromkeys((number.to_bytes(4) for number in range(keys)), 1)
    visit(cache, 120, keys=499_990)
    assert visit(cache, 60) == remembered
