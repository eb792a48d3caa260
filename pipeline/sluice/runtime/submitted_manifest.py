"""The manifest of a submitted job, for which no process waits: whoever asks for it writes it, from the job's totals.

Each call adds what became of records since the one before, a part as those of a streaming run on one machine, and a
call without news adds nothing. What a part has is kept beside the totals, see `manifest_parts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.contracts import Contract
from sluice.elements import SOURCE_FILE
from sluice.errors import ConfigError
from sluice.eventlog.source_manifest import RunOfJob, SourceManifest, source_file_contract
from sluice.graph.ledger import Report
from sluice.graph.segment_loader import SegmentLoader
from sluice.graph.submission import Submission, read_submission
from sluice.graph.totals import read_folders
from sluice.provenance import Source
from sluice.retry import RetryPolicy
from sluice.runtime.manifest_parts import ManifestParts, Part, claim_totals
from sluice.runtime.open_run import retry_policy
from sluice.runtime.run_manifest import RunManifest, news_of, report_changes
from sluice.source_tallies import SourceTally, settled_tally
from sluice.tooling.job_facts import places_of
from sluice.tooling.tables import fit_to_table
from sluice.warehouses import Warehouse, open_warehouse
from sluice.warehouses.segment_records import LoadedSegmentGuard


def write_submitted_manifest(job: Job, totals: Sequence[str], report: Report, clock: Clock) -> None:
    """Append to the manifest of `job`, and load, what its run has read since this was last called.

    `totals` are the folders of the run, the first one first. Batch jobs have totals when they end. `report` tells of
    files that have changed. Calls at the same time write the same.

    Raises:
        ConfigError: `job` is not the job of the run, or the folders are not those of one run, as in earlier calls.
        SluiceError: the totals cannot be read, or the log or the warehouse failed. The next call writes the rest.

    """
    submissions = [read_submission(url) for url in totals]
    _check(job, totals, submissions)
    first = submissions[0]
    context = _open(job, clock, live=first.live)
    for url in totals:
        claim_totals(url, first.run_id)
    manifest = _SubmittedManifest(context, job, first, ManifestParts(totals[0]))
    manifest.write(totals, clock)
    if not first.live:
        report_changes(context.manifest.entries_of_run(manifest.run), report, job.path)


@dataclass(frozen=True)
class _Context:
    """The log of the manifest, and the warehouse with its table: nothing else of a job has to be here, or as it was."""

    manifest: SourceManifest
    retry: RetryPolicy
    clock: Clock
    warehouse: Warehouse
    tables: Mapping[str, Contract]

    def manifest_loader(self, job: Job) -> SegmentLoader:
        return SegmentLoader(self.warehouse, self.tables, self.manifest.log, job, self.clock, self.retry)


def _open(job: Job, clock: Clock, *, live: bool) -> _Context:
    warehouse, manifest, tables = open_warehouse(job.warehouse), SourceManifest.at(job.files), {}
    if "sources" in job.load:
        manifest.log.guard = LoadedSegmentGuard(warehouse)
        contract = source_file_contract()
        warehouse.prepare([contract])
        tables = dict(zip([SOURCE_FILE], fit_to_table(warehouse, [contract]), strict=True))
    manifest.log.open()
    return _Context(manifest, retry_policy(job, live=live), clock, warehouse, tables)


class _SubmittedManifest:
    """The manifest of one run, part after part."""

    def __init__(self, context: _Context, job: Job, submission: Submission, parts: ManifestParts) -> None:
        self._context = context
        self._job = job
        self._live = submission.live
        self._parts = parts
        self.run = RunOfJob(submission.job, submission.run_id, submission.started)

    def write(self, totals: Sequence[str], clock: Clock) -> None:
        """Make a part of what is new in the totals since the last one, and append it.

        The last one is completed before there is another: whoever made it may not have appended all of it.
        """
        number = self._parts.count()
        if number:
            self._append(number - 1)
        run, written = self._before(number)
        sources = read_folders(*totals)[0].sources
        if self._live:
            sources = {source: settled_tally(tally) for source, tally in sources.items()}
        news = news_of(sources, written, live=self._live)
        if news:
            now = {source: sources[source] for source in news}
            self._parts.create(number, Part.of({**written, **now}, max(clock(), run.started)))
            self._append(number)

    def _before(self, number: int) -> tuple[RunOfJob, dict[Source, SourceTally]]:
        """Return a part, which begins when the one before it ended, and what is written before it."""
        if number == 0:
            return self.run, {}
        before = self._parts.read(number - 1)
        return RunOfJob(self.run.job, self.run.run_id, before.ended, number), before.sources

    def _append(self, number: int) -> None:
        part = self._parts.read(number)
        run, written = self._before(number)
        manifest = RunManifest(self._context, self._job, run, written)
        if self._live:
            manifest.write_part(part.sources, part.ended)
        else:
            # An entry that is there stays, with whether its file had changed.
            manifest.append_rest(part.sources)


def _check(job: Job, totals: Sequence[str], submissions: Sequence[Submission]) -> None:
    files = places_of(job)["files"]
    for url, submission in zip(totals, submissions, strict=True):
        if not submission.keeps_manifest:
            message = (
                f"{submission.run_id}: expected a run that reads its source, got one that redelivers or loads, or of "
                "an earlier version, which did not say so"
            )
            raise ConfigError(message)
        expected = submission.job, submission.places.get("files", files)
        if expected != (job.name, files):
            message = (
                f"{job.path}: expected the job of the run, {expected[0]} with the event log {expected[1]}, got "
                f"{job.name} with {files}"
            )
            raise ConfigError(message)
        if submission.started < submissions[0].started:
            updated = submissions[0].run_id
            message = f"{url}: expected the folder of an update of {updated}, got one that began before it"
            raise ConfigError(message)
