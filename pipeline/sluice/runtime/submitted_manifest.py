"""The manifest of a submitted job, for which no process waits: whoever asks for it writes it, from the job's totals.

What earlier calls have written is in the manifest itself. So each call adds what became of records since the one
before, a part as those of a streaming run on one machine, and a call without news adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.errors import ConfigError
from sluice.eventlog.source_manifest import RunOfJob, SourceManifest
from sluice.graph.ledger import Report
from sluice.graph.submission import Submission
from sluice.graph.totals import read_folders
from sluice.provenance import Source
from sluice.run_state import RunHandle
from sluice.runtime.open_run import open_run
from sluice.runtime.run_folder import SharedFolders
from sluice.runtime.run_manifest import RunManifest
from sluice.source_tallies import SourceTallies, SourceTally
from sluice.tooling.job_facts import places_of


def write_submitted_manifest(
    job: Job, submission: Submission, totals: Sequence[str], report: Report, clock: Clock
) -> None:
    """Append to the manifest of `job`, and load, what its run has read since this was last called.

    `totals` are the folders of the run, `submission` is what is known of it. Batch jobs have totals when they end.
    `report` tells of files that have changed.

    Raises:
        ConfigError: `job` is not the job of the run.
        SluiceError: the totals cannot be read, or the log or the warehouse failed. The next call writes the rest.

    """
    _check(job, submission)
    context = open_run(
        job, RunHandle(), SharedFolders(totals[0]), submission.started, clock, live=submission.live
    )
    run, written = _written(context.manifest, RunOfJob(submission.job, submission.run_id, submission.started))
    manifest, sources = RunManifest(context, job, run, written), read_folders(*totals)[0].sources
    if submission.live:
        manifest.write_part(sources, clock())
    else:
        manifest.write_rest(sources, report)


def _check(job: Job, submission: Submission) -> None:
    if not submission.keeps_manifest:
        message = (
            f"{submission.run_id}: expected a run that reads its source, got one that redelivers or loads"
        )
        raise ConfigError(message)
    files = places_of(job)["files"]
    expected = submission.job, submission.places.get("files", files)
    if expected != (job.name, files):
        message = (
            f"{job.path}: expected the job of the run, {expected[0]} with the event log {expected[1]}, got {job.name} "
            f"with {files}"
        )
        raise ConfigError(message)


def _written(manifest: SourceManifest, run: RunOfJob) -> tuple[RunOfJob, dict[Source, SourceTally]]:
    """Return the next part of a run, and what the parts before it have of each source.

    A part begins when the one before was appended. Who asks at the same time therefore writes the same entries, to the
    folder of the same minute, and the log takes them once.
    """
    sums, begins, last = SourceTallies(), set(), ""
    for path, entry in manifest.entries_of_run(run):
        rows = (entry.rows_read, entry.rows_accepted, entry.rows_duplicate, entry.rows_rejected)
        sums.add(entry.source, SourceTally(*rows, end=entry.offset_to))
        begins.add(entry.read_at)
        last = path
    if last:
        run = replace(run, started=manifest.log.appended_at(last).timestamp(), part=len(begins))
    return run, sums.by_source
