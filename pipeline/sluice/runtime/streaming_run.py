"""A streaming run on this machine: its graph on Prism, and again on a new Prism each time that one ends by itself.

Nothing is lost when Prism ends: what was not stored was not acknowledged, and the source delivers it to the next graph.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from sluice.errors import RunnerError
from sluice.graph.attempts import Attempt
from sluice.retry import wait_until
from sluice.run_state import RunHandle, RunState
from sluice.runtime.background import in_background
from sluice.runtime.prism import RUNNER, Prism
from sluice.runtime.process_settings import bundles_are_processed, stream_readers
from sluice.runtime.runners import runner_errors, streaming_runner
from sluice.runtime.worker_errors import worker_errors

_LOGGER = logging.getLogger("sluice")

MOST_RESTARTS = 5
RESTART_SECONDS = 600.0
"""A run is given up when its runner has ended more often than MOST_RESTARTS within so many seconds."""

PAUSE_SECONDS = 1.0
"""Before a new Prism is started: what ended the last one may take a moment."""

IDLE_SECONDS = 60.0
"""A runner that has asked no step of ours to work for so long is ended: it asks the source twice a second."""

UNMOVED_SECONDS = 300.0
"""So is one that, for so much longer than `flush`, stores nothing of what was read, while no step works on it."""

_LOOK_SECONDS = 1.0
_NOTICE_SECONDS = 2.0
"""For Beam's calls to find out by themselves that Prism has ended."""

_QUIET_SECONDS = 2.0
"""For the bundles of a graph whose Prism has ended to end, and the threads that read its streams. Some bundles wait for
a store or a warehouse, and go on."""

BuildGraph = Callable[[beam.Pipeline, RunHandle, str], None]
"""Builds a graph: the pipeline, the handle of its own state, and where it writes its totals."""


class _End(NamedTuple):
    """A graph has ended: drained, without an error, or failed."""

    graph: RunningGraph
    error: BaseException | None


class RunningGraph:
    """One graph of a run, on a Prism of its own. Prepare it, start it, and close it in the end."""

    def __init__(self, state: RunState, totals: str) -> None:
        """`state` is that of this graph alone; its totals are written to `totals`."""
        self.state = state
        self.handle = RunHandle(state)
        self.totals = totals
        self.interrupted = False
        self._contexts = ExitStack()
        self._closed = False

    def prepare(self, options: PipelineOptions, build: BuildGraph) -> None:
        """Start Prism and build the graph.

        Raises:
            RunnerError: Prism does not start.

        """
        runner, self._prism = self._contexts.enter_context(streaming_runner(options))
        self._pipeline = beam.Pipeline(runner=runner, options=options)
        build(self._pipeline, self.handle, self.totals)

    def start(self, ends: SimpleQueue[Any]) -> None:
        """Run the graph in a thread; how it ends is put into `ends`, perhaps more than once."""
        self.state.activity.excuse()
        for work in (self._run, self._watch):
            threading.Thread(target=work, args=(ends, self._prism), name="graph", daemon=True).start()

    def _run(self, ends: SimpleQueue[Any], prism: Prism) -> None:
        error: BaseException | None = None
        try:
            with worker_errors(), runner_errors(prism):
                self._pipeline.run().wait_until_finish()
        except BaseException as failure:  # noqa: BLE001  raised in the main thread
            error = failure
        ends.put(_End(self, error))

    def _watch(self, ends: SimpleQueue[Any], prism: Prism) -> None:
        """Report that Prism has ended: some of Beam's calls would wait for it for ever."""
        try:
            prism.wait()
        except RunnerError as error:
            if not self._closed:
                time.sleep(_NOTICE_SECONDS)
            ends.put(_End(self, error))

    def close(self) -> None:
        """End Prism, wait a moment for what still works, and close what the graph has opened."""
        if self._closed:
            return
        self._closed = True
        self._contexts.close()
        wait_until(lambda: not bundles_are_processed() and not stream_readers(), _QUIET_SECONDS, 0.05)
        self.state.resources.close()

    def counted(self) -> Attempt:
        """Return what the graph has counted so far."""
        unacknowledged = self.state.acks.outstanding().records
        return Attempt(self.state.counted.total(), self.interrupted, unacknowledged)


