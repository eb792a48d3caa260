"""Job -> running pipeline -> report: chooses the runner, builds the graph, waits for its end."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from queue import SimpleQueue
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from sluice.clock import Clock, system_clock
from sluice.config.job import Job
from sluice.elements import DEAD_LETTER, StepCounts, add_step_counts
from sluice.errors import ConfigError
from sluice.eventlog.source_manifest import RunOfJob
from sluice.graph.acknowledge import CompleteAcks
from sluice.graph.attempts import add_attempts, not_read_again
from sluice.graph.build import build, build_load
from sluice.graph.ledger import Report, agree
from sluice.graph.load_days import describe_history, describe_loads
from sluice.graph.outcome import judge, report_of_job, warnings_of
from sluice.graph.redelivery import build_redelivery
from sluice.graph.run_context import RunContext
from sluice.graph.submission import Submission
from sluice.graph.totals import check_totals, open_totals, read_totals
from sluice.native_core import running_version
from sluice.run_state import RunHandle
from sluice.runtime.beam_options import JobOptions, makes_template, runner_chosen
from sluice.runtime.garbage_collection import WORKING, heap_frozen, rare_collections
from sluice.runtime.listen_address import ListenAddress
from sluice.runtime.metrics_server import metrics_server
from sluice.runtime.observers import RunObserver, SilentObserver
from sluice.runtime.open_run import open_run, with_redeliveries
from sluice.runtime.process_settings import root_handlers_restored
from sluice.runtime.run_folder import SharedFolders, keep_totals, new_totals, run_folder
from sluice.runtime.run_manifest import RunManifest, Tallies, written_in_parts
from sluice.runtime.runners import batch_runner, beam_silenced
from sluice.runtime.signals import drain_on_signals
from sluice.runtime.streaming_run import StreamingRun
from sluice.runtime.submit import Submitted, submit
from sluice.runtime.worker_errors import worker_errors
from sluice.sources import Acknowledging, Source, open_source
from sluice.sources.dead_letters.source import DeadLetterSource, RejectedRows
from sluice.sources.files.streams import StreamSource
from sluice.sources.limited import LimitedSource
from sluice.sources.streaming import StreamingSource, acknowledges_in_process
from sluice.tooling.job_checks import check_job
from sluice.tooling.job_facts import contract_labels, places_of
from sluice.validation.masking_key import read_privacy_key
from sluice.warehouses.file_presence import FilePresence

SILENT = SilentObserver()


@dataclass(frozen=True)
class Launch:
    """One run to launch: its job, Beam's arguments, the clock, and who watches it."""

    job: Job
    beam_args: Sequence[str]
    clock: Clock
    observer: RunObserver
    metrics: ListenAddress | None = None
    reads_source: bool = True
    keeps_manifest: bool = False
    """The run reads sources for the first time: a redelivery, or a load of the log, does not."""
    of_stream: bool = False
    """The run ends, but its records are some of a source that does not."""
    handle: RunHandle = field(default_factory=RunHandle)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    contexts: list[RunContext] = field(default_factory=list)
    """That of the graph, once it is built."""
    manifests: list[RunManifest] = field(default_factory=list)
    """That of the run, once its graph is built, if it keeps one."""
    warehouse_files: list[FilePresence] = field(default_factory=list)
    """Those of the warehouse, as each of `contexts` was opened with."""

    def report(self, folders: SharedFolders, started: float) -> Report:
        """Return the report of a batch run, which has ended.

        Raises:
            StorageError: a log or the totals were deleted while it lasted, so that nobody knows what is stored.
            WarehouseError: the files of the warehouse were.

        """
        self.check_presence(folders.totals)
        total = read_totals(folders.totals)
        report = self.make_report(total, started)
        if not report.reconciled:
            keep_totals(report, folders.totals)
        self.write_manifest(total, report)
        if self.reads_source:
            return judge(report, self.job, live=False)
        report.warnings += warnings_of(report, self.job.path)
        return report

    def check_presence(self, totals: str) -> None:
        """Check that logs, totals and the files of the warehouse are still there.

        Raises:
            StorageError: logs or totals were deleted while the run lasted.
            WarehouseError: the warehouse was.

        """
        for context in self.contexts:
            context.log.check_presence()
            context.dead_letters.check_presence()
            context.manifest.log.check_presence()
        check_totals(totals)
        for files in self.warehouse_files:
            files.check()

    def write_manifest(self, total: StepCounts, report: Report) -> None:
        """Write what is not yet written of the manifest of a run that has read its sources."""
        for manifest in self.manifests if total.sources else ():
            manifest.write_rest(total.sources, report)

    def make_report(self, total: StepCounts, started: float) -> Report:
        """Return the report of the run from the sum of its step counts."""
        return report_of_job(total, self.job, self.run_id, started, self.clock())


