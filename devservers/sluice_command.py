"""The `sluice` command in a process of its own: run to its end, or running until a test disturbs it.

A new interpreter imports Beam for longer than most commands of tests work, so the processes are forked from one that
has imported it. Where the start itself is tested, tests run `SLUICE` of `devservers.sluice_process`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

from sluice.config.urls import Url
from sluice.runtime.beam_import import needs_cloud_packages

from devservers.forked_process import Finished, ForkedProcess, ForkServer, run_forked
from devservers.sluice_process import EXIT_SECONDS, SLUICE, RunningProcess, SluiceProcess
from devservers.tools import ROOT

__all__ = ["AS_A_USER", "Finished", "ForkedSluiceProcess", "sluice"]

AS_A_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else list[str]()
"""With it, root too reads and writes only what the mode of a file allows."""


LOCAL, CLOUD = "history.json", "gs://bucket/history.json"
"""Sources for which Beam is imported without its cloud packages, and with them."""


def sluice(*arguments: str, environment: Mapping[str, str] | None = None, folder: Path = ROOT) -> Finished:
    """Run one command to its end in `folder`, in this process's environment and `environment`.

    Raises:
        subprocess.TimeoutExpired: it takes longer than EXIT_SECONDS; it was killed.

    """
    command = [SLUICE, *arguments]
    return run_forked(
        _server(_like(arguments)), command, {**os.environ, **(environment or {})}, folder, EXIT_SECONDS
    )


class ForkedSluiceProcess(SluiceProcess):
    """A command that runs; its first word is SLUICE, or a module of tests that runs it."""

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], output: IO[bytes]
    ) -> RunningProcess:
        with open(os.devnull, "rb") as nothing:
            streams = [nothing.fileno(), output.fileno(), output.fileno()]
            module = None if command[0] == SLUICE else command[0]
            server = _server(_like(command[1:]))
            return ForkedProcess(server, command, environment, ROOT, streams, session=True, module=module)


def _like(arguments: Sequence[str]) -> str:
    """Return a source for which Beam is imported as it is for a command, CLOUD also if that has options of Beam."""
    options = [word.partition("=") for word in arguments if word.startswith("--")]
    sources = [Url(value) for name, _, value in options if name == "--source"]
    beam_args = [name for name, _, _ in options if name == "--runner" or "_" in name]
    return CLOUD if any(needs_cloud_packages(source, beam_args) for source in sources) else LOCAL


@cache
def _server(source: str) -> ForkServer:
    """Return the server for sources such as `source`."""
    return ForkServer([*AS_A_USER, sys.executable], "devservers.programs.command_server", source)
