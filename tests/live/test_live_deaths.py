"""Each process of a streaming run dies before its job runs: one line, an exit code, and nothing left within seconds.

What happens when they die in mid-stream is in test_live_faults.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from devservers.kafka import KafkaTopic
from devservers.sluice_process import SluiceProcess

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

MOMENTS = ("build", "submit_streaming")
PRISM = ("runner", "guard")
"""Prism, and the process that has started it."""
INTERRUPTED = "sluice: interrupted; what was written stays valid, and the next run completes it\n"
PRISM_ENDED = (
    "sluice: Prism, the runner of streaming jobs, ended with exit code {code}; what was not stored was not "
    "acknowledged, run again\n"
)


@pytest.mark.parametrize(
    ("moment", "victim", "how", "end"),
    [
        *(
            (moment, victim, "SIGKILL", (1, PRISM_ENDED.format(code=137)))
            for moment in MOMENTS
            for victim in PRISM
        ),
        *(
            (moment, victim, "SIGTERM", (1, PRISM_ENDED.format(code=143)))
            for moment in MOMENTS
            for victim in PRISM
        ),
        *((moment, "launcher", "SIGKILL", (-9, "")) for moment in MOMENTS),
        ("build", "launcher", "SIGTERM", (143, INTERRUPTED)),  # later it drains the job
    ],
)
def test_process_that_dies_before_the_job_runs_is_one_line(
    topic: KafkaTopic, scratch: Path, moment: str, victim: str, how: str, end: tuple[int, str]
) -> None:
    command = [
        sys.executable, "-m", "tests.runtime.killed_run", moment, victim, how, "run", "jobs/backend_events.yaml",
        f"--source={topic.source}", f"--files={scratch}/files", f"--warehouse=duckdb:///{scratch}/w.duckdb",
        f"--dead-letters={scratch}/dead",
    ]  # fmt: skip
    environment = {**os.environ, **topic.environment, "TMPDIR": str(scratch)}
    run = SluiceProcess(command, environment, scratch / "run.log")
    assert (run.finish(), run.output()) == end
