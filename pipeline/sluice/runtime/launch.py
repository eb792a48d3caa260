"""Job -> running pipeline: opens what the graph needs, chooses a runner, shows progress, reports."""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
)
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.runners.runner import PipelineRunner
from apache_beam.runners.worker import sdk_worker
from grpc import RpcError

from sluice import errors
from sluice.cli.console import live_status, progress_bar
from sluice.clock import Clock, system_clock
from sluice.config.job import Job
from sluice.dead_letters.envelope import dead_letter_contract
from sluice.dead_letters.log import DeadLetterLog
from sluice.elements import DEAD_LETTER
from sluice.errors import ConfigError, WorkerError
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.graph.build import build, build_load
from sluice.graph.ledger import Report, make_report, read_totals, write_submission
from sluice.graph.progress import Progress
from sluice.graph.redelivery import build_redelivery
from sluice.graph.run_context import RunContext
from sluice.graph.shuffle import Spill
from sluice.graph.windowing import Windowing
from sluice.retry import RetryPolicy
from sluice.runtime.local_workers import forked_workers
from sluice.runtime.monitoring import draining_by_signal, metrics_server
from sluice.runtime.prism import prism
from sluice.sources import Acknowledging, open_source
from sluice.sources.acknowledgements import CLOSING, MAX_BEHIND_WATERMARK
from sluice.sources.dead_letters import DeadLetterSource
from sluice.sources.streaming import acknowledges_in_process
from sluice.storage import open_store
from sluice.tooling.tables import contracts_of, fit_to_table
from sluice.validation.age_limits import AgeLimits
from sluice.validation.masking import is_masked
from sluice.validation.masking_key import read_privacy_key
from sluice.warehouses import RateLimited, open_warehouse

_LETTER_LATENESS = 10 * 365 * 86400.0
"""A dead letter is never too late: a runner must not drop what is already the record of a failure."""

_LIVE_RETRY_FOR = 600.0

_DEATH_SECONDS = 5.0
"""From a broken connection until the death that broke it must have shown."""

_NEW_OBJECTS = 50_000
"""Until Python looks for cycles among them."""

_RUN_PREFIX = "sluice-run-"
_LOCK = "lock"
_LONGEST_TMPDIR = 68
"""The workers' socket lies in the run's folder, and a UNIX socket's path has at most 107 bytes."""

_OUR_ERROR = re.compile(r"^sluice\.errors\.(\w+): (.*?)(?: \[while running .*)?$", re.MULTILINE)
"""The last line of a worker's traceback, when the exception is one of ours."""


_PANIC = re.compile(r"panic in stage\.Execute bundle processing goroutine: (.*?)(?:, stage:|$)", re.MULTILINE)
"""Prism 2.77.0 asks its own steps for progress, and finds nobody there, if the kernel gives it no time for 100 ms."""


def run_job(
    job: Job, beam_args: Sequence[str], clock: Clock = system_clock, metrics_port: int | None = None
) -> Report | Submitted:
    """Run `job` and return its report: to its end, or, a live one, until SIGINT or SIGTERM drains it.

    A live job on this machine serves Prometheus metrics on `metrics_port`, if it is given. On another runner it
    is only submitted, and so is a history that is made into a template.

    Raises:
        SluiceError: one clear line; what was written stays valid, and the next run completes it.

    """
    read_privacy_key(job.contracts.values(), job.privacy_key)  # a mistake is told before anything starts
    source = open_source(job.source)

    def attach(pipeline: beam.Pipeline, open_run: Callable[[], RunContext]) -> int | None:
        source.check()
        records = pipeline | "Read" >> source
        run = open_run()
        if isinstance(source, Acknowledging) and not acknowledges_in_process(pipeline.options):
            run = replace(run, acknowledge=source.acknowledge())
        build(records, job, run)
        return source.size()

    if source.bounded:
        return _launch(job, beam_args, attach, clock)
    _check_rate(job)
    return _launch_live(job, beam_args, attach, clock, metrics_port)


