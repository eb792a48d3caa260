"""A run on local workers, in a process of its own: `python -m tests.runtime.worker_run forked|spawned STEP`.

A process that has threads, as pytest may, cannot fork workers. Prints in JSON what the run raised, and whether all
workers have ended.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from sluice.errors import SluiceError
from sluice.runtime import local_workers
from sluice.runtime.worker_errors import worker_errors

LAUNCHER = os.getpid()
WORKERS = 2


def work(_number: int) -> None:
    assert os.getpid() != LAUNCHER


def be_killed(_number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hold_the_lock(_number: int) -> None:
    """Print the worker's process id, then keep Python's lock for ever: no other thread of the worker runs again."""
    os.write(sys.stdout.fileno(), f"{os.getpid()}\n".encode())
    sum(itertools.repeat(0))


def leave(_number: int) -> None:
    os._exit(3)


STEPS: Mapping[str, Callable[[int], None]] = {
    "work": work,
    "be_killed": be_killed,
    "hold_the_lock": hold_the_lock,
    "leave": leave,
    "die_before_start": work,
    "work_in_a_notebook": work,
}


def kill_first_worker() -> None:
    """Kill the first worker between its start and its first request."""
    start = local_workers._Worker.start

    def kill(worker: local_workers._Worker, settings: Mapping[str, str]) -> None:
        os.kill(worker.pid, signal.SIGTERM)
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        start(worker, settings)

    local_workers._Worker.start = kill  # type: ignore[assignment,method-assign]  # for this process only


def run(step: Callable[[int], None]) -> None:
    options = PipelineOptions([f"--direct_num_workers={WORKERS}"])
    with local_workers.local_workers(WORKERS, options) as environment, worker_errors():
        pipeline = beam.Pipeline(runner=FnApiRunner(default_environment=environment), options=options)
        _ = pipeline | beam.Create(range(4)) | beam.Reshuffle() | beam.Map(step)
        pipeline.run().wait_until_finish()


def main(kind: str, step: str) -> None:
    logging.disable(logging.CRITICAL)
    if kind == "spawned":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    if step == "die_before_start":
        kill_first_worker()
    if step == "work_in_a_notebook":
        sys.stderr = io.StringIO()  # has no descriptor
    raised = ""
    try:
        run(STEPS[step])
    except SluiceError as error:
        raised = f"{type(error).__name__}: {error}"
    try:
        os.waitpid(-1, os.WNOHANG)
        ended = False
    except ChildProcessError:
        ended = True
    print(json.dumps({"raised": raised, "ended": ended}))


if __name__ == "__main__":
    main(*sys.argv[1:])
