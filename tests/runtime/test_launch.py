from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

from tests.runtime.repeated_runs import EVENT

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


_TWICE = """\
import sys
from sluice.cli.main import main
sys.exit(main(sys.argv[1:]) or main(sys.argv[1:]))
"""


def test_workers_of_every_run_in_a_process_log_as_its_launcher_does(tmp_path: Path) -> None:
    (tmp_path / "in.json.gz").write_bytes(gzip.compress(f"{EVENT % 1}\n".encode()) + b"\n")
    places = ("files", "dead-letters", "warehouse", "source")
    values = (f"{tmp_path}/files", f"{tmp_path}/dead", f"sqlite:///{tmp_path}/w.db", f"{tmp_path}/in.json.gz")
    flags = [f"--{name}={value}" for name, value in zip(places, values, strict=True)]
    done = subprocess.run(
        [sys.executable, "-c", _TWICE, "run", "jobs/backend_events.yaml", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    line = rf"\S+ \S+ sluice: {tmp_path}/in\.json\.gz: .+\n"
    assert re.fullmatch(f"{line}{line}", done.stderr), done.stderr
