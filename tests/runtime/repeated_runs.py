"""Runs of a batch job one after the other in this process: `python -m tests.runtime.repeated_runs FOLDER`.

Prints in JSON what each run returned or raised, and what of the process it left changed.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from apache_beam.runners.worker import sdk_worker
from sluice.config.job import load_job
from sluice.errors import SluiceError
from sluice.runtime.launch import run_job
from sluice.runtime.submit import Submitted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)

EVENT = (
    '{"event_type":"inventory","inventory_id":"9e107d9d-0000-4000-8000-%012x","quantity_change":1,'
    '"product_id":"9e107d9d-0000-4000-8000-00000000002a","reason":"sale",'
    '"warehouse_id":"9e107d9d-0000-4000-8000-00000000002a","timestamp":"2025-02-08T13:09:00Z"}'
)


def process_settings() -> dict[str, Any]:
    """Return what of the process a run might leave changed."""
    return {
        "logging.disable": logging.root.manager.disable,
        "root level": logging.root.level,
        "root handlers": list(logging.root.handlers),
        "product's level": logging.getLogger("sluice").level,
        "signals": [signal.getsignal(number) for number in SIGNALS],
        "gc thresholds": gc.get_threshold(),
        "frozen objects": gc.get_freeze_count(),
        "thread excepthook": threading.excepthook,
        "sdk_worker.print": vars(sdk_worker).get("print"),
        "temporary folder": tempfile.tempdir,
        "environment": dict(os.environ),
        "import path": list(sys.path),
    }


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [name for name in before if before[name] != after[name]]


def run(folder: Path, source: str) -> str:
    job = load_job(
        "jobs/backend_events.yaml",
        {
            "source": source,
            "files": f"{folder}/files",
            "warehouse": f"duckdb:///{folder}/w.duckdb",
            "dead_letters": f"{folder}/dead_letters",
        },
    )
    before = process_settings()
    try:
        report = run_job(job)
        assert not isinstance(report, Submitted)
        outcome = f"read {report.read}, accepted {report.accepted}, duplicates {report.duplicates}"
    except SluiceError as error:
        outcome = f"{type(error).__name__}: {error}"
    return outcome + "".join(f"; changed: {name}" for name in changed(before, process_settings()))


def main(folder: Path) -> None:
    tempfile.gettempdir()  # chosen once, by whoever asks first
    history = folder / "history.json"
    history.write_text("".join(f"{EVENT % number}\n" for number in range(3)))
    (folder / "cut.json.gz").write_bytes(b"\x1f\x8b\x08\x00")
    sources = (history, folder / "cut.json.gz", history, folder / "missing.json")
    print(json.dumps([run(folder, str(source)) for source in sources]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