GraphBuilder = Callable[[beam.Pipeline, Callable[[], RunContext]], int | None]
"""Builds a graph, opening its run once its source is known to be there; returns the bytes to read, if known."""


@root_handlers_restored()
def run_job(
    job: Job,
    beam_args: Sequence[str] = (),
    clock: Clock = system_clock,
    metrics: ListenAddress | None = None,
    observer: RunObserver = SILENT,
    limit: int | None = None,
) -> Report | Submitted:
    """Run `job` and return its report: to its end, or, a streaming one, until SIGINT or SIGTERM drains it.

    A streaming job on this machine serves metrics at `metrics`. On another runner it is only submitted, and so
    is a batch job that is made into a template. With `limit`, it reads so many records at most, and acknowledges none.
    Call it in the main thread. What it changes of the process, such as signal handlers, is as before at its end.

    Raises:
        SluiceError: one line; what was written stays valid, and the next run completes it.

    """
    source = _open_source(job, beam_args, limit)
    is_first = not isinstance(source, DeadLetterSource)
    of_stream = isinstance(source, LimitedSource) and source.of_stream
    launch = Launch(job, beam_args, clock, observer, metrics, keeps_manifest=is_first, of_stream=of_stream)
    check_source = cache(source.check)  # once: a graph that replaces another one waits for its source

    def build_graph(pipeline: beam.Pipeline, open_context: Callable[[], RunContext]) -> int | None:
        check_source()
        records = pipeline | "Read" >> copy(source)  # Beam binds a transform to the first pipeline
        context = open_context()
        if context.coalesced_loads is not None:
            observer.show_plan(job, describe_history(context.coalesced_loads))
        if isinstance(source, Acknowledging) and not acknowledges_in_process(pipeline.options):
            context = replace(context, acknowledge=source.acknowledge())
        build(records, job, context)
        return source.size()

    if not isinstance(source, StreamingSource):
        _check_metrics(launch, "a batch job; its figures are in the report, see --report")
        return _run_batch(launch, build_graph)
    return _run_streaming(launch, source, build_graph)


def _open_source(job: Job, beam_args: Sequence[str], limit: int | None) -> Source:
    """Check `job` and open its source; reject a stream of this machine where another one would read it."""
    check_job(job, limited=limit is not None)  # a mistake is reported before anything starts
    read_privacy_key(job.contracts.values(), job.privacy_key)
    source = open_source(job.source)
    if isinstance(source, StreamSource):
        options = JobOptions(list(beam_args))
        if runner_chosen(options) or makes_template(options):
            message = (
                f"{job.source.prefix}expected a source that all workers reach, since a runner is given, got "
                f"{job.source}, which only this machine can read; copy it to a file"
            )
            raise ConfigError(message)
    return source if limit is None else LimitedSource(source, limit, str(job.source))


def _check_metrics(launch: Launch, got: str) -> None:
    """Reject an address for metrics where nothing would listen."""
    if launch.metrics is not None:
        message = f"--metrics-port: expected a streaming job on this machine, got {got}"
        raise ConfigError(message)


