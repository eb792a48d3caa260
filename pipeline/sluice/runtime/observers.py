"""Who watches a run while it lasts: the command line shows it, a program may do something else, or nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.graph.progress import Progress
from sluice.run_state import RunState


class RunObserver(Protocol):
    """Opens a context for each run, which lasts as long as the run does."""

    def show_plan(self, job: Job, plan: str) -> None:
        """Show, in one line, what a run is about to do, such as how many loads it will need."""
        ...

    def watch_batch(
        self, job: Job, size: int | None, progress: Progress | None
    ) -> AbstractContextManager[None]:
        """Watch a run that ends by itself. `size` is the bytes to read; None for either: it is not known."""
        ...

    def watch_streaming(self, job: Job, run: RunState, clock: Clock) -> AbstractContextManager[None]:
        """Watch a run that lasts until it is drained, as setting `run.draining` does."""
        ...


class SilentObserver:
    """Shows nothing."""

    def show_plan(self, _job: Job, _plan: str) -> None:
        """Do nothing."""

    def watch_batch(
        self, _job: Job, _size: int | None, _progress: Progress | None
    ) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def watch_streaming(self, _job: Job, _run: RunState, _clock: Clock) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()