def _check_rate(job: Job) -> None:
    """Refuse a live job that would load more often than its warehouse allows; counts alone are no loads."""
    warehouse = open_warehouse(job.warehouse)
    if isinstance(warehouse, RateLimited) and "events" in job.load:
        warehouse.check_rate(len(job.contracts), job.windows.shards, job.windows.flush)


def load_log(job: Job, beam_args: Sequence[str], clock: Clock = system_clock) -> Report | Submitted:
    """Load into the warehouse of `job` whatever it lacks of the log and the dead letters; return the report."""

    def attach(pipeline: beam.Pipeline, open_run: Callable[[], RunContext]) -> int | None:
        build_load(pipeline, job, open_run())
        return None

    return _launch(job, beam_args, attach, clock)


def redeliver_dead_letters(
    job: Job, source: DeadLetterSource, beam_args: Sequence[str], clock: Clock = system_clock
) -> Report | Submitted:
    """Run the letters of `source`, which are those of `job`, through its graph, and mark them; return the report."""
    read_privacy_key(job.contracts.values(), job.privacy_key)

    def attach(pipeline: beam.Pipeline, open_run: Callable[[], RunContext]) -> int | None:
        letters = DeadLetterLog.at(job.dead_letters, job.quarantine, redeliveries=True)
        run = replace(open_run(), letters=letters)
        letters.open()
        build_redelivery(pipeline | "Read" >> source, job, run)
        return source.size()

    return _launch(job, beam_args, attach, clock)


class FlinkOptions(PipelineOptions):
    """Options of Flink's job server that Beam's Python SDK has no name for, and that a live job there needs."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--checkpointing_interval", type=int, help="Milliseconds between checkpoints.")
        parser.add_argument("--max_bundle_size", type=int, help="Elements of a bundle, at most.")


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that a cluster runs from now on, or, as the launcher of a template leaves it, soon."""

    runner: str
    job_id: str | None
    """None where the runner gives it one later, as Dataflow does with a template."""
    totals: str
    """Where its ledger is written."""


GraphBuilder = Callable[[beam.Pipeline, Callable[[], RunContext]], int | None]
"""Builds a graph, opening its run when the source is known to be there; returns the bytes to read, if known."""


def _launch(job: Job, beam_args: Sequence[str], attach: GraphBuilder, clock: Clock) -> Report | Submitted:
    """Run what `attach` builds to its end, and report; or hand it over, where it is made into a template."""
    started, run_id = clock(), uuid.uuid4().hex
    options = PipelineOptions(list(beam_args))
    if options.view_as(GoogleCloudOptions).template_location is not None:
        return _submit(job, options, attach, clock, live=False)
    with _run_folder() as folder, _workers(options, folder) as runner:
        shared = _Shared.on_this_machine(folder) if runner else _Shared.elsewhere(options, folder, run_id)
        pipeline = beam.Pipeline(runner=runner, options=options)
        size = attach(pipeline, lambda: _open(job, shared, started, clock, live=False))
        with progress_bar(f"sluice {job.name}", size, shared.progress), reraise_worker_error():
            pipeline.run().wait_until_finish()
        total = read_totals(shared.totals)
    return make_report(total, job=job.name, run_id=run_id, started=started, seconds=clock() - started)


def _launch_live(
    job: Job, beam_args: Sequence[str], attach: GraphBuilder, clock: Clock, metrics_port: int | None
) -> Report | Submitted:
    """Run what `attach` builds until it is drained, and report; or submit it to the runner that was chosen."""
    started, run_id = clock(), uuid.uuid4().hex
    options = PipelineOptions(list(beam_args), streaming=True)
    if not acknowledges_in_process(options):
        return _submit(job, options, attach, clock, live=True)
    with _run_folder() as folder:
        watched = (
            metrics_server(metrics_port, job.windows.flush),
            live_status(f"sluice {job.name}", clock),
            draining_by_signal(),
        )
        with ExitStack() as stack:
            runner = stack.enter_context(_prism(options))
            shared = _Shared.within_this_process(folder)
            pipeline = beam.Pipeline(runner=runner, options=options)
            attach(pipeline, lambda: _open(job, shared, started, clock, live=True))
            stack.callback(CLOSING.close)
            for each in watched:
                stack.enter_context(each)
            stack.enter_context(_collecting_seldom())
            stack.enter_context(reraise_worker_error())
            pipeline.run().wait_until_finish()
        total = read_totals(shared.totals)
    return make_report(total, job=job.name, run_id=run_id, started=started, seconds=clock() - started)


