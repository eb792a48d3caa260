from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to
from sluice.errors import ConfigError
from sluice.sources import open_source
from sluice.sources.limited import LimitedSource


def test_limited_source_reads_some_records_of_each_file(tmp_path: Path) -> None:
    for name in "ab":
        lines = "".join(f'{{"{name}":{number}}}\n' for number in range(9))
        (tmp_path / f"{name}.ndjson").write_text(lines)
    source = LimitedSource(open_source(str(tmp_path)), 3, "in")
    assert source.size() is None
    with Pipeline() as pipeline:
        records = pipeline | "Read" >> source | beam.FlatMap(lambda batch: batch.records)
        assert_that(records, equal_to([b'{"a":0}', b'{"a":1}', b'{"b":0}']))


def test_source_whose_records_cannot_be_read_alone_takes_no_limit() -> None:
    with pytest.raises(ConfigError) as caught:
        LimitedSource(open_source("http://127.0.0.1:9/"), 3, "http://127.0.0.1:9/")
    assert str(caught.value) == "--limit: expected files or a topic as the source, got http://127.0.0.1:9/"
