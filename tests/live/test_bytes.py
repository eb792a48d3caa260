"""Every layout, encoding and compression gives the same records: objects in a bucket, read by the real command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sluice.storage import open_store

from devservers import s3
from tests.end_to_end.byte_corpus import Sample, assert_every_record_is_stored, csv_samples, json_samples

BUCKET = "events"


@pytest.mark.parametrize(
    ("job", "samples"), [("user_logs", json_samples), ("commerce_sales", csv_samples)], ids=["json", "csv"]
)
def test_every_object_gives_its_records(
    job: str, samples: Callable[[], Iterator[Sample]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = list(samples())[::23]  # each object takes the emulator some requests
    with s3.start(BUCKET) as server:
        environment = {**server.environment, "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        store = open_store(f"s3://{BUCKET}")
        for sample in every:
            assert store.create(f"in/{sample.name}", sample.data)
        assert_every_record_is_stored(job, f"s3://{BUCKET}/in", every, tmp_path, environment)
