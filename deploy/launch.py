"""What Dataflow's launcher runs in the image: parameters of the Flex Template in, `sluice run` out.

A parameter is a key of the job file, with `_` where its flag has `-` or a dot, since names of parameters have neither:
`--dead_letters=gs://…`, `--windows_counts=10s`. `job` says which job file they override: one of the image, or one in a
bucket, whose contracts lie below its folder. Everything else that the launcher passes is for Beam.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sluice.cli.main import main
from sluice.config.job import option_keys
from sluice.errors import ConfigError, SluiceError, StorageError
from sluice.storage import open_store

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


def fetch_job(address: str, folder: Path) -> str:
    """Copy a job file and all YAML files below its folder, such as contracts, to `folder`; return the name of the job.

    Raises:
        ConfigError: no such file is there, or it lies beside all else that is in its bucket.
        StorageError: the bucket cannot be read, or a file cannot be copied.

    """
    place, _, name = address.rpartition("/")
    scheme, _, folders = place.partition("://")
    if scheme != "file" and "/" not in folders.strip("/"):
        message = (
            f"--job: expected a job file in a folder of its own, such as {place}/job/{name}, got {address}"
        )
        raise ConfigError(message)
    store = open_store(place)
    paths = [path for path in store.walk() if path.endswith((".yaml", ".yml"))]
    if name not in paths:
        found = ", ".join(path for path in paths if "/" not in path) or "none"
        message = f"--job: expected a job file, {address}, got {found} in {place}"
        raise ConfigError(message)
    for path in paths:
        target = folder / path
        content = store.read(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        except OSError as error:  # as when a bucket has both a.yaml and a.yaml/b.yaml
            message = f"{store.url(path)}: cannot copy the file: {error.strerror}"
            raise StorageError(message) from error
    return name


def run(given: Sequence[str]) -> int:
    """Run the job that the launcher's arguments name, and return its exit code."""
    command, job, *flags = arguments(given)
    if "://" not in job:
        os.chdir(Path(__file__).parents[1])  # job files name contracts relative to it
        return main([command, job, *flags])
    with tempfile.TemporaryDirectory() as folder:
        try:
            name = fetch_job(job, Path(folder))
        except SluiceError as error:
            print(f"sluice: {error}", file=sys.stderr)
            return error.exit_code
        before = Path.cwd()
        os.chdir(folder)
        try:
            return main([command, name, *flags])
        finally:
            os.chdir(before)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
