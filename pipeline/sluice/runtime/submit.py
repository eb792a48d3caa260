"""Hand a graph over to a cluster, which runs it from then on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from sluice.errors import ConfigError
from sluice.graph.submission import Submission, write_submission
from sluice.runtime.beam_options import temporary_folder
from sluice.runtime.run_folder import SharedFolders, run_folder
from sluice.runtime.worker_errors import worker_errors


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that a cluster runs from now on, or, as the launcher of a template leaves it, soon."""

    runner: str
    job_id: str | None
    """None where the runner gives it one later, as Dataflow does with a template."""
    totals: str
    """Where its ledger is written."""


def submit(
    submission: Submission,
    options: PipelineOptions,
    attach: Callable[[beam.Pipeline, SharedFolders], None],
) -> Submitted:
    """Hand what `attach` builds over to the runner that was chosen, and do not wait for it.

    Raises:
        ConfigError: there is no `--temp_location`, where workers would write the totals.
        SluiceError: the runner does not take the job.

    """
    if temporary_folder(options) is None:
        message = "--temp_location: expected a folder that all workers reach, for the job's totals, got none"
        raise ConfigError(message)
    with run_folder() as folder, worker_errors():
        folders = SharedFolders.elsewhere(options, folder, submission.run_id)
        pipeline = beam.Pipeline(options=options)
        attach(pipeline, folders)
        result = pipeline.run()
    write_submission(folders.totals, submission)
    return Submitted(type(pipeline.runner).__name__, _job_id(result), folders.totals)


def _job_id(result: Any) -> str | None:
    if hasattr(result, "has_job"):  # Dataflow's, which has none when a template was made
        return str(result.job_id()) if result.has_job else None
    return str(getattr(result, "_job_id", "")) or None
