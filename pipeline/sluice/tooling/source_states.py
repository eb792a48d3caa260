"""What was read of the sources of a job, what is new, and what has changed: its manifest beside its files of today."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sluice.config.job import Job
from sluice.eventlog.source_manifest import ManifestEntry, SourceManifest, add_parts
from sluice.provenance import Source
from sluice.sources import open_source
from sluice.sources.files.found_file import FoundFile
from sluice.sources.files.listing import find_files
from sluice.sources.files.source import FileSource

State = Literal["new", "changed", "missing", "read"]
STATES: tuple[State, ...] = ("new", "changed", "missing", "read")
"""In the order in which they are listed: no run has read it; it is another file than the last run has read; it is no
longer among the files of the source; it is as the last run has read it."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """One source of a job: the entry of the last run that read it, and what all runs together added from it."""

    state: State
    source: Source
    entry: ManifestEntry | None
    accepted: int


def source_states(job: Job) -> list[SourceState]:
    """Return the sources of `job`, new and changed ones first, by name.

    Raises:
        SluiceError: the manifest or the source cannot be read.

    """
    last: dict[Source, ManifestEntry] = {}
    accepted: Counter[Source] = Counter()
    for entry in add_parts(SourceManifest.at(job.files).entries(job.name)):
        last[entry.source] = entry
        accepted[entry.source] += entry.rows_accepted
    source = open_source(job.source)
    files = None
    if isinstance(source, FileSource):
        files = {Source(file.uri): file for file in find_files(source.url)}
    states = [
        SourceState(_state(known, files, last), known, last.get(known), accepted[known])
        for known in {**last, **(files or {})}
    ]
    return sorted(states, key=lambda state: (STATES.index(state.state), *state.source.order))


def _state(
    source: Source, files: Mapping[Source, FoundFile] | None, last: Mapping[Source, ManifestEntry]
) -> State:
    if files is None:
        return "read"
    if source not in files:
        return "missing"
    if source not in last:
        return "new"
    file = files[source]
    return "changed" if last[source].differs_from(file.size, file.modified, file.etag) else "read"
