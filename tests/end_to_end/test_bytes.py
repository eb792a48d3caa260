"""Every layout, encoding and compression gives the same records: files, read by the real command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.byte_corpus import Sample, assert_every_record_is_stored, csv_samples, json_samples


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(1, marks=pytest.mark.long),
        11,  # it divides no number of variants, so every two of them meet
    ],
    ids=["all", "pairs"],
)
@pytest.mark.parametrize(
    ("job", "samples"), [("user_logs", json_samples), ("commerce_sales", csv_samples)], ids=["json", "csv"]
)
def test_every_file_gives_its_records(
    job: str, samples: Callable[[], Iterator[Sample]], step: int, tmp_path: Path
) -> None:
    every, source = list(samples())[::step], tmp_path / "in"
    source.mkdir()
    for sample in every:
        (source / sample.name).write_bytes(sample.data)
    assert_every_record_is_stored(job, str(source), every, tmp_path)
