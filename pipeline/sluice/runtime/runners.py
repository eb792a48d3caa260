"""The runners of this machine: Beam's local runner with forked workers for batch, Prism for streaming."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, PortableOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.runners.runner import PipelineRunner
from grpc import RpcError

from sluice.errors import RunnerError, decode_error
from sluice.runtime.beam_options import runner_chosen
from sluice.runtime.local_workers import local_workers
from sluice.runtime.prism import RUNNER, Prism, prism
from sluice.runtime.process_settings import (
    broken_connections_ignored,
    bundle_tracebacks_discarded,
    logging_disabled,
    root_log_level,
)

_DEATH_SECONDS = 5.0
"""How long a broken connection waits for the exit code of the process whose death broke it."""

_PANIC = re.compile(r"panic in stage\.Execute bundle processing goroutine: (.*?)(?:, stage:|$)", re.MULTILINE)
"""A failure of Prism 2.77.0: it asks its own steps for progress, and panics if it got no CPU time for 100 ms before."""

_TRACEBACK = "Traceback (most recent call last)"
"""In the text of an error that a step of ours raised."""

_LONGEST = 300
"""Characters of an error of Prism in a line."""


@contextmanager
def batch_runner(options: PipelineOptions) -> Iterator[PipelineRunner | None]:
    """Yield a runner with a worker process for each core; None if the user chose a runner.

    Raises:
        WorkerError: inside the context, when a worker process dies.

    """
    if runner_chosen(options):
        yield None
        return
    cores = os.cpu_count() or 1
    options.view_as(DirectOptions).direct_num_workers = cores
    with logging_disabled(logging.ERROR), local_workers(cores, options) as environment:
        yield FnApiRunner(default_environment=environment)


@contextmanager
def beam_silenced() -> Iterator[None]:
    """Have Beam print and log nothing of a streaming run until the threads in which it works have finished."""
    with (
        root_log_level(logging.CRITICAL),
        broken_connections_ignored(),
        bundle_tracebacks_discarded(),
    ):
        yield


@contextmanager
def streaming_runner(options: PipelineOptions) -> Iterator[tuple[PipelineRunner, Prism]]:
    """Yield a runner whose workers are threads of this process, and its Prism."""
    with prism(options) as server:
        portable = options.view_as(PortableOptions)
        portable.job_endpoint = server.endpoint
        # Beam 2.77 stops waiting for a job after this many seconds, by default 300.
        portable.job_server_timeout = None
        yield PrismRunner(), server


@contextmanager
def runner_errors(server: Prism) -> Iterator[None]:
    """Raise what is a fault of Prism as such; a SluiceError that a step raised, and a bug of a step, as it is.

    Raises:
        RunnerError: Prism has ended, or failed the job by a fault of its own.

    """
    try:
        yield
    except RpcError as error:
        server.check(_DEATH_SECONDS)
        message = f"{RUNNER} broke the connection: {_reason(error)}"
        raise RunnerError(message) from error
    except RuntimeError as error:
        text = str(error)
        if decode_error(text) is not None:
            raise
        server.check()  # Beam makes a RuntimeError of whatever breaks
        panic = _PANIC.search(text)
        if panic is None and _TRACEBACK in text:
            raise
        message = f"{RUNNER} failed: {panic[1] if panic else ' '.join(text.split())[:_LONGEST]}"
        raise RunnerError(message) from error


def _reason(error: RpcError) -> str:
    code = getattr(error, "code", None)
    return str(code().name) if code is not None else type(error).__name__
