"""What is known of a submitted run: read as earlier versions wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sluice.errors import StorageError
from sluice.graph.submission import Submission, read_submission


def test_submission_of_an_earlier_version_is_of_a_bounded_job_that_is_judged(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(b'{"job":"shop","run_id":"r","started":1.5}')
    assert read_submission(str(tmp_path)) == Submission(
        "shop", "r", 1.5, live=False, judged=True, max_rejected=None, dead_letters="", keeps_manifest=False
    )


@pytest.mark.parametrize("content", [b"", b"[]", b'{"job":"shop"}', b'{"job":"\xff"}'])
def test_submission_that_cannot_be_read_is_an_error_with_its_address(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(StorageError) as caught:
        read_submission(str(tmp_path))
    assert str(caught.value).startswith(
        f"{tmp_path}/run.json: expected what is known of a submitted run, got "
    )
