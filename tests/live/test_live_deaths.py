"""Each process of a streaming run dies before its job runs.

Prism is started again; when the launcher dies, nothing is left within seconds. What happens when they die in mid-stream
is in test_restarts and test_live_faults.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from devservers.kafka import KafkaTopic
from devservers.live_job import answer
from devservers.ports import free_port
from devservers.sluice_command import ForkedSluiceProcess
from devservers.sluice_process import SluiceProcess

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

MOMENTS = ("build", "submit_streaming")
PRISM = ("runner", "guard")
"""Prism, and the process that has started it."""
INTERRUPTED = "sluice: interrupted; what was written stays valid, and the next run completes it\n"
RESTARTED = (
    " sluice: Prism, the runner of streaming jobs, ended with exit code 137; starting it again (1 of at most 5 times "
    "within 600 s); 0 records are not stored, and are read again"
)


def start(topic: KafkaTopic, folder: Path, moment: str, victim: str, how: str, *flags: str) -> SluiceProcess:
    command = [
        "tests.runtime.killed_run", moment, victim, how, "run", "jobs/backend_events.yaml",
        f"--source={topic.source}", f"--files={folder}/files", f"--warehouse=duckdb:///{folder}/w.duckdb",
        f"--dead-letters={folder}/dead", *flags,
    ]  # fmt: skip
    environment = {**os.environ, **topic.environment, "TMPDIR": str(folder)}
    return ForkedSluiceProcess(command, environment, folder / "run.log")


@pytest.mark.parametrize(
    ("moment", "victim", "how", "end"),
    [
        *((moment, "launcher", "SIGKILL", (-9, "")) for moment in MOMENTS),
        ("build", "launcher", "SIGTERM", (143, INTERRUPTED)),  # later it drains the job
    ],
)
def test_launcher_that_dies_before_the_job_runs_leaves_no_process(
    topic: KafkaTopic, scratch: Path, moment: str, victim: str, how: str, end: tuple[int, str]
) -> None:
    run = start(topic, scratch, moment, victim, how)
    assert (run.finish(), run.output()) == end


@pytest.mark.parametrize("victim", PRISM)
@pytest.mark.parametrize("moment", MOMENTS)
def test_prism_that_dies_before_the_job_runs_is_started_again(
    topic: KafkaTopic, scratch: Path, moment: str, victim: str
) -> None:
    port = free_port()
    run = start(topic, scratch, moment, victim, "SIGKILL", f"--metrics-port={port}")
    assert run.until(lambda: answer(port, "/readyz")[0] == 200), run.output()
    os.kill(run.process.pid, signal.SIGTERM)
    assert run.finish() == 0, run.output()
    assert run.output().splitlines()[0].endswith(RESTARTED)
