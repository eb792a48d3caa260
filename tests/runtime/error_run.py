"""Runs of which a worker raises an error, each in a fork of this process: `python -m tests.runtime.error_run`.

Prints a JSON object: class of the error -> class and text of what the launcher got.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from sluice import errors
from sluice.errors import SluiceError
from sluice.runtime.local_workers import local_workers
from sluice.runtime.worker_errors import worker_errors

TEXT = "s3://b/k: expected 'a', got \"b\\n\" [while running 'Step']; RuntimeError: ü"


def subclasses(base: type[SluiceError] = SluiceError) -> Iterator[type[SluiceError]]:
    yield base
    for below in base.__subclasses__():
        yield from subclasses(below)


def fail(_element: int, name: str) -> None:
    raise getattr(errors, name)(TEXT)


def run(name: str) -> tuple[str, str]:
    options = PipelineOptions(["--direct_num_workers=1"])
    try:
        with local_workers(1, options) as environment, worker_errors():
            pipeline = beam.Pipeline(runner=FnApiRunner(default_environment=environment), options=options)
            _ = pipeline | beam.Create([1]) | beam.Map(fail, name)
            pipeline.run().wait_until_finish()
    except SluiceError as error:
        return type(error).__name__, str(error)
    return "", ""


def main() -> None:
    logging.disable(logging.CRITICAL)
    raised = {}
    for known in subclasses():
        if known.__module__ != errors.__name__:
            continue
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.write(writing, json.dumps(run(known.__name__)).encode())
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        raised[known.__name__] = json.loads(os.read(reading, 65_536))
    print(json.dumps(raised))


if __name__ == "__main__":
    main()