@root_handlers_restored()
def load_log(
    job: Job,
    beam_args: Sequence[str] = (),
    clock: Clock = system_clock,
    observer: RunObserver = SILENT,
) -> Report | Submitted:
    """Load into the warehouse of `job` what it lacks of the event log and the dead letters; return the report.

    Raises:
        SluiceError: one line; what was loaded stays, and the next run loads the rest.

    """

    def build_graph(pipeline: beam.Pipeline, open_context: Callable[[], RunContext]) -> int | None:
        context = open_context()
        if context.dead_letters.has_redeliveries:
            context = with_redeliveries(context, job)
        if context.coalesced_logs is not None:
            logs = (context.log, context.dead_letters)
            observer.show_plan(job, describe_loads(logs, context.coalesced_logs))
        build_load(pipeline, job, context)
        return None

    return _run_batch(Launch(job, beam_args, clock, observer, reads_source=False), build_graph)


@root_handlers_restored()
def redeliver_dead_letters(
    job: Job,
    source: DeadLetterSource,
    beam_args: Sequence[str] = (),
    clock: Clock = system_clock,
    observer: RunObserver = SILENT,
) -> Report | Submitted:
    """Run the dead letters of `source`, which are those of `job`, through its graph, and mark them as redelivered.

    Raises:
        SluiceError: one line; the next redelivery completes it.

    """
    read_privacy_key(job.contracts.values(), job.privacy_key)

    def build_graph(pipeline: beam.Pipeline, open_context: Callable[[], RunContext]) -> int | None:
        context = with_redeliveries(open_context(), job)
        context.dead_letters.check_segments(DEAD_LETTER)
        rows = pipeline | "Read rejected rows" >> RejectedRows(source.log, source.selection)
        build_redelivery(pipeline | "Read" >> source, rows, job, context)
        return source.size()

    # What is rejected again was so before: only a limit that somebody chose can fail a redelivery.
    launch = Launch(job, beam_args, clock, observer, reads_source=job.max_rejected is not None)
    return _run_batch(launch, build_graph)


def _run_batch(launch: Launch, build_graph: GraphBuilder) -> Report | Submitted:
    """Run a graph to its end, and report; or hand it over, where it is made into a template."""
    started = launch.clock()
    options = JobOptions(list(launch.beam_args))
    if makes_template(options):
        return _submit(launch, options, build_graph, live=False)
    with run_folder() as folder, batch_runner(options) as runner:
        folders = (
            SharedFolders.on_this_machine(folder)
            if runner is not None
            else SharedFolders.elsewhere(options, folder, launch.run_id)
        )
        pipeline = beam.Pipeline(runner=runner, options=options)
        open_totals(folders.totals)
        size = build_graph(pipeline, lambda: _open(launch, folders, started, live=False))
        if folders.progress is not None:
            folders.progress.loads_apart = any(
                context.coalesced_loads is not None for context in launch.contexts
            )
        with (
            launch.observer.watch_batch(launch.job, size, folders.progress),
            worker_errors(),
            rare_collections(WORKING),
        ):
            pipeline.run().wait_until_finish()
        return launch.report(folders, started)


