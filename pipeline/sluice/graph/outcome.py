"""Whether a run that ended has succeeded: counts that reconcile are not enough if nothing useful was stored."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sluice.config.job import Job
from sluice.config.rejections import RejectionLimit, rejection_limit
from sluice.contracts import EXTRA_COLUMN
from sluice.elements import StepCounts
from sluice.graph.ledger import Report, make_report
from sluice.graph.submission import Submission
from sluice.native_core import running_version
from sluice.run_state import RunState
from sluice.telemetry import figure_sums
from sluice.tooling.job_facts import contract_labels, places_of

_LOGGER = logging.getLogger("sluice")


def report_of_job(total: StepCounts, job: Job, run_id: str, started: float, ended: float) -> Report:
    """Return the report of a run of `job` from the sum of its step counts, with what the job reads and writes."""
    report = make_report(total, job=job.name, run_id=run_id, started=started, seconds=ended - started)
    report.version = running_version()
    report.contracts = contract_labels(job)
    report.places = places_of(job)
    return report


def judge(report: Report, job: Job, *, live: bool) -> Report:
    """Return the report of a run of `job` that read its source, with its `failure` and all its warnings.

    Without `max_rejected` a run fails if all its records were rejected, by their contracts or by the warehouse. A
    streaming run does not fail: it has warned while it lasted, and its report warns again.
    """
    report.warnings += warnings_of(report, job.path)
    _judge_rejections(report, job.max_rejected, str(job.dead_letters), live=live)
    if report.read == 0 and not live:
        report.warnings.insert(0, f"no records were read: {job.source} has none")
    return report


def judge_submitted(report: Report, submission: Submission) -> Report:
    """Return the report of a submitted run so far, with its `failure` and its warnings, as `judge` does."""
    report.warnings += warnings_of(report)
    if submission.judged:
        text = submission.max_rejected
        limit = None if text is None else rejection_limit(text, "max_rejected")
        _judge_rejections(report, limit, submission.dead_letters, live=submission.live)
    return report


def _judge_rejections(report: Report, limit: RejectionLimit | None, dead_letters: str, *, live: bool) -> None:
    failure = _rejection_failure(report, limit, dead_letters)
    if failure is not None and live:
        report.warnings.insert(0, failure)
    elif failure is not None:
        report.failure = failure


def warnings_of(report: Report, job: str = "JOB") -> list[str]:
    """Return a line for whatever somebody should look at in a report; `job` is the path of its job file."""
    warnings = []
    if report.conflicting:
        warnings.append(
            f"conflicting duplicates: {report.conflicting:,}; the event log has their keys with other content, "
            "and they are dead letters with the code conflict"
        )
    if report.dead_letters_rejected:
        warnings.append(
            f"dead letters that their table lacks: {report.dead_letters_rejected:,}; the warehouse rejected their "
            "rows, and they are in their log alone; _refusals, or refusals in _segments, has the reasons"
        )
    if report.in_work:
        warnings.append(
            f"segments that are not loaded, and that a run may be loading now: {report.in_work:,}; they are younger "
            "than 15 minutes, or 1.5 times retry_for, and were left to that run, since two loads at the same time "
            "would double their rows; if there is none, load again when they are older"
        )
    if report.lost_at_source:
        warnings.append(
            f"records that the source deleted before they were read (retention): {_listed(report.lost_at_source)}"
        )
    if report.unknown_types:
        warnings.append(f"event types that no contract of the job has: {_listed(report.unknown_types)}")
    if report.unknown_properties:
        warnings.append(
            f"properties that the table has no column for, kept in {EXTRA_COLUMN}: "
            f"{_listed(report.unknown_properties)}; add them to the contract, then sluice tables {job} --apply"
        )
    return warnings


def _listed(names: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({number:,})" for name, number in names.items())


def _rejection_failure(report: Report, limit: RejectionLimit | None, dead_letters: str) -> str | None:
    """Return one line if more records were rejected than the limit allows, with what was stored; else None."""
    rejected = report.rejected + report.load_rejected
    if not _is_exceeded(limit, rejected, report.read):
        return None
    place = f"the dead letters in {dead_letters}" if dead_letters else "the dead letters"
    return f"{_share(limit, rejected, report.read)}: {_stored(report)}; {place} have the reasons"


def watch_rejections(run: RunState, job: str, limit: RejectionLimit | None) -> None:
    """Log a line when a streaming run begins to reject more than `limit` allows, and when it no longer does.

    What is judged is the run so far, in this process.
    """
    sums = figure_sums(run.totals.counts())
    read, rejected = sums["read"], sums["rejected"] + sums["load_rejected"]
    exceeded = _is_exceeded(limit, rejected, read)
    if exceeded and not run.over_limit.is_set():
        run.over_limit.set()
        _LOGGER.warning("%s: %s; the dead letters have the reasons", job, _share(limit, rejected, read))
    elif run.over_limit.is_set() and not exceeded:
        run.over_limit.clear()
        _LOGGER.warning("%s: %s of %s records were rejected, fewer than the limit", job, rejected, read)


def _is_exceeded(limit: RejectionLimit | None, rejected: int, read: int) -> bool:
    return 0 < read <= rejected if limit is None else limit.is_exceeded(rejected, read)


def _share(limit: RejectionLimit | None, rejected: int, read: int) -> str:
    if limit is None:
        return f"all {read:,} records were rejected"
    return f"{rejected:,} of {read:,} records were rejected, and max_rejected is {limit}"


def _stored(report: Report) -> str:
    if not report.accepted:
        return "no event was added"
    return (
        f"{report.accepted:,} events were added to the event log, {report.loaded:,} of them to the warehouse"
    )
