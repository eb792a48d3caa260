"""`sluice check`."""

from __future__ import annotations

from pathlib import Path

from devservers.sluice_command import sluice
from tests.end_to_end.replay_fixture import JOB, one_line


def test_problems_are_printed(tmp_path: Path) -> None:
    assert sluice("check") == (0, "schemas, jobs, monitors: no problems found\n", "")
    assert sluice("check", JOB) == (0, f"{JOB}: no problems found\n", "")
    (tmp_path / "job.yaml").write_text("sorce: x\n")
    done = sluice("check", str(tmp_path / "job.yaml"))
    assert (done.code, done.err) == (1, "")
    assert done.out == f"{tmp_path / 'job.yaml'}: sorce: unknown key; did you mean source?\n"
    assert one_line(sluice("check", "nowhere"), 2) == (
        "sluice: nowhere: expected a contract, a job file or a folder of them, got nothing there"
    )
    assert one_line(sluice("check", "--against", "no-such-revision"), 2) == (
        "sluice: --against no-such-revision: expected a folder or a git revision; git rev-parse: no such revision"
    )
