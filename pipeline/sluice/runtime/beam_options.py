"""Options of the command line that are for Beam: every one of them must be known."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

from sluice.errors import ConfigError


def check_beam_options(arguments: Sequence[str]) -> None:
    """Reject what Beam would ignore with a warning, such as a misspelt flag of ours.

    Raises:
        ConfigError: an argument is not an option of Beam.

    """
    if not arguments:
        return
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(arguments)
    if unknown:
        message = (
            f"{' '.join(unknown)}: neither a key of the job file nor an option of Beam; see sluice run --help"
        )
        raise ConfigError(message)