def _submit(
    job: Job, options: PipelineOptions, attach: GraphBuilder, clock: Clock, *, live: bool
) -> Submitted:
    """Hand what `attach` builds over to the runner that was chosen, and do not wait for it."""
    started, run_id = clock(), uuid.uuid4().hex
    if options.view_as(GoogleCloudOptions).temp_location is None:
        message = "--temp_location: expected a folder that all workers reach, for the job's totals, got none"
        raise ConfigError(message)
    with _run_folder() as folder, reraise_worker_error():
        shared = _Shared.elsewhere(options, folder, run_id)
        pipeline = beam.Pipeline(options=options)
        attach(pipeline, lambda: _open(job, shared, started, clock, live=live))
        result = pipeline.run()
    write_submission(shared.totals, job=job.name, run_id=run_id, started=started)
    return Submitted(type(pipeline.runner).__name__, _job_id(result), shared.totals)


def _job_id(result: Any) -> str | None:
    if hasattr(result, "has_job"):  # Dataflow's, which has none when a template was made
        return str(result.job_id()) if result.has_job else None
    return str(getattr(result, "_job_id", "")) or None


def _runner_chosen(options: PipelineOptions) -> bool:
    return "runner" in options.get_all_options(drop_default=True)


@contextmanager
def _workers(options: PipelineOptions, folder: Path) -> Iterator[PipelineRunner | None]:
    """Yield the runner of histories, with a worker process for each core; None if the user chose a runner."""
    if _runner_chosen(options):
        yield None
        return
    cores = os.cpu_count() or 1
    options.view_as(DirectOptions).direct_num_workers = cores
    logging.disable(logging.ERROR)  # what Beam logs as an error comes as an exception as well
    with forked_workers(cores, folder, options) as environment:
        yield FnApiRunner(default_environment=environment)


@contextmanager
def _prism(options: PipelineOptions) -> Iterator[PipelineRunner]:
    """Yield the runner of live jobs, whose workers are threads of this process.

    Raises:
        WorkerError: inside the context, when Prism dies, or gives the job up for a mistake of its own.

    """
    logging.getLogger().setLevel(logging.CRITICAL)  # what Beam logs as an error comes as an exception as well
    hook, threading.excepthook = threading.excepthook, _thread_failed
    sdk_worker.print = discard  # the traceback of a failed bundle, which comes as an exception as well
    try:
        with prism(options) as running:
            portable = options.view_as(PortableOptions)
            portable.job_endpoint = running.endpoint
            # Beam 2.77 ends its watch over a job after so many seconds, by default after 300.
            portable.job_server_timeout = None
            try:
                yield PrismRunner()
            except RpcError:
                running.check(_DEATH_SECONDS)
                raise
            except RuntimeError as error:
                panic = _PANIC.search(str(error))
                if panic is None:
                    raise
                message = (
                    f"Prism, the runner of live jobs, failed: {panic[1]}; what was not stored was not acknowledged, "
                    "run again"
                )
                raise WorkerError(message) from error
    finally:
        del sdk_worker.print
        threading.excepthook = hook


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Have Python look for cycles among many new objects at once, and not among those that it has imported.

    By itself it looks after every 700, and a batch of Kafka's messages are 20,000 that are all alive.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def discard(*_: object, **__: object) -> None:
    """Stand in for `print` where a library prints. It would even fail, and hang the run, on a full disk."""


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Say nothing of Beam's threads whose connection to Prism breaks: the main thread's breaks as well."""
    if not issubclass(failed.exc_type, RpcError):
        threading.__excepthook__(failed)


@dataclass(frozen=True, slots=True)
class _Shared:
    """What workers leave, while a run lasts, for the launcher and for each other."""

    totals: str
    progress: Progress | None = None
    spill: Spill | None = None

    @classmethod
    def on_this_machine(cls, folder: Path) -> _Shared:
        """Return folders within the run's own."""
        for name in ("totals", "progress", "spill"):
            (folder / name).mkdir()
        return cls(str(folder / "totals"), Progress(str(folder / "progress")), Spill(str(folder / "spill")))

    @classmethod
    def within_this_process(cls, folder: Path) -> _Shared:
        """Return a folder within the run's own; nothing else is needed where the launcher is the worker."""
        return cls(str(folder / "totals"))

    @classmethod
    def elsewhere(cls, options: PipelineOptions, folder: Path, run_id: str) -> _Shared:
        """Return a folder that all machines reach: below Beam's `--temp_location`, if there is one."""
        temporary = options.view_as(GoogleCloudOptions).temp_location
        return cls(f"{temporary.rstrip('/')}/sluice/{run_id}" if temporary else str(folder / "totals"))


