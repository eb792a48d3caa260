"""What tests of the graph share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.graph.graph_fixture import GraphRun


@pytest.fixture
def graph_run(tmp_path: Path) -> GraphRun:
    """The graph over bounded input, in this process."""
    return GraphRun(tmp_path, live=False)
