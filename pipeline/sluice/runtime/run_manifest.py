"""The manifest of a run: appended to its log, and loaded into the table `source_files`.

A batch run writes it once, at its end. A streaming run writes it in parts while it lasts, each with what became of
records since the part before, and the rest at its end: what all parts say of a source adds up to what the run did.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.elements import Segment
from sluice.errors import SluiceError
from sluice.eventlog.source_manifest import (
    RECENT_SEGMENTS,
    ManifestEntry,
    RunOfJob,
    SourceManifest,
    make_entries,
)
from sluice.graph.ledger import Report
from sluice.graph.segment_loader import SegmentLoader
from sluice.provenance import Source
from sluice.retry import RetryPolicy
from sluice.runtime.background import in_background
from sluice.source_tallies import SourceTally, settled_tally, subtract_tally

_LOGGER = logging.getLogger("sluice")

PART_SECONDS = 600.0
"""Between two parts of a streaming run. A run that is killed lacks what it did after the last of them."""

_NAMED = 3
"""Files that a warning names."""

Tallies = Mapping[Source, SourceTally]


class ManifestContext(Protocol):
    """What a manifest is written with; the context of a run is one."""

    @property
    def manifest(self) -> SourceManifest:
        """Its log, opened."""

    @property
    def retry(self) -> RetryPolicy:
        """For how long a failing log is tried again."""

    def manifest_loader(self, job: Job) -> SegmentLoader:
        """Return what loads its segments; asked for if `job` loads them."""


class RunManifest:
    """What is written of the sources of one run; one thread at a time writes."""

    def __init__(
        self, context: ManifestContext, job: Job, run: RunOfJob, written: Tallies = MappingProxyType({})
    ) -> None:
        """Nothing is read or written yet, but for what earlier parts have `written`."""
        self._context = context
        self._job = job
        self._run = run
        self._written: dict[Source, SourceTally] = dict(written)
        self._pending: list[ManifestEntry] = []

    def write_part(self, sources: Tallies, now: float) -> None:
        """Write what became of records since the last part; `sources` are all of the run, `now` is in epoch seconds.

        Records of which nothing is known yet are left to a later part.

        Raises:
            SluiceError: the log or the warehouse failed. What is not appended is appended before the next part.

        """
        self._flush()
        settled = {source: settled_tally(tally) for source, tally in sources.items()}
        news = news_of(settled, self._written, live=True)
        self._pending = make_entries(self._run, news, {})
        self._written.update((source, settled[source]) for source in news)
        self._run = replace(self._run, started=now, part=self._run.part + 1)
        self._flush()

    def write_rest(self, sources: Tallies, report: Report) -> None:
        """Write the rest of a run that has ended, as `append_rest` does; `report` tells of changed files."""
        report_changes(self.append_rest(sources), report, self._job.path)

    def append_rest(self, sources: Tallies) -> Sequence[ManifestEntry]:
        """Write the rest of a run that has ended; each source has an entry then. Return the new ones.

        Raises:
            SluiceError: the log or the warehouse failed; what is written stays, and `sluice load` loads the rest.

        """
        self._flush()
        rest = news_of(sources, self._written, live=False)
        earlier = latest_entries(self._context.manifest, self._job.name) if _has_files(rest) else {}
        entries = self._pending = make_entries(self._run, rest, earlier)
        self._flush()
        return entries

    @cached_property
    def _loader(self) -> SegmentLoader:
        loader = self._context.manifest_loader(self._job)
        loader.compile()
        return loader

    def _flush(self) -> None:
        """Append what is pending, and load it. If appending fails, the same entries are appended the next time."""
        if not self._pending:
            return
        segments = self._context.retry(lambda: list(self._context.manifest.append(self._pending)))
        self._pending = []
        for segment in segments if "sources" in self._job.load else ():
            if isinstance(segment, Segment):
                self._loader.load(segment)
            else:
                self._loader.backfill(segment)


@contextmanager
def written_in_parts(manifest: RunManifest, sources: Callable[[], Tallies], clock: Clock) -> Iterator[None]:
    """Write a part of a manifest every PART_SECONDS while the block lasts; after a failure, the next tries again."""

    def write(over: threading.Event) -> None:
        while not over.wait(PART_SECONDS):
            try:
                manifest.write_part(sources(), clock())
            except SluiceError as error:
                _LOGGER.warning("a part of the manifest of sources was not written: %s", error)

    with in_background("manifest", write):
        yield


def news_of(sources: Tallies, written: Tallies, *, live: bool) -> dict[Source, SourceTally]:
    """Return what is not `written` yet of each source that needs an entry for it.

    A run that goes on, `live`, has entries of sources with new records; one that has ended has one of each source.
    """
    news = {
        source: subtract_tally(tally, written[source]) if source in written else tally
        for source, tally in sources.items()
    }
    return {source: tally for source, tally in news.items() if tally.read or not (live or source in written)}


def report_changes(entries: Iterable[ManifestEntry], report: Report, job: str) -> None:
    """Say in the report of a run which files have changed, by all its entries; `job` is the path of its job file."""
    changed = [entry for entry in entries if entry.changed]
    report.changed_sources = len(changed)
    if changed:
        report.warnings.append(_changes(changed, job))


def latest_entries(manifest: SourceManifest, job: str) -> Mapping[Source, ManifestEntry]:
    """Return the latest entry of each source, of those that recent runs of a job have read."""
    return {entry.source: entry for entry in manifest.entries(job, RECENT_SEGMENTS)}


def _has_files(sources: Tallies) -> bool:
    return any(tally.modified is not None for tally in sources.values())


def _changes(changed: Sequence[ManifestEntry], job: str) -> str:
    names = ", ".join(entry.uri for entry in changed[:_NAMED]) + (", …" if len(changed) > _NAMED else "")
    new, known, rejected = (
        sum(getattr(entry, f"rows_{figure}") for entry in changed)
        for figure in ("accepted", "duplicate", "rejected")
    )
    return (
        f"files that have changed since they were read: {len(changed):,} ({names}); of their records {new:,} were "
        f"added, {known:,} were there already and {rejected:,} were rejected; what was added before stays: sluice "
        f"sources {job} lists them"
    )
