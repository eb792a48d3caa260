"""The manifest of sources: its entries, its log, and which files have changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sluice.elements import Segment
from sluice.errors import LogChangedError
from sluice.eventlog.source_manifest import (
    ManifestEntry,
    RunOfJob,
    SourceManifest,
    add_parts,
    make_entries,
    source_file_contract,
)
from sluice.provenance import Source
from sluice.source_tallies import SourceTally

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = RunOfJob("shop", "r1", STARTED.timestamp())
FILE = SourceTally(5, 2, 1, 2, 0.0, 60.0, 100, 7.25)


@pytest.fixture
def manifest(tmp_path: Path) -> SourceManifest:
    made = SourceManifest.at(str(tmp_path / "files"))
    made.log.open()
    return made


def entries_of(number: int, job: str = "shop") -> list[ManifestEntry]:
    """Return the entries of run `number`, of files whose modification time is that number."""
    run = RunOfJob(job, f"{job}{number}", STARTED.timestamp() + 60 * number)
    tallies = {Source(f"/in/{name}.csv"): SourceTally(1, 1, size=9, modified=float(number)) for name in "ab"}
    return make_entries(run, tallies, {})


def test_entry_has_the_figures_of_its_source() -> None:
    (entry,) = make_entries(RUN, {Source("/in/a.csv"): FILE}, {})
    assert entry == ManifestEntry(
        entry_id=entry.entry_id,
        read_at=STARTED,
        job="shop",
        run_id="r1",
        uri="/in/a.csv",
        size_bytes=100,
        modified_at=datetime(1970, 1, 1, 0, 0, 7, 250_000, tzinfo=UTC),
        rows_read=5,
        rows_accepted=2,
        rows_duplicate=1,
        rows_rejected=2,
        first_event_time=datetime(1970, 1, 1, tzinfo=UTC),
        last_event_time=datetime(1970, 1, 1, 0, 1, tzinfo=UTC),
        changed=False,
    )


def test_entries_are_in_the_order_of_sources_and_have_ids_of_their_own() -> None:
    sources = [Source("b"), Source("k", 10), Source("k", 9), Source("a"), Source("k", 0)]
    entries = make_entries(RUN, dict.fromkeys(sources, SourceTally(1, 1, start=3, end=4)), {})
    assert [entry.source for entry in entries] == sorted(
        sources, key=lambda source: (source.uri, source.partition or 0)
    )
    assert len({entry.entry_id for entry in entries}) == 5
    assert {(entry.offset_from, entry.offset_to) for entry in entries} == {(3, 4)}


@pytest.mark.parametrize(
    ("uri", "size", "seconds", "changed"),
    [
        ("/in/a.csv", 100, 0.0, False),
        ("/in/a.csv", 101, 0.0, True),
        ("/in/a.csv", 100, 0.000001, True),
        ("/in/a.csv", 100, -60.0, True),
        ("gs://b/a.csv", 100, 0.9, False),
        ("gs://b/a.csv", 100, 1.0, True),
        ("s3://b/a.csv", 99, 0.5, True),
    ],
)
def test_file_of_another_size_or_time_has_changed(uri: str, size: int, seconds: float, changed: bool) -> None:
    (first,) = make_entries(RUN, {Source(uri): FILE}, {})
    again = SourceTally(5, 0, 5, 0, size=size, modified=7.25 + seconds)
    (second,) = make_entries(RUN, {Source(uri): again}, {first.source: first})
    assert second.changed is changed


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        ("x", "x", False),  # stored again, with the same content
        ("x", "y", True),
        (None, "y", True),  # an entry of an earlier version: its time decides
        ("x", None, True),
        (None, None, True),
    ],
)
def test_object_has_changed_if_its_etag_has(before: str | None, now: str | None, changed: bool) -> None:
    source = Source("s3://b/a.csv")
    tallies = [
        SourceTally(1, 1, size=9, modified=time, etag=etag) for time, etag in ((5.0, before), (8.0, now))
    ]
    (first,) = make_entries(RUN, {source: tallies[0]}, {})
    (second,) = make_entries(RUN, {source: tallies[1]}, {source: first})
    assert (second.etag, second.changed) == (now, changed)


def test_object_of_another_etag_has_changed_in_the_same_second() -> None:
    source = Source("s3://b/a.csv")
    (first,) = make_entries(RUN, {source: SourceTally(1, 1, size=9, modified=5.0, etag="x")}, {})
    assert first.differs_from(9, 5.0, "y")
    assert not first.differs_from(9, 5.0, "x")


def test_parts_of_a_run_add_up_to_one_entry() -> None:
    parts = [
        replace(RUN, part=0),
        replace(RUN, started=RUN.started + 60, part=1),
        RunOfJob("shop", "r2", RUN.started + 120),
    ]
    first, other = Source("kafka://b/t", 0), Source("kafka://b/t", 1)
    tallies = [
        {first: SourceTally(3, 1, 1, 1, 5.0, 6.0, start=0, end=3), other: SourceTally(1, 1, start=7, end=8)},
        {first: SourceTally(4, 4, 0, 0, 5.0, 9.0, start=3, end=7)},
        {first: SourceTally(1, 1, start=7, end=8)},
    ]
    entries = [
        entry for run, of_run in zip(parts, tallies, strict=True) for entry in make_entries(run, of_run, {})
    ]
    assert len({entry.entry_id for entry in entries}) == 4
    added = list(add_parts(entries))
    assert [(entry.run_id, entry.source, entry.rows_read, entry.rows_accepted) for entry in added] == [
        *(("r1", first, 7, 5), ("r1", other, 1, 1), ("r2", first, 1, 1)),
    ]
    assert (added[0].read_at, added[0].offset_from, added[0].offset_to) == (STARTED, 0, 7)
    assert (added[0].rows_duplicate, added[0].rows_rejected) == (1, 1)
    assert added[1:] == [entries[1], entries[3]]


def test_partition_never_changes() -> None:
    source = Source("kafka://b/t", 0)
    (first,) = make_entries(RUN, {source: SourceTally(3, 3, start=0, end=3)}, {})
    (second,) = make_entries(RUN, {source: SourceTally(1, 1, start=3, end=4)}, {source: first})
    assert not second.changed


def test_entries_of_a_run_are_one_segment_and_are_read_back(manifest: SourceManifest, tmp_path: Path) -> None:
    (segment,) = manifest.append(entries_of(0))
    assert isinstance(segment, Segment)
    name = "files/_sources/2026/01/02/03/04/source_file_2026010203040001.ndjson"
    assert segment.path == str(tmp_path / name)
    assert list(manifest.entries("shop")) == entries_of(0)


def test_entries_that_are_appended_again_stay_one(manifest: SourceManifest) -> None:
    _ = list(manifest.append(entries_of(0)))
    assert [type(segment).__name__ for segment in manifest.append(entries_of(0))] == ["StoredSegment"]
    assert list(manifest.entries("shop")) == entries_of(0)


def test_ten_thousand_files_make_one_object(manifest: SourceManifest) -> None:
    tallies = {Source(f"/in/{number:05d}.csv"): FILE for number in range(10_000)}
    assert len(list(manifest.append(make_entries(RUN, tallies, {})))) == 1
    assert len(list(manifest.log.segments())) == 1


def test_latest_segments_are_read_of_one_job(manifest: SourceManifest) -> None:
    for number in range(4):
        _ = list(manifest.append(entries_of(number)))
    _ = list(manifest.append(entries_of(5, "other")))
    assert list(manifest.entries("shop")) == [entry for number in range(4) for entry in entries_of(number)]
    assert list(manifest.entries("shop", segments=3)) == [*entries_of(2), *entries_of(3)]


def test_manifest_that_was_edited_is_an_error_that_names_the_line(manifest: SourceManifest) -> None:
    (segment,) = manifest.append(entries_of(0))
    Path(segment.path).write_bytes(b'{"entry_id": 7}\n')
    with pytest.raises(LogChangedError) as raised:
        _ = list(manifest.entries("shop"))
    assert str(raised.value) == (
        f"{segment.path}: line 1: expected an entry of the manifest, got Expected `str`, got `int` - at "
        "`$.entry_id`; the file was changed: restore it"
    )


def test_contract_names_every_field_of_an_entry() -> None:
    names = [prop.name for prop in source_file_contract().properties]
    assert names == list(ManifestEntry.__struct_fields__)