def _run_streaming(launch: Launch, source: StreamingSource, build_graph: GraphBuilder) -> Report | Submitted:
    """Run a graph until it is drained, and report; or submit it to the runner that was chosen."""
    started = launch.clock()
    options = JobOptions(list(launch.beam_args), streaming=True)
    if not acknowledges_in_process(options):
        source.handle = launch.handle
        _check_metrics(launch, "another runner, which shows metrics of its own")
        return _submit(launch, options, build_graph, live=True)
    state, ends = launch.handle.state, SimpleQueue[Any]()

    def build_again(pipeline: beam.Pipeline, handle: RunHandle, totals: str) -> None:
        source.handle = handle
        build_graph(pipeline, lambda: _context(launch, handle, totals, started))

    with run_folder() as folder, beam_silenced(), ExitStack() as stack:
        numbers = count(1)
        run = StreamingRun(
            state,
            lambda: JobOptions(list(launch.beam_args), streaming=True),
            build_again,
            lambda: new_totals(folder, next(numbers)),
        )
        stack.callback(run.close)
        run.prepare()
        stack.enter_context(drain_on_signals(state.draining, ends))
        with (
            metrics_server(launch.metrics, state, launch.job, launch.clock),
            launch.observer.watch_streaming(launch.job, state, launch.clock),
            _manifest_in_parts(launch, run),
            rare_collections(WORKING),
            heap_frozen(),
        ):
            try:
                run.run(ends, launch.job.windows.flush)
            finally:
                run.close()
        return _report_streaming(launch, run, started)


def _manifest_in_parts(launch: Launch, run: StreamingRun) -> AbstractContextManager[None]:
    def sources() -> Tallies:
        return add_step_counts(graph.counted().counts for graph in run.graphs).sources

    return written_in_parts(launch.manifests[0], sources, launch.clock)


def _context(launch: Launch, handle: RunHandle, totals: str, started: float) -> RunContext:
    """Return the context of a graph; the logs and the warehouse are opened for the first."""
    open_totals(totals)
    if not launch.contexts:
        _open(launch, SharedFolders(totals), started, live=True)
    return replace(
        launch.contexts[0],
        handle=handle,
        acknowledge=CompleteAcks(handle),
        totals_url=totals,
        in_process=True,
    )


def _report_streaming(launch: Launch, run: StreamingRun, started: float) -> Report:
    """Return the report from what the steps counted in this process, with which the parts of the ledger must agree."""
    last = run.graphs[-1]
    launch.check_presence(last.totals)
    attempts = [graph.counted() for graph in run.graphs]
    total = add_attempts(attempts)
    report = launch.make_report(total, started)
    state = launch.handle.state
    report.restarts = state.restarts
    report.lost_at_source = {f"{uri}/{part}": number for (uri, part), number in state.lost.numbers().items()}
    report.warnings += not_read_again(attempts)
    written = read_totals(last.totals)
    if not report.reconciled or (not last.interrupted and not agree(written, attempts[-1].counts)):
        keep_totals(report, last.totals, attempts[-1].counts)
    launch.write_manifest(total, report)
    judge(report, launch.job, live=True)
    if state.failure is not None:
        report.failure = str(state.failure)
    return report


def _submit(launch: Launch, options: PipelineOptions, build_graph: GraphBuilder, *, live: bool) -> Submitted:
    started = launch.clock()

    def attach(pipeline: beam.Pipeline, folders: SharedFolders) -> None:
        build_graph(pipeline, lambda: _open(launch, folders, started, live=live))

    job = launch.job
    submission = Submission(
        job=job.name,
        run_id=launch.run_id,
        started=started,
        live=live,
        judged=launch.reads_source,
        max_rejected=None if job.max_rejected is None else str(job.max_rejected),
        dead_letters=str(job.dead_letters),
        version=running_version(),
        contracts=contract_labels(job),
        places=places_of(job),
        keeps_manifest=launch.keeps_manifest,
    )
    return submit(submission, options, attach)


def _open(launch: Launch, folders: SharedFolders, started: float, *, live: bool) -> RunContext:
    context = open_run(launch.job, launch.handle, folders, started, launch.clock, live=live)
    if launch.of_stream:  # what is too late for its job is too late here
        context = replace(context, ages=replace(context.ages, started=None))
    launch.contexts.append(context)
    if launch.keeps_manifest:
        run = RunOfJob(launch.job.name, launch.run_id, started)
        launch.manifests.append(RunManifest(context, launch.job, run))
    tables = {contract.table for contract in context.tables.values()}
    launch.warehouse_files.append(FilePresence.of(context.warehouse, tables))
    return context
