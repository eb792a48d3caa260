"""The manifest of a submitted job, with its totals and its log in a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest
from sluice.cli.main import main
from sluice.graph.submission import Submission, write_submission
from sluice.source_tallies import SourceTally

from devservers import s3
from tests.runtime.test_submitted_manifest import BUSY, JOB, STARTED, collect, count, rows, shop

__all__ = ["shop"]


def test_folders_in_a_bucket_are_one_run(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = "s3://shop/temp/r1", "s3://shop/temp/r2"
    with s3.start("shop") as server:
        for name, value in {**server.environment, "AWS_DEFAULT_REGION": "us-east-1"}.items():
            monkeypatch.setenv(name, value)
        (shop / "job.yaml").write_text(JOB.replace("out/files", "s3://shop/files"))
        for url, run_id in ((first, "r1"), (second, "r2")):
            write_submission(url, Submission("shop", run_id, STARTED, live=True, keeps_manifest=True))
        count(first, 0, {BUSY: SourceTally(2, 2, start=0, end=2)})
        collect(first)
        count(second, 1, {BUSY: SourceTally(3, 3, start=2, end=5)})
        for _ in range(2):
            collect(first, second)
            assert [row[3] for row in rows()] == [2, 3]
        assert main(["report", second, "--manifest", "job.yaml"]) == 2
        assert capsys.readouterr().err.startswith(
            f"sluice: {second}: expected the folder of the run r1 first, "
        )