class StreamingRun:
    """The graphs of one run, the first and those that replaced it."""

    def __init__(
        self,
        run: RunState,
        options: Callable[[], PipelineOptions],
        build: BuildGraph,
        totals: Callable[[], str],
    ) -> None:
        """`run` is the state of the whole run; `totals` returns a new folder for the totals of a graph."""
        self._run = run
        self._options = options
        self._build = build
        self._totals = totals
        self._failures: deque[float] = deque()
        self.graphs: list[RunningGraph] = []

    def prepare(self) -> None:
        """Prepare the first graph, or the next one; start Prism again if it ends meanwhile.

        Raises:
            RunnerError: Prism ended too often.

        """
        while True:
            graph = RunningGraph(self._run.next_graph(), self._totals())
            self.graphs.append(graph)
            try:
                return graph.prepare(self._options(), self._build)
            except RunnerError as error:
                self._restart(error)

    def run(self, ends: SimpleQueue[Any], flush: float) -> None:
        """Run until a graph is drained, or `ends` says otherwise: what it has is raised.

        Raises:
            SluiceError: a step failed, the drain took too long, or Prism ended too often.
            KeyboardInterrupt: the user wants it to end at once.

        """
        with _watchdog(self, ends, flush):
            self.graphs[-1].start(ends)
            while True:
                end = ends.get()
                if isinstance(end, BaseException):
                    raise end
                if end.graph is not self.graphs[-1]:
                    continue
                if end.error is None:
                    return
                if not isinstance(end.error, RunnerError):
                    raise end.error
                if self._run.draining.is_set() and self._is_done(end.error):
                    return
                self._restart(end.error)
                self.prepare()
                self.graphs[-1].start(ends)

    def _is_done(self, error: RunnerError) -> bool:
        """Return whether all that was read is stored when Prism ends during a drain; if it is not, raise `error`."""
        graph = self.graphs[-1]
        graph.close()
        graph.interrupted = True
        if graph.state.acks.outstanding().records:
            message = f"{error}; what was not stored was not acknowledged, run again"
            raise RunnerError(message) from error
        return True

    def _restart(self, error: RunnerError) -> None:
        """Close the graph whose Prism has ended, and wait a moment before the next.

        Raises:
            RunnerError: that was once too often.

        """
        graph = self.graphs[-1]
        graph.close()
        graph.interrupted = True
        now = time.monotonic()
        self._failures.append(now)
        while self._failures[0] < now - RESTART_SECONDS:
            self._failures.popleft()
        if len(self._failures) > MOST_RESTARTS:
            message = (
                f"{error}; it was started again {MOST_RESTARTS} times within {RESTART_SECONDS:g} s; what was not "
                "stored was not acknowledged, run again"
            )
            raise RunnerError(message) from error
        self._run.restarts += 1
        _LOGGER.warning(
            "%s; starting it again (%d of at most %d times within %g s); %d records are not stored, and are read again",
            *(error, len(self._failures), MOST_RESTARTS, RESTART_SECONDS),
            graph.state.acks.outstanding().records,
        )
        self._run.draining.wait(PAUSE_SECONDS)

    def close(self) -> None:
        """Close all graphs."""
        for graph in self.graphs:
            graph.close()

    def stall(self, flush: float) -> RunnerError | None:
        """Return why the runner makes no progress, if it makes none."""
        state = self.graphs[-1].state
        if state.activity.idle() > IDLE_SECONDS:
            message = f"{RUNNER} did nothing for {IDLE_SECONDS:g} s"
            return RunnerError(message)
        if state.acks.unmoved() > flush + UNMOVED_SECONDS and not state.activity.is_storing():
            message = f"{RUNNER} stored nothing of what was read for {flush + UNMOVED_SECONDS:g} s"
            return RunnerError(message)
        return None


@contextmanager
def _watchdog(run: StreamingRun, ends: SimpleQueue[Any], flush: float) -> Iterator[None]:
    """End a graph whose runner makes no progress, while the block lasts. A drain has a limit of its own."""

    def watch(over: threading.Event) -> None:
        looked = time.monotonic()
        while not over.wait(_LOOK_SECONDS):
            graph, before, looked = run.graphs[-1], looked, time.monotonic()
            if looked - before > IDLE_SECONDS / 2:  # this process was stopped, as by SIGSTOP, not the runner
                graph.state.activity.excuse()
            stall = None if graph.state.draining.is_set() else run.stall(flush)
            if stall is not None:
                graph.state.activity.excuse()
                ends.put(_End(graph, stall))

    with in_background("watchdog", watch):
        yield
