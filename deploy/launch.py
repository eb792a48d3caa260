"""What Dataflow's launcher runs in the image: parameters of the Flex Template in, `sluice run` out.

A parameter is a key of the job file, with `_` where its flag has `-` or a dot, since names of parameters have neither:
`--dead_letters=gs://…`, `--windows_counts=10s`. `job` says which job file of the image they override. Everything else
that the launcher passes is for Beam.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sluice.cli.main import main
from sluice.config.job import option_keys

DEFAULT_JOB = "jobs/backend_events.yaml"


def keys() -> dict[str, str]:
    """Return parameter -> flag of `sluice run`."""
    return {name.replace(".", "_"): f"--{name.replace('_', '-')}" for name in option_keys()}


def arguments(given: Sequence[str]) -> list[str]:
    """Return the command line of `sluice` for what the launcher passes; a parameter that is empty is not given."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--job", default=DEFAULT_JOB)
    for name in keys():
        parser.add_argument(f"--{name}", default="")
    options, rest = parser.parse_known_args(given)
    flags = [f"{flag}={value}" for name, flag in keys().items() if (value := getattr(options, name))]
    return ["run", options.job or DEFAULT_JOB, *flags, *rest]


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])  # job files name contracts relative to it
    sys.exit(main(arguments(sys.argv[1:])))
