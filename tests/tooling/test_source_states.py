"""What a job has read of its sources, beside the files that are there now."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from sluice.config.job import Job
from sluice.config.urls import Url
from sluice.eventlog.source_manifest import RunOfJob, SourceManifest, make_entries
from sluice.provenance import Source
from sluice.source_tallies import SourceTally
from sluice.tooling.source_states import SourceState, source_states

from tests.graph.graph_fixture import GraphRun

MODIFIED = 1_700_000_000.0
DATA = b"0123456789"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    made = GraphRun(tmp_path, live=False).job
    (tmp_path / "in").mkdir()
    for name in ("new", "size", "time", "same"):
        path = tmp_path / "in" / name
        path.write_bytes(DATA)
        os.utime(path, (MODIFIED, MODIFIED))
    return replace(made, source=Url(str(tmp_path / "in")))


def write(job: Job, run: str, started: float, tallies: dict[Source, SourceTally]) -> None:
    manifest = SourceManifest.at(job.files)
    manifest.log.open()
    _ = list(manifest.append(make_entries(RunOfJob(job.name, run, started), tallies, {})))


def shown(states: list[SourceState]) -> list[tuple[str, str, int, str | None]]:
    return [
        (
            state.state,
            Path(state.source.uri).name,
            state.accepted,
            state.entry.run_id if state.entry else None,
        )
        for state in states
    ]


def test_each_file_is_new_changed_missing_or_read(job: Job) -> None:
    folder = job.source.reveal()
    tally = SourceTally(5, 3, 2, size=len(DATA), modified=MODIFIED)
    names = {name: Source(f"{folder}/{name}") for name in ("size", "time", "same", "gone")}
    write(job, "r1", 60.0, {source: tally for name, source in names.items() if name != "time"})
    again = SourceTally(5, 0, 5, size=len(DATA), modified=MODIFIED)
    write(job, "r2", 120.0, {names["same"]: again, names["time"]: again})
    (Path(folder) / "size").write_bytes(DATA + b"x")
    os.utime(Path(folder) / "size", (MODIFIED, MODIFIED))
    os.utime(Path(folder) / "time", (MODIFIED, MODIFIED + 0.5))
    assert shown(source_states(job)) == [
        ("new", "new", 0, None),
        ("changed", "size", 3, "r1"),
        ("changed", "time", 0, "r2"),
        ("missing", "gone", 3, "r1"),
        ("read", "same", 3, "r2"),
    ]


def test_job_that_has_not_run_has_new_files_alone(job: Job) -> None:
    assert [state.state for state in source_states(job)] == ["new"] * 4


def test_partitions_are_what_was_read_of_them(job: Job) -> None:
    job = replace(job, source=Url("kafka://b:9092/t?group=g"))
    parts = {Source("kafka://b:9092/t", part): SourceTally(1, 1, start=0, end=1) for part in (10, 2)}
    write(job, "r1", 60.0, parts)
    assert [(state.state, state.source.partition) for state in source_states(job)] == [
        ("read", 2),
        ("read", 10),
    ]
