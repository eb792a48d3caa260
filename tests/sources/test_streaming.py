"""What streaming sources share: trackers, watermarks, arrivals, and where acknowledgements are completed."""

from __future__ import annotations

import pytest
from apache_beam.io.restriction_trackers import OffsetRange
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.options.pipeline_options import PipelineOptions
from sluice.clock import LAST_SECOND
from sluice.sources.streaming import (
    EARLIEST,
    END,
    MAX_BEHIND_WATERMARK,
    EndlessTracker,
    SharedWatermark,
    acknowledges_in_process,
    advance,
    find_arrivals,
    finish,
    watermark_of,
)

DAY = 86400.0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], True),
        (["--runner=PrismRunner"], True),
        (["--runner=apache_beam.runners.portability.prism_runner.PrismRunner"], True),
        (["--runner=PortableRunner", "--job_endpoint=localhost:8099"], False),
        (["--runner=FlinkRunner"], False),
        (["--runner=DataflowRunner"], False),
    ],
)
def test_acks_are_completed_on_prism_alone(arguments: list[str], expected: bool) -> None:
    assert acknowledges_in_process(PipelineOptions(arguments, streaming=True)) is expected


def test_endless_range_is_split_only_behind_its_last_claim() -> None:
    tracker = EndlessTracker(OffsetRange(5, END))
    assert not tracker.is_bounded()
    assert tracker.try_claim(7)
    assert tracker.try_split(0.5) is None
    assert tracker.try_split(0) == (OffsetRange(5, 8), OffsetRange(8, END))
    assert not tracker.try_claim(9)
    tracker.check_done()


def test_split_of_an_unclaimed_range_leaves_an_empty_primary() -> None:
    tracker = EndlessTracker(OffsetRange(5, END))
    assert tracker.try_split(0) == (OffsetRange(5, 5), OffsetRange(5, END))
    tracker.check_done()


@pytest.mark.parametrize("start", [0, 5, END])
def test_finished_range_has_no_residual(start: int) -> None:
    tracker = EndlessTracker(OffsetRange(start, END))
    finish(tracker)
    tracker.check_done()
    assert tracker.try_split(0) is None


def test_watermark_never_moves_back() -> None:
    estimator = ManualWatermarkEstimator(None)
    assert watermark_of(estimator) == EARLIEST
    for seconds, expected in ((EARLIEST, EARLIEST), (10.5, 10.5), (9.0, 10.5), (10.5, 10.5), (11.0, 11.0)):
        advance(estimator, seconds)
        assert watermark_of(estimator) == expected


def test_arrivals_stay_within_a_month_of_the_watermark() -> None:
    watermark = 100 * DAY
    lowest = watermark - MAX_BEHIND_WATERMARK
    times = [watermark + 5, watermark - DAY, lowest, lowest - 0.001, 3.0]
    arrivals = find_arrivals(times, watermark, watermark + 9)
    assert arrivals == ([watermark + 5, watermark - DAY, lowest, lowest, lowest], frozenset())


@pytest.mark.parametrize(
    "time", [-0.001, -1.0, -62_135_596_800.0, LAST_SECOND + 0.001, 1.7e12, 9.3e15, float("inf")]
)
def test_time_that_cannot_be_stored_is_the_time_of_reading(time: float) -> None:
    assert find_arrivals([5.0, time, LAST_SECOND, time], 3.0, 7.5) == (
        [5.0, 7.5, LAST_SECOND, 7.5],
        frozenset({1, 3}),
    )
    assert find_arrivals([time], 100 * DAY, 3.0) == ([100 * DAY - MAX_BEHIND_WATERMARK], frozenset({0}))


def test_shared_watermark_is_the_lowest_of_all_partitions() -> None:
    shared = SharedWatermark()
    assert shared.advance(0, 10.0) == 10.0
    assert shared.advance(1, 5.0) == 5.0
    assert shared.advance(0, 20.0) == 5.0
    assert shared.advance(1, 4.0) == 5.0
    assert shared.advance(1, 30.0) == 20.0
    shared.remove(0)
    assert shared.advance(1, 30.0) == 30.0
