"""Prism, Beam's runner for streaming jobs on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from apache_beam.options.pipeline_options import PipelineOptions
from sluice.runtime.prism import prism
from sluice.runtime.process_settings import bundles_are_processed, stream_readers

from devservers.tools import require_program
from devservers.waiting import wait_until

_END_SECONDS = 60.0
"""For the worker threads of a job that has ended to end as well."""


@dataclass(frozen=True)
class PrismServer:
    """A runner that takes jobs at `endpoint`."""

    endpoint: str

    @property
    def options(self) -> list[str]:
        """Beam's options with which a pipeline runs on it, in threads of this process."""
        return ["--runner=PrismRunner", f"--job_endpoint={self.endpoint}"]


@contextmanager
def start() -> Iterator[PrismServer]:
    """Run Prism until the block ends, in which the jobs that it has started end too.

    Prism tells the workers of a job to end when the job has ended. It is stopped only then: a thread that still reads
    a stream of Prism would end with an error, some time later and in the middle of another test. If the block fails,
    its jobs may go on, and nothing is waited for.

    Raises:
        ConditionTimeout: threads that work for Prism do not end.

    """
    before = set(stream_readers())
    with prism(PipelineOptions([f"--prism_location={require_program('prism')}"])) as running:
        yield PrismServer(running.endpoint)
        wait_until(
            lambda: before.issuperset(stream_readers()) and not bundles_are_processed(),
            "the threads that work for Prism have ended",
            _END_SECONDS,
        )
