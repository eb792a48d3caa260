"""The manifest of sources: what each run read of each file, partition or other source, and what became of it.

An entry is an event like any other: its contract is `source_file.odcs.yaml`, it is appended to an event log of its own,
in the folder `_sources` of the job's event log, and loaded into the table `source_files`. A batch run appends all its
entries at once, so a run of 10,000 files makes one object.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import as_file, files

import msgspec
import xxhash
from msgspec import structs

from sluice.config.urls import Url
from sluice.contracts import Contract, load_contract
from sluice.elements import SOURCE_FILE, Segment, StoredSegment
from sluice.errors import LogChangedError
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.provenance import Source
from sluice.source_tallies import SourceTally
from sluice.storage import open_store

FOLDER = "_sources"
"""Of the manifest, in the folder of the event log: what begins with an underscore is no event type."""

RECENT_SEGMENTS = 1_000
"""Of the manifest, that a run reads to find files that have changed: those of the last 1,000 runs, or more."""

_ENTRIES_A_SEGMENT = 50_000
_READERS = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OBJECT_SECONDS = 1.0
"""Listings of object stores have fractions of a second, single objects have none."""


@cache
def source_file_contract() -> Contract:
    """Return the contract of the manifest and of its table; it comes with the package."""
    with as_file(files("sluice.eventlog") / "source_file.odcs.yaml") as path:
        return load_contract(str(path), internal=True)


class ManifestEntry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of the manifest; the fields are described in `source_file.odcs.yaml`."""

    entry_id: str
    read_at: datetime
    job: str
    run_id: str
    uri: str
    partition_number: int | None = None
    size_bytes: int | None = None
    modified_at: datetime | None = None
    etag: str | None = None
    offset_from: int | None = None
    offset_to: int | None = None
    rows_read: int
    rows_accepted: int
    rows_duplicate: int
    rows_rejected: int
    first_event_time: datetime | None = None
    last_event_time: datetime | None = None
    changed: bool

    @property
    def source(self) -> Source:
        """What the entry is about."""
        return Source(self.uri, self.partition_number)

    def differs_from(self, size: int | None, modified: float | None, etag: str | None = None) -> bool:
        """Return whether a file of this size, modification time (epoch seconds) and etag is not the one that was read.

        Where both have an etag, it decides: an object that was stored again with the same content is the same.
        """
        if self.etag is not None and etag is not None:
            return self.etag != etag
        modified_at = _utc(modified)
        if self.modified_at is None or modified_at is None:
            return False
        seconds = abs((self.modified_at - modified_at).total_seconds())
        return self.size_bytes != size or seconds >= (_OBJECT_SECONDS if "://" in self.uri else 1e-6)


@dataclass(frozen=True)
class RunOfJob:
    """The run, or a part of one, that a manifest tells of; `started` is when it began, in epoch seconds.

    A streaming run has several parts, numbered from 0; what they say of a source adds up.
    """

    job: str
    run_id: str
    started: float
    part: int = 0


