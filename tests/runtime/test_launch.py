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
