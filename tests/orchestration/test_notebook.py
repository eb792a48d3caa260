"""The notebook of the collaboration platform, executed on what `scripts/collaboration` wrote."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from devservers.tools import ROOT, require_path
from examples.collaboration.pipeline import EXPORTS, main

NOTEBOOK = ROOT / "examples/collaboration/metrics.ipynb"
METRICS = {
    "dau": "daily_active_users",
    "duration": "average_session_duration",
    "edited": "most_edited_documents",
    "shared": "shared_documents",
    "anomalies": "anomalies",
}
"""Cell -> the metric that it shows."""


def outputs(folder: Path, executed: Path) -> dict[str, list[dict[str, Any]]]:
    """Execute the notebook on the CSV files in a folder; return cell -> outputs."""
    command: list[str | Path] = [require_path("notebook/bin/jupyter"), "nbconvert", "--to=notebook"]
    command += ["--execute", "--ExecutePreprocessor.startup_timeout=300", f"--output={executed}", NOTEBOOK]
    done = subprocess.run(
        command,
        env={**os.environ, "SLUICE_COLLABORATION_OUT": str(folder), "IPYTHONDIR": str(executed.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads(executed.read_text("utf-8"))["cells"]
    return {cell["id"]: cell["outputs"] for cell in cells if cell["cell_type"] == "code"}


def images(shown: list[dict[str, Any]]) -> int:
    return sum("image/png" in output.get("data", {}) for output in shown)


def tables(shown: list[dict[str, Any]]) -> str:
    return "".join("".join(output.get("data", {}).get("text/html", "")) for output in shown)


def test_notebook_is_stored_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * (1 + len(METRICS))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_each_metric_is_shown_as_a_table_and_a_plot(tmp_path: Path) -> None:
    require_path("notebook/bin/jupyter")
    out = tmp_path / "out"
    source = ROOT / "examples/collaboration/events"
    assert main([f"--source={source}", f"--warehouse=sqlite:///{tmp_path}/w.db", f"--out={out}"]) == 0
    shown = outputs(out, tmp_path / "executed.ipynb")
    assert {cell: images(shown[cell]) for cell in METRICS} == dict.fromkeys(METRICS, 1)
    assert [output for cell in shown.values() for output in cell if output.get("name") == "stderr"] == []
    for cell, name in METRICS.items():
        with (out / f"{name}.csv").open(newline="") as file:
            header, *_ = rows = list(csv.reader(file))
        assert all(f"<th>{column}</th>" in tables(shown[cell]) for column in header)
        assert tables(shown[cell]).count("<tr") == 1 + min(len(rows) - 1, 30)
    assert "<td>u008</td>\n      <td>240</td>\n      <td>2</td>" in tables(shown["anomalies"])


@pytest.mark.long
@pytest.mark.timeout(900)
def test_notebook_shows_tables_without_rows_and_ids_of_any_kind(tmp_path: Path) -> None:
    headers = {
        "daily_active_users": "activity_date,active_users",
        "average_session_duration": "user_id,sessions,average_seconds",
        "most_edited_documents": "position,document_id,title,edit_count\n1,007,NA,2\n2,$x$ $\\y$,,1",
        "shared_documents": "user_id,shared_documents",
        "anomalies": "kind,activity_date,user_id,observed,usual,explanation",
    }
    assert headers.keys() < EXPORTS.keys()
    for name, text in headers.items():
        (tmp_path / f"{name}.csv").write_text(f"{text}\n")
    shown = outputs(tmp_path, tmp_path / "executed.ipynb")
    assert {cell: images(shown[cell]) for cell in METRICS} == dict.fromkeys(METRICS, 1)
    assert "<td>007</td>\n      <td>NA</td>" in tables(shown["edited"])
