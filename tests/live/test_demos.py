"""The demonstrations of scripts/demo, as a user starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devservers.tools import ROOT, require_path


@pytest.mark.long
@pytest.mark.timeout(900)
def test_commerce_demo_shows_the_reports(tmp_path: Path) -> None:
    for name in ("jobs", "schemas", "examples", "dbt"):
        (tmp_path / name).symlink_to(ROOT / name)
    require_path("dbt/bin/dbt")
    done = subprocess.run(
        [sys.executable, "-m", "examples.commerce_demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for figures in (
        "read 93 = accepted 85 + duplicates 2 + rejected 6",
        "accepted 74 + duplicates 1 + rejected 6",
    ):
        assert figures in done.stdout
    shown = [[cell.strip() for cell in line.split("\u2502")[1:-1]] for line in done.stdout.splitlines()]
    assert ["lighting", "1", "P101", "Floor lamp", "26", "2314.00"] in shown
    assert ["1", "U2", "10", "view", "8", "1407.80"] in shown
    assert ["2025-01-12", "P101", "lighting"] == next(row for row in shown if "2025-01-12" in row)[:3]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_collaboration_demo_shows_the_anomalies(tmp_path: Path) -> None:
    require_path("dbt/bin/dbt")
    done = subprocess.run(
        [sys.executable, "-m", "examples.collaboration.demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "read 3398 = accepted 3302 + repeated 56 + rejected 40; 3302 new events" in done.stdout
    assert "read 3398 = accepted 3302 + repeated 56 + rejected 40; 0 new events" in done.stdout
    assert "User u008 made 240 edits on 2026-03-25" in done.stdout