@contextmanager
def _run_folder() -> Iterator[Path]:
    """Make the folder of this run, and remove those that killed runs left behind: nobody holds their lock."""
    temporary = tempfile.gettempdir()
    if len(os.fsencode(temporary)) > _LONGEST_TMPDIR:
        message = f"TMPDIR: expected a path of at most {_LONGEST_TMPDIR} bytes, got {temporary}"
        raise ConfigError(message)
    for left in Path(temporary).glob(f"{_RUN_PREFIX}*/{_LOCK}"):
        with suppress(OSError), left.open("rb") as lock:  # OSError: its owner lives, or it is gone just now
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent)
    with tempfile.TemporaryDirectory(prefix=_RUN_PREFIX) as name:
        new = Path(name) / f"{_LOCK}.new"
        with new.open("xb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            new.rename(Path(name) / _LOCK)  # never seen without its lock held
            before, tempfile.tempdir = tempfile.tempdir, name  # Beam's own leavings shall go with the folder
            try:
                yield Path(name)
            finally:
                tempfile.tempdir = before


def _open(job: Job, shared: _Shared, started: float, clock: Clock, *, live: bool) -> RunContext:
    """Open the logs and the warehouse, so that what is wrong with them is said before Beam starts."""
    letter_contract = dead_letter_contract()
    type_logs = {name: TypeLog.of(contract) for name, contract in job.contracts.items()}
    log = EventLog(open_store(job.files), type_logs, job.windows.shards)
    letters = DeadLetterLog.at(job.dead_letters, job.quarantine)
    warehouse = open_warehouse(job.warehouse)
    log.open()
    letters.open()
    if is_masked(job.contracts.values()):
        letters.open_quarantine()
    contracts = contracts_of(job)
    warehouse.prepare(contracts)
    tables = {each.event_type: each for each in fit_to_table(warehouse, contracts)}
    windows = job.windows
    retry_for = job.retry_for if job.retry_for is not None else (_LIVE_RETRY_FOR if live else 0.0)
    return RunContext(
        log=log,
        letters=letters,
        warehouse=warehouse,
        tables={**job.contracts, DEAD_LETTER: letter_contract, **tables},
        ages=AgeLimits(windows.max_skew, windows.allowed_lateness, None if live else started),
        event_windowing=Windowing(live, windows.flush, windows.allowed_lateness + MAX_BEHIND_WATERMARK),
        dead_letter_windowing=Windowing(live, windows.flush, _LETTER_LATENESS),
        totals_url=shared.totals,
        clock=clock,
        retry=RetryPolicy(retry_for),
        progress=shared.progress,
        spill=shared.spill,
    )


@contextmanager
def reraise_worker_error() -> Iterator[None]:
    """Turn a user's mistake or a failing store, met in a worker, back into the one exception that it was.

    Runners hand a worker's exception over as a RuntimeError whose text is the worker's traceback.
    """
    try:
        yield
    except RuntimeError as error:
        found = _OUR_ERROR.findall(str(error))
        if not found:
            raise
        name, text = found[-1]
        raise getattr(errors, name)(text) from error
