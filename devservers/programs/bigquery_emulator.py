"""`local-bigquery`, with jobs, tables and data sets that are created atomically, as BigQuery creates them.

The emulator looks whether a job, table or data set is there, and then creates it. Two clients that do this at the same
time both succeed. With a lock around each of these calls, the second gets the 409 that BigQuery answers.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

from local_bigquery import cli
from local_bigquery.catalog import datasets, tables
from local_bigquery.jobs import runner

_LOCK = threading.RLock()


def locked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that only one thread runs at a time."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        with _LOCK:
            return function(*arguments, **named)

    return call


def main() -> None:
    """Patch the emulator, and run it with the options of the command line."""
    for module, names in ((runner, ["submit"]), (tables, ["create", "get"]), (datasets, ["create", "get"])):
        for name in names:
            setattr(module, name, locked(getattr(module, name)))
    cli.main()


if __name__ == "__main__":
    main()
