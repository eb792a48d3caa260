"""Prism, Beam's runner for streaming jobs on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from apache_beam.options.pipeline_options import PipelineOptions
from sluice.runtime.prism import prism

from devservers.tools import require_program


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
    """Run Prism until the block ends."""
    with prism(PipelineOptions([f"--prism_location={require_program('prism')}"])) as running:
        yield PrismServer(running.endpoint)
