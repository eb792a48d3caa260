"""Runs `sluice` commands, each in a process that is forked from this one, which has imported what commands need.

It is given the number of a socket, and the address of a source: Beam is imported as runs that read it do. A request
also has a module that runs `sluice`, if one does.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from typing import Any

import duckdb  # noqa: F401  with the next ones, what most commands need
from sluice.cli import commands  # noqa: F401  which main imports
from sluice.cli.main import main
from sluice.config.urls import Url
from sluice.runtime.beam_import import import_beam

from devservers.programs.fork_server import forget_folder, serve


def run(request: dict[str, Any]) -> int:
    """Run `sluice`, or a module; return the exit code."""
    sys.path[1:1] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = ["sluice", *request["arguments"]]
    module: str | None = request["module"]
    if module is None:
        return main()
    sys.path.insert(0, request["folder"])  # as `python -m` does
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


if __name__ == "__main__":
    forget_folder()
    import_beam(Url(sys.argv[2]), [])
    importlib.import_module("sluice.runtime.launch")
    serve(int(sys.argv[1]), run)
