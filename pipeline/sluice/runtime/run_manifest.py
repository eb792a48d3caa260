"""The manifest of a run that has ended: appended to its log, and loaded into the table `source_files`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sluice.config.job import Job
from sluice.elements import Segment, StepCounts
from sluice.eventlog.source_manifest import (
    RECENT_SEGMENTS,
    ManifestEntry,
    RunOfJob,
    SourceManifest,
    make_entries,
)
from sluice.graph.ledger import Report
from sluice.graph.run_context import RunContext
from sluice.provenance import Source

_NAMED = 3
"""Files that a warning names."""


def write_manifest(total: StepCounts, context: RunContext, job: Job, run: RunOfJob, report: Report) -> None:
    """Write an entry for each source of a run, from the sum of its step counts; `report` then tells of changed files.

    Raises:
        SluiceError: the log or the warehouse failed; what is written stays, and `sluice load` loads the rest.

    """
    earlier = latest_entries(context.manifest, job.name) if _has_files(total) else {}
    entries = make_entries(run, total.sources, earlier)
    segments = context.retry(lambda: list(context.manifest.append(entries)))
    loader = context.manifest_loader(job)
    loader.compile()
    for segment in segments if "sources" in job.load else ():
        _ = loader.load(segment) if isinstance(segment, Segment) else loader.backfill(segment)
    changed = [entry for entry in entries if entry.changed]
    report.changed_sources = len(changed)
    if changed:
        report.warnings.append(_changes(changed, job.path))


def latest_entries(manifest: SourceManifest, job: str) -> Mapping[Source, ManifestEntry]:
    """Return the latest entry of each source, of those that recent runs of a job have read."""
    return {entry.source: entry for entry in manifest.entries(job, RECENT_SEGMENTS)}


def _has_files(total: StepCounts) -> bool:
    return any(tally.modified is not None for tally in total.sources.values())


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
