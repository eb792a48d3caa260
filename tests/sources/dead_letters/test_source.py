"""Dead letters as a source of the graph: its URL, what it checks, what it reads."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import apache_beam as beam
import pytest
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that
from sluice.config.urls import Url
from sluice.dead_letters.selection import make_selection
from sluice.elements import RecordBatch
from sluice.errors import ConfigError, SourceError
from sluice.sources import open_source
from sluice.sources.dead_letters.connector import DeadLettersConnector

from tests.dead_letters.samples import click, rejected_click, store


@pytest.mark.parametrize(
    "conditions",
    [
        [("code", "enum")],
        [("code", "enum"), ("code", "range"), ("event_type", "a&b=c")],
        [("since", "2025-02-08T14:09:31.123457+01:00")],
    ],
)
def test_address_names_folder_and_selection(conditions: list[tuple[str, str]]) -> None:
    query = "&".join(f"{name}={quote(value)}" for name, value in conditions)
    source = DeadLettersConnector.parse(f"dead-letters:out/a%20folder%3F?{query}").open()
    assert (source.selection, source.url) == (make_selection(conditions, "test"), Url("out/a folder?"))


def test_address_names_the_quarantine(tmp_path: Path) -> None:
    source = DeadLettersConnector.parse(f"dead-letters:out?quarantine={quote(str(tmp_path / 'a&b'))}").open()
    assert source.log.quarantine.store.root == str(tmp_path / "a&b")


def test_source_reads_the_records_of_its_selection(tmp_path: Path) -> None:
    store(tmp_path, rejected_click(click()))
    source = open_source(f"dead-letters:{tmp_path}?code=enum")
    source.check()
    assert (source.bounded, source.size()) == (True, None)

    def check(batches: list[RecordBatch]) -> None:
        assert [list(batch.records) for batch in batches] == [[click()]]

    with test_pipeline.TestPipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | "Read" >> source
        assert_that(read | beam.Map(lambda batch: batch), check)


def test_unknown_field_in_the_url_is_rejected() -> None:
    with pytest.raises(ConfigError) as unknown:
        open_source("dead-letters:x?colour=red")
    assert str(unknown.value) == (
        "dead-letters:x: expected options among code, event_type, job, step, contract, since, quarantine behind ?, "
        "got 'colour'"
    )


def test_folder_without_dead_letters_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as missing:
        open_source(f"dead-letters:{tmp_path}").check()
    assert str(missing.value) == f"{tmp_path}: expected the dead letters of a job, got no _log.json"
