"""The command line as a user meets it: one clear line for each mistake, never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.end_to_end.replay_fixture import Replay


@pytest.fixture
def scratch() -> Iterator[Path]:
    with TemporaryDirectory(prefix="replay") as folder:
        yield Path(folder)


@pytest.fixture
def replay(tmp_path: Path, scratch: Path) -> Replay:
    return Replay(tmp_path / "out", scratch)
