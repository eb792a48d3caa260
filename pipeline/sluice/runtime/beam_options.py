"""Beam's pipeline options: those that its Python SDK lacks, what the user chose, and what Beam would not know."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from sluice.addresses import mask_flags, mask_given
from sluice.config.connectors import Client
from sluice.errors import ConfigError


def check_beam_options(arguments: Sequence[str]) -> None:
    """Reject what Beam would ignore with a warning, such as a misspelt flag of ours.

    Raises:
        ConfigError: an argument is not an option of Beam, or the runner needs an extra that is not installed.

    """
    if not arguments:
        return
    if any("dataflow" in argument.lower() for argument in arguments if argument.startswith("--runner")):
        Client("apitools", "gcp").check("--runner=DataflowRunner")
    parser = _Parser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    try:
        _, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentTypeError as error:
        message = mask_given(str(error), arguments)
        raise ConfigError(message) from None
    if unknown:
        message = f"{mask_flags(unknown)}: neither a key of the job file nor an option of Beam; see sluice run --help"
        raise ConfigError(message)


class _Parser(argparse.ArgumentParser):
    """Raises its errors, in place of printing the usage of all of Beam."""

    def error(self, message: str) -> NoReturn:
        raise argparse.ArgumentTypeError(message)


class FlinkOptions(PipelineOptions):
    """Options of Flink's job server that Beam's Python SDK has no name for, and that a streaming job there needs."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--checkpointing_interval", type=int, help="Milliseconds between checkpoints.")
        parser.add_argument("--max_bundle_size", type=int, help="Elements of a bundle, at most.")
        # Beam's own spelling.
        parser.add_argument("--max_bundle_time_mills", type=int, help="Milliseconds of a bundle, at most.")


Options = TypeVar("Options", bound=PipelineOptions)

_VIEWS = "_views"


class JobOptions(PipelineOptions):
    """Beam's options, of which each view is made once.

    Beam asks for hundreds of views while it builds a graph, and each reads all flags anew: two fifths of the time. All
    views share their values, so one is as good as a new one.
    """

    def view_as(self, cls: type[Options]) -> Options:
        """Return the values as an instance of `cls`, the same for each call."""
        views: dict[type[PipelineOptions], Any] = self.__dict__.setdefault(_VIEWS, {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        view: Options = views[cls]
        return view

    def __getstate__(self) -> dict[str, Any]:
        """Leave the views out: they hold what Beam may take out of the values that it stores."""
        return {name: value for name, value in super().__getstate__().items() if name != _VIEWS}


def runner_chosen(options: PipelineOptions) -> bool:
    """Return whether the user named a runner."""
    return "runner" in options.get_all_options(drop_default=True)


def makes_template(options: PipelineOptions) -> bool:
    """Return whether the pipeline is only to be stored, for Dataflow to run later."""
    return options.view_as(GoogleCloudOptions).template_location is not None


def temporary_folder(options: PipelineOptions) -> str | None:
    """Return Beam's folder that all workers reach, without a slash at its end; None if there is none."""
    location = options.view_as(GoogleCloudOptions).temp_location
    return None if location is None else str(location).rstrip("/")
