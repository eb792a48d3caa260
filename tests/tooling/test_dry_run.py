from __future__ import annotations

import json
from pathlib import Path

import pytest
from sluice.cli.main import main


def places(folder: Path) -> list[str]:
    return [
        f"--files={folder}/files",
        f"--warehouse=duckdb:///{folder}/w.duckdb",
        f"--dead-letters={folder}/dead",
    ]


def write_history(path: Path) -> Path:
    event = '{"event_type":"inventory","inventory_id":"5f0c1d9e-0b1f-4c55-8d1e-%012d",'
    event += '"product_id":"5f0c1d9e-0b1f-4c55-8d1e-000000000002",'
    event += '"warehouse_id":"5f0c1d9e-0b1f-4c55-8d1e-000000000003","quantity_change":%d,"reason":"sale",'
    event += '"timestamp":"2025-02-08T13:09:30Z"}\n'
    path.write_text("".join(event % (number, 1 if number % 10 else 101) for number in range(40)))
    return path


def test_dry_run_gives_the_verdict_of_a_run_and_stores_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write_history(tmp_path / "in.ndjson"), tmp_path / "out"
    line = ["run", "jobs/backend_events.yaml", f"--source={source}", "--dry-run", *places(out)]
    assert main([*line, "--limit=20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["read"], found["accepted"], found["rejected"]) == (20, {"inventory": 18}, 2)
    reason = {"records": 2, "expected": "-100 to 100", "got": "101"}
    assert found["reasons"] == {"inventory.quantity_change: range": reason}
    assert found["places"]["files"] == f"{out}/files"
    assert (found["bytes"], found["tables"]["inventory"]) == (source.stat().st_size, "inventory_events")
    assert main(line) == 0
    shown = capsys.readouterr().out
    assert "backend_events: dry run; nothing is stored" in shown
    assert "verdict on 40 records" in shown
    assert "rejected: 4" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["in.ndjson"]


def test_dry_run_of_a_source_that_cannot_be_looked_at_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["run", "jobs/backend_events.yaml", "--source=dead-letters:/dead", "--dry-run", *places(tmp_path)]
    assert main(line) == 2
    assert capsys.readouterr().err == (
        "sluice: --source: expected a source other than dead letters, got dead-letters:/dead; sluice redeliver "
        "--dry-run lists them\n"
    )


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        (
            ["run", "--dry-run", "--json", "--quiet", "--metrics-port=0", "--runner=DirectRunner"],
            "--report --html --quiet --metrics-port --runner",
        ),
        (["run", "--dry-run", "--verbose"], "--report --html --verbose"),
        (["redeliver", "--dry-run", "--json", "--quiet"], "--report --html --json --quiet"),
        (["load", "--backfill=price", "--json", "--verbose"], "--report --html --verbose"),
    ],
)
def test_options_that_a_command_without_a_graph_would_ignore_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], got: str
) -> None:
    files = [f"--report={tmp_path}/new/r.json", f"--html={tmp_path}/new/r.html"]
    flag = arguments[1].partition("=")[0]
    line = [arguments[0], "jobs/backend_events.yaml", *arguments[1:], *files, *places(tmp_path / "out")]
    assert main([*line, f"--source={tmp_path}"]) == 2
    assert capsys.readouterr() == (
        "",
        f"sluice: {flag}: expected no options for a run or for Beam, since it runs no graph, got {got}\n",
    )
    assert list(tmp_path.iterdir()) == []
