from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to
from sluice.config.job import load_job
from sluice.errors import ConfigError
from sluice.graph.run_context import RunContext
from sluice.runtime import launch
from sluice.runtime.launch import run_job
from sluice.sources import open_source
from sluice.sources.limited import LimitedSource
from sluice.validation.age_limits import AgeLimits
from sluice.warehouses.bigquery.warehouse import BigQueryWarehouse

from devservers import fake_pubsub


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
        LimitedSource(open_source("dead-letters:dead"), 3, "dead-letters:dead")
    assert str(caught.value) == "--limit: expected a source other than dead letters, got dead-letters:dead"


CLICKS = "pubsub://projects/p/subscriptions/clicks"
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: shop-click
version: 1.0.0
domain: shop
schema:
  - name: click
    physicalName: clicks
    customProperties:
      - {property: eventTime, value: at}
    properties:
      - {name: at, logicalType: timestamp, required: true}
"""


class BuiltError(Exception):
    """The run was opened, and its graph would be built now."""


def test_records_of_a_stream_are_judged_and_loaded_as_by_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "click.odcs.yaml").write_text(CONTRACT)
    (tmp_path / "job.yaml").write_text(
        f"name: shop\ncontracts: {tmp_path}/click.odcs.yaml\nsource: {CLICKS}\n"
        f"files: {tmp_path}/files\nwarehouse: sqlite:///{tmp_path}/w.db\ndead_letters: {tmp_path}/dead\n"
        "windows: {allowed_lateness: 1h, max_skew: 1m}\n"
    )
    opened: list[RunContext] = []

    def build(_: object, __: object, context: RunContext) -> None:
        opened.append(context)
        raise BuiltError

    monkeypatch.setattr(launch, "build", build)
    with fake_pubsub.start() as service, pytest.raises(BuiltError):
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", service.host)
        run_job(load_job(str(tmp_path / "job.yaml")), limit=2)
    (context,) = opened
    assert context.ages == AgeLimits(max_skew=60, allowed_lateness=3600, started=None)
    assert not context.event_windowing.live
    # A day of a history is one load of BigQuery; of a stream, each segment is, also with a limit.
    assert replace(context, warehouse=BigQueryWarehouse("p", "d")).coalesced_loads is None


@pytest.mark.parametrize(
    ("source", "of_stream"),
    [(CLICKS, True), ("kafka://localhost:9092/t?group=g", True), ("in.ndjson", False)],
)
def test_limited_source_tells_whether_its_records_are_of_a_stream(source: str, of_stream: bool) -> None:
    assert LimitedSource(open_source(source), 3, source).of_stream is of_stream
