"""Runs dbt commands, each in a process that is forked from this one, which has imported dbt and parsed the project.

It is given the number of a socket, and the arguments with which the project is parsed, in this process's environment.
dbt itself takes what was parsed: `dbtRunner(manifest=…)`. A project that cannot be parsed is left to each command,
which then says why.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import threading
from typing import Any

from dbt.cli.main import dbtRunner

from devservers.programs import emulated_tables
from devservers.programs.fork_server import forget_folder, serve

# The static parser starts threads, which a process that forks must not have.
_PARSE = (
    "--quiet",
    "--log-level-file=none",
    "--no-static-parser",
    "--no-partial-parse",
    "--no-write-json",
    "parse",
)


def parse(arguments: list[str]) -> Any:
    """Return what dbt has parsed, or nothing if it could not."""
    with tempfile.TemporaryDirectory() as folder:
        result = dbtRunner().invoke([*_PARSE, *arguments, "--target-path", folder, "--log-path", folder])
    return result.result if result.success else None


def main() -> None:
    """Parse, and serve."""
    forget_folder()
    emulated_tables.install()
    manifest = parse(sys.argv[2:])
    # Those of NumPy and Arrow are no threads of Python; both libraries know about forks.
    assert threading.active_count() == 1, threading.enumerate()

    def run(request: dict[str, Any]) -> int:
        result = dbtRunner(manifest=manifest).invoke(request["arguments"])
        if result.exception is not None:
            print(result.exception, file=sys.stderr)
            return 2
        return int(not result.success)

    gc.freeze()  # what was parsed stays, so commands need not look through it again and again
    serve(int(sys.argv[1]), run)


if __name__ == "__main__":
    main()
