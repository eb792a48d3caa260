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

from sluice.errors import WorkerError
from sluice.runtime.beam_options import runner_chosen
from sluice.runtime.local_workers import local_workers
from sluice.runtime.prism import prism
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
def streaming_runner(options: PipelineOptions) -> Iterator[PipelineRunner]:
    """Yield a runner whose workers are threads of this process.

    Raises:
        WorkerError: inside the context, when Prism dies, or fails the job by a fault of its own.

    """
    with (
        root_log_level(logging.CRITICAL),
        broken_connections_ignored(),
        bundle_tracebacks_discarded(),
        prism(options) as server,
    ):
        portable = options.view_as(PortableOptions)
        portable.job_endpoint = server.endpoint
        # Beam 2.77 stops waiting for a job after this many seconds, by default 300.
        portable.job_server_timeout = None
        try:
            yield PrismRunner()
        except RpcError:
            server.check(_DEATH_SECONDS)
            raise
        except RuntimeError as error:
            server.check()  # Beam makes a RuntimeError of what interrupts its translation of the graph
            panic = _PANIC.search(str(error))
            if panic is None:
                raise
            message = (
                f"Prism, the runner of streaming jobs, failed: {panic[1]}; what was not stored was not acknowledged, "
                "run again"
            )
            raise WorkerError(message) from error
