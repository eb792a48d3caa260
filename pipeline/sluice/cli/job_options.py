"""The job file of a command, and a flag for each of its keys."""

from __future__ import annotations

import argparse
from collections.abc import Collection

from sluice.cli.command import Options
from sluice.config.job import Job, load_job, option_keys

JOB_HELP = "job file, such as jobs/backend_events.yaml"


def add_job_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument JOB."""
    parser.add_argument("job", metavar="JOB", help=JOB_HELP)


def add_key_options(parser: argparse._ActionsContainer, keys: Collection[str] | None = None) -> None:
    """Add a flag for each of `keys` of the job file, by default for all of them."""
    for name, key in option_keys().items():
        if keys is None or name in keys:
            flags = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}" if "." in name else ""))
            example = f", such as {key.metadata['example']}" if key.metadata.get("example") else ""
            parser.add_argument(
                *filter(None, flags),
                dest=name,
                metavar="TEXT",
                help=f"{key.metadata['help']}{example}".replace("%", "%%"),
            )


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add the argument JOB and a flag for every key of the job file."""
    add_job_argument(parser)
    group = parser.add_argument_group(
        "keys of the job file",
        "Each overrides the key of the same name. Durations carry units: 500ms, 10s, 5m, 2h, 7d.",
    )
    add_key_options(group)


def read_job(options: Options, unused: Collection[str] = ()) -> Job:
    """Read the job file and put the flags that were given over its keys; `unused` as in `load_job`."""
    flags = {name: value for name in option_keys() if (value := getattr(options, name, None)) is not None}
    return load_job(options.job, flags, unused)