class SourceManifest:
    """The manifests of all runs into one event log."""

    def __init__(self, log: EventLog) -> None:
        """Take the log that the entries are in; see `at`."""
        self.log = log

    @classmethod
    def at(cls, event_log: str | Url) -> SourceManifest:
        """Return the manifest of the event log at an address; nothing is read or written yet."""
        type_log = TypeLog.of(source_file_contract(), folder="")
        return cls(EventLog(open_store(Url.of(event_log).child(FOLDER)), {SOURCE_FILE: type_log}))

    def append(self, entries: Sequence[ManifestEntry]) -> Iterator[Segment | StoredSegment]:
        """Append the entries of one run, or of a part of it; yield the segments that have them, to be loaded.

        Raises:
            StorageError: the log cannot be written.

        """
        for at in range(0, len(entries), _ENTRIES_A_SEGMENT):
            part = entries[at : at + _ENTRIES_A_SEGMENT]
            minute = int(part[0].read_at.timestamp()) // 60 * 60
            appended = self.log.append(SOURCE_FILE, minute, 0, list(map(msgspec.json.encode, part)))
            yield from appended.unloaded
            if appended.segment is not None:
                yield appended.segment

    def entries(self, job: str, segments: int | None = None) -> Iterator[ManifestEntry]:
        """Yield the entries of a job, the earliest first: all, or those of the latest `segments` of the log.

        Raises:
            StorageError: the log cannot be read, or a line is no entry.

        """
        paths = deque(self.log.segments(), segments)
        with ThreadPoolExecutor(_READERS) as pool:  # each object takes a request
            for segment in pool.map(self.log.read, paths):
                yield from (entry for entry in _decode(segment) if entry.job == job)

    def entries_of_run(self, run: RunOfJob) -> Iterator[ManifestEntry]:
        """Yield the entries of one run, the earliest first; `run` is its first part.

        Raises:
            StorageError: the log cannot be read, or a line is no entry.

        """
        first = int(run.started) // 60 * 60
        for path in self.log.segments():
            if self.log.locate(path)[1] >= first:
                for entry in _decode(self.log.read(path)):
                    if (entry.job, entry.run_id) == (run.job, run.run_id):
                        yield entry


def make_entries(
    run: RunOfJob, tallies: Mapping[Source, SourceTally], earlier: Mapping[Source, ManifestEntry]
) -> list[ManifestEntry]:
    """Return the entries of a run in the order of their sources; `earlier` are the latest of each source before."""
    return [
        _entry(run, source, tally, earlier.get(source))
        for source, tally in sorted(tallies.items(), key=lambda item: item[0].order)
    ]


def add_parts(entries: Iterable[ManifestEntry]) -> Iterator[ManifestEntry]:
    """Yield one entry for each run and source: the sum of its parts, which come one after the other in `entries`.

    Entries of other sources may come between them.
    """
    runs: dict[tuple[Source, str], ManifestEntry] = {}
    for entry in entries:
        key = entry.source, entry.run_id
        runs[key] = _add(runs[key], entry) if key in runs else entry
    yield from runs.values()


def _add(part: ManifestEntry, later: ManifestEntry) -> ManifestEntry:
    return structs.replace(
        later,
        read_at=part.read_at,
        offset_from=part.offset_from,
        rows_read=part.rows_read + later.rows_read,
        rows_accepted=part.rows_accepted + later.rows_accepted,
        rows_duplicate=part.rows_duplicate + later.rows_duplicate,
        rows_rejected=part.rows_rejected + later.rows_rejected,
    )


def _entry(run: RunOfJob, source: Source, tally: SourceTally, earlier: ManifestEntry | None) -> ManifestEntry:
    return ManifestEntry(
        entry_id=xxhash.xxh3_128_hexdigest(msgspec.json.encode((run.run_id, run.part, *source))),
        read_at=_EPOCH + timedelta(seconds=run.started),
        job=run.job,
        run_id=run.run_id,
        uri=source.uri,
        partition_number=source.partition,
        size_bytes=tally.size,
        modified_at=_utc(tally.modified),
        etag=tally.etag,
        offset_from=tally.start,
        offset_to=tally.end,
        rows_read=tally.read,
        rows_accepted=tally.accepted,
        rows_duplicate=tally.duplicates,
        rows_rejected=tally.rejected,
        first_event_time=_utc(tally.first),
        last_event_time=_utc(tally.last),
        changed=earlier is not None and earlier.differs_from(tally.size, tally.modified, tally.etag),
    )


def _decode(segment: Segment) -> Iterator[ManifestEntry]:
    for number, line in enumerate(segment.lines, 1):
        try:
            yield msgspec.json.decode(line, type=ManifestEntry)
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
            message = (
                f"{segment.path}: line {number}: expected an entry of the manifest, got {error}; the file was "
                "changed: restore it"
            )
            raise LogChangedError(message) from error


def _utc(seconds: float | None) -> datetime | None:
    return None if seconds is None else _EPOCH + timedelta(microseconds=round(seconds * 1e6))
