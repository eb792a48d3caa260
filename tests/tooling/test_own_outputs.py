"""A source that holds what its job writes, named in every way, and sources beside it, which hold nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sluice.config.job import Job
from sluice.config.urls import Url
from sluice.tooling.own_outputs import find_own_output

from tests.graph.graph_fixture import CONTRACTS

OwnOutput = Callable[[str], str | None]
SEGMENT = "click/2025/02/08/13/09/click_2025020813090001.json"


def job(files: str, warehouse: str, dead_letters: str) -> Job:
    return Job(
        name="test",
        contracts=CONTRACTS,
        route_by="event_type",
        source=Url("none"),
        files=Url(files),
        warehouse=Url(warehouse),
        dead_letters=Url(dead_letters),
    )


@pytest.fixture
def own_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnOutput:
    """A job whose files lie in out/ and whose input lies in in/, of which nothing is written yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").touch()
    made = job("out/files", "duckdb:///out/w.duckdb", "out/dead")
    return lambda source: find_own_output(replace(made, source=Url(source)))


@pytest.mark.parametrize(
    "source",
    [
        ".",
        "./",
        "in/..",
        "out",
        "out/",
        "file://out",
        "out/files",
        "out/files/click",
        "out/files/click/2025/02",
        f"out/files/{SEGMENT}",
        "**",
        "**/*.json",
        "*/files/**",
        "o*/**",
        "out/files/*/*/*/*/*/*/*.json",
        "out/files/click/**/click_*.json",
        "out/files/**/click_2025*.json",
        "out/files/**/*0001.json",
        "out/files/click/20[12]?/**",
        "in/../out/files/**",
    ],
)
def test_source_that_holds_the_event_log_is_found(own_output: OwnOutput, source: str) -> None:
    assert own_output(source) == "the event log out/files"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("out/dead", "the dead letters out/dead"),
        ("out/dead/20*/**", "the dead letters out/dead"),
        ("out/dead/**/redelivery_*", "the redelivery log out/dead/redelivery"),
        ("out/dead/quarantine/**", "the quarantine out/dead/quarantine"),
        ("out/w.duckdb", "the warehouse duckdb:///out/w.duckdb"),
        ("out/*.duckdb", "the warehouse duckdb:///out/w.duckdb"),
        ("out/w", "the warehouse duckdb:///out/w.duckdb"),
        ("out/w/click_events/**", "the warehouse duckdb:///out/w.duckdb"),
        ("out/**/*.parquet", "the warehouse duckdb:///out/w.duckdb"),
    ],
)
def test_source_that_holds_another_output_is_found(own_output: OwnOutput, source: str, what: str) -> None:
    assert own_output(source) == what


@pytest.mark.parametrize(
    "source",
    [
        "in",
        "in/*",
        "in/**/*.json",
        "*/*.json",
        "*.json",
        "out/*.json",
        "out/files/*",
        "out/files/archive",
        "out/files/archive/**",
        "out/files/*/2025.json",
        "output/**",
        "out/filesystem/**",
        "out/dead/letters.json",
        "in/**/click_*.json",
        "dead-letters:out/dead",
        "kafka://localhost:9092/t?group=g",
        "s3://bucket/**",
    ],
)
def test_source_beside_the_outputs_holds_none(own_output: OwnOutput, source: str) -> None:
    assert own_output(source) is None


@pytest.mark.parametrize("target", ["out", "out/files", "out/files/click", "."])
@pytest.mark.parametrize("source", ["in", "in/**", "in/*/**/*.json", "linked"])
def test_links_are_followed(own_output: OwnOutput, tmp_path: Path, target: str, source: str) -> None:
    (tmp_path / "out" / "files" / "click").mkdir(parents=True)
    link = tmp_path / "linked" if source == "linked" else tmp_path / "in" / "linked"
    link.symlink_to(tmp_path / target)
    assert own_output(source) == "the event log out/files"


def test_link_to_one_segment_is_found(own_output: OwnOutput, tmp_path: Path) -> None:
    segment = tmp_path / "out" / "files" / SEGMENT
    segment.parent.mkdir(parents=True)
    segment.touch()
    (tmp_path / "in" / "again.json").symlink_to(segment)
    assert own_output("in/*.json") == "the event log out/files"
    assert own_output("in/a.json") is None


def test_output_that_lies_behind_a_link_is_found(own_output: OwnOutput, tmp_path: Path) -> None:
    (tmp_path / "in" / "store").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "in" / "store")
    assert own_output("in") == "the event log out/files"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("s3://b", True),
        ("s3://b/", True),
        ("s3://b/out", True),
        ("s3://b/out/files/", True),
        ("s3://b/**", True),
        ("s3://b/out/**/*.json", True),
        ("s3://b/o*/files/*/*/*/*/*/*/*", True),
        (f"s3://b/out/files/{SEGMENT}", True),
        ("s3://b/in", False),
        ("s3://b/in/**", False),
        ("s3://b/*.json", False),
        ("s3://b/output", False),
        ("s3://c/out", False),
        ("gs://b/out", False),
        ("b/out", False),
    ],
)
def test_source_in_a_bucket_is_compared_by_its_names(source: str, found: bool) -> None:
    made = job("s3://b/out/files", "duckdb:///w.duckdb", "s3://b/out/dead/")
    expected = "the event log s3://b/out/files" if found else None
    assert find_own_output(replace(made, source=Url(source))) == expected
