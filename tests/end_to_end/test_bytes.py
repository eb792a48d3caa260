"""Every layout, encoding and compression gives the same records: in files read by the real command, and in answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devservers.http_api import HttpRequest, HttpResponse
from tests.end_to_end.byte_corpus import Sample, assert_every_record_is_stored, csv_samples, json_samples
from tests.sources.http_api.api_fixture import read, serve


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


def test_every_answer_gives_its_records() -> None:
    samples = {sample.name: sample for sample in list(json_samples())[::11]}

    def respond(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, samples[request.query["name"]].data)

    with serve(respond) as server:
        for sample in samples.values():
            batches = read(f"{server.url}?name={sample.name}#paging=none")
            records = [json.loads(record) for batch in batches for record in batch.records]
            assert records == [json.loads(record) for record in sample.records], sample.name
