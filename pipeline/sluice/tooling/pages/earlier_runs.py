"""The runs before a run, from the manifest in its event log: what each read, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sluice.eventlog.source_manifest import ManifestEntry, SourceManifest

_MOST_RUNS = 10
_SEGMENTS = 50
"""Of the manifest that are read: one for each run, of this job or of another one into the same event log."""


@dataclass(frozen=True, slots=True)
class RunFigures:
    """The figures of one run; `sources` is how many files, partitions or other sources it read, None if unknown."""

    started: str
    sources: int | None
    read: int
    accepted: int
    duplicates: int
    rejected: int

    def share(self, figure: str) -> float:
        """Return a figure as a share of the records that were read."""
        return float(getattr(self, figure)) / self.read if self.read else 0.0


def read_earlier_runs(event_log: str, job: str, run_id: str, started: datetime) -> list[RunFigures]:
    """Return up to ten runs of a job before the run that started then, the latest first.

    Raises:
        ConfigError: `event_log` is not the address of a log.
        StorageError: its manifest cannot be read.

    """
    runs: dict[str, list[ManifestEntry]] = {}
    for entry in SourceManifest.at(event_log).entries(job, _SEGMENTS):
        if entry.run_id != run_id and entry.read_at <= started:
            runs.setdefault(entry.run_id, []).append(entry)
    latest = sorted(runs.values(), key=lambda entries: entries[0].read_at, reverse=True)
    return [_sums(entries) for entries in latest[:_MOST_RUNS]]


def _sums(entries: Iterable[ManifestEntry]) -> RunFigures:
    entries = list(entries)
    return RunFigures(
        started=entries[0].read_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        sources=len(entries),
        read=sum(entry.rows_read for entry in entries),
        accepted=sum(entry.rows_accepted for entry in entries),
        duplicates=sum(entry.rows_duplicate for entry in entries),
        rejected=sum(entry.rows_rejected for entry in entries),
    )
