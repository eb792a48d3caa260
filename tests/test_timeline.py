"""Events over time: windows become wider as there are more of them, and sums stay exact."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from sluice.elements import StepCounts, add_step_counts
from sluice.timeline import OTHER_TYPES, LatestWindows, Timeline, WindowEvents

SECOND = 1_000_000
DAY = 86_400


def window(number: int, event_type: str = "order", events: int = 1, width: int = 10) -> WindowEvents:
    return WindowEvents(number * width * SECOND, (number + 1) * width * SECOND, event_type, events)


def timeline(windows: Sequence[WindowEvents]) -> list[WindowEvents]:
    result = Timeline()
    result.add(windows)
    return result.windows()


@pytest.mark.parametrize(
    ("last", "width"), [(239, 10), (240, 60), (1_439, 60), (1_440, 600), (14_399, 600), (14_400, 3600)]
)
def test_windows_become_wider_when_there_are_too_many(last: int, width: int) -> None:
    result = timeline([window(number) for number in range(last + 1)])
    assert {(found.end - found.start) // SECOND for found in result} == {width}
    assert [found.start for found in result] == [start * SECOND for start in range(0, (last + 1) * 10, width)]
    assert sum(found.events for found in result) == last + 1


@pytest.mark.parametrize("first", [-62_135_596_800, -5, 0, 253_402_300_790])
def test_years_fit_into_the_windows(first: int) -> None:
    windows = [window((first + number * 33 * DAY) // 10) for number in range(0, 80_000, 7)]
    result = timeline(windows)
    assert len(result) <= 240
    assert sum(found.events for found in result) == len(windows)


def test_windows_of_one_job_may_be_of_any_width() -> None:
    assert timeline([window(3, width=15), window(3, "cart", 2, width=15), window(3, width=15)]) == [
        window(3, "cart", 2, width=15),
        window(3, "order", 2, width=15),
    ]


def test_more_than_twelve_types_are_counted_together() -> None:
    result = timeline([window(0, f"type_{number:03}", 1000 - number) for number in range(500)])
    assert len(result) == 13
    assert {found.event_type for found in result} == {
        OTHER_TYPES,
        *(f"type_{number:03}" for number in range(12)),
    }
    assert sum(found.events for found in result) == sum(range(501, 1001))


def test_latest_windows_are_exact_in_any_order() -> None:
    windows = [
        window(number, name) for number in range(50) for name in ("order", "cart") for _ in range(number)
    ]
    random.Random(7).shuffle(windows)
    latest = LatestWindows()
    latest.add(windows)
    assert latest.windows() == [
        window(number, name, number) for number in range(38, 50) for name in ("cart", "order")
    ]


@pytest.mark.parametrize("seed", range(5))
def test_sum_of_sums_is_the_sum(seed: int) -> None:
    draw = random.Random(seed)
    counts = [
        StepCounts(
            {("loaded", "order"): 1},
            windows=[window(draw.randrange(draw.choice([100, 10_000])), draw.choice("abc"))],
        )
        for _ in range(2_000)
    ]
    whole = add_step_counts(counts)
    cuts = sorted(draw.sample(range(2_000), 9))
    parts = [counts[start:end] for start, end in zip([0, *cuts], [*cuts, 2_000], strict=True)]
    assert add_step_counts(map(add_step_counts, parts)) == whole
    by_type: Counter[str] = Counter()
    for found in whole.windows:
        by_type[found.event_type] += found.events
    expected: Counter[str] = Counter(found.event_type for count in counts for found in count.windows)
    assert by_type == expected
    assert len({found.start for found in whole.latest}) == 12
