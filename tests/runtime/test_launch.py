from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_runs_in_one_process_start_anew_and_leave_it_as_it_was(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.repeated_runs", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        "read 3, accepted 3, duplicates 0",
        f"SourceError: {tmp_path}/cut.json.gz: cannot decompress gzip at byte 4: the file is cut off",
        "read 3, accepted 0, duplicates 3",
        f"SourceError: no file matches '{tmp_path}/missing.json'",
    ]


def test_metrics_of_a_batch_job_are_a_config_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "sluice", "run", "jobs/user_logs.yaml", "--metrics-port=9090",
            f"--files={tmp_path}/files", f"--dead-letters={tmp_path}/dead", f"--warehouse=sqlite:///{tmp_path}/w",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "sluice: --metrics-port: expected a streaming job on this machine, got a batch job; its figures are in the "
        "report, see --report\n",
    )
    assert list(tmp_path.iterdir()) == []
