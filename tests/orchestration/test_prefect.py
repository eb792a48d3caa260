"""The flow under Prefect itself, with a server that it starts for the run."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

from devservers.tools import ROOT, require_path
from examples.collaboration.pipeline import EXPORTS

FIGURES = {"read": 3398, "accepted": 3302, "repeated": 56, "rejected": 40}

_TWICE = """
import sys
from orchestration.prefect.collaboration import collaboration
from orchestration.prefect.monitor import monitor

for out in sys.argv[2:]:
    collaboration(warehouse=sys.argv[1], out=out)
monitor(warehouse=sys.argv[1], out=sys.argv[2] + "/monitor")
"""


def python(home: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in Prefect's environment."""
    variables = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(ROOT),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command: list[str | Path] = [require_path("prefect/bin/python"), "-c", code, *arguments]
    environment |= variables
    return subprocess.run(
        command, env=environment, stdout=PIPE, stderr=STDOUT, text=True, timeout=800, check=False
    )


@pytest.mark.long
@pytest.mark.timeout(900)
def test_second_run_of_the_flow_changes_nothing_and_its_monitor_can_be_asked(tmp_path: Path) -> None:
    outs = [tmp_path / "first", tmp_path / "second"]
    address = f"sqlite:///{tmp_path}/warehouse.db"
    done = python(tmp_path / "home", _TWICE, address, *map(str, outs))
    assert done.returncode == 0, done.stdout
    first, second = ({path.name: path.read_bytes() for path in out.glob("*.csv")} for out in outs)
    assert first == second
    assert sorted(first) == sorted(f"{name}.csv" for name in EXPORTS)
    reports = [json.loads((out / "report.json").read_text()) for out in outs]
    assert [report.pop("new_events") for report in reports] == [3302, 0]
    assert reports[0] == reports[1]
    assert {name: reports[0][name] for name in FIGURES} == FIGURES
    assert len(re.findall(r"Task run 'check-\w+' - collaboration: log and warehouse agree", done.stdout)) == 2
    page = (outs[0] / "monitor/monitor.html").read_text("utf-8")
    assert "could not be asked" not in page
    assert all(f"<h3><bdi>{metric}</bdi>" in page for metric in ("active_users", "age"))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_flow_whose_address_has_a_password_fails_at_once(tmp_path: Path) -> None:
    code = "from orchestration.prefect.collaboration import collaboration as f; f.fn(warehouse='postgresql://a:b@c/d')"
    done = python(tmp_path, code)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == (
        "ValueError: warehouse: expected an address without password, got one with it; "
        "give it as PGPASSWORD, or in a connection of the scheduler"
    )
