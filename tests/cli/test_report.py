"""Reports: written by `run --report`, printed by `report`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sluice.elements import StepCounts
from sluice.graph.submission import Submission, write_submission
from sluice.graph.totals import write_totals

from devservers.sluice_command import sluice
from devservers.tools import ROOT
from tests.cli.failures import failure, history
from tests.end_to_end.replay_fixture import Replay, one_line
from tests.tooling.pages.html_page import Page


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ("file/report.json", "Not a directory"),
        ("file/below/report.json", "Not a directory"),
        ("", "Is a directory"),
    ],
)
def test_unwritable_report_is_one_line_before_the_run(
    replay: Replay, tmp_path: Path, report: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    replay.report_file = tmp_path / report
    assert failure(replay, code=2) == f"{tmp_path / report}: cannot write the file: {reason}"
    assert not replay.files.exists()


def test_folder_of_a_report_is_made(replay: Replay, tmp_path: Path) -> None:
    replay.report_file = tmp_path / "new" / "folder" / "report.json"
    replay.run(history(tmp_path / "in"))
    assert replay.report()["reconciled"]


def test_saved_report_is_printed(replay: Replay, tmp_path: Path) -> None:
    done = replay.run(ROOT / "examples/backend_events/history/*")
    assert done.out.splitlines()[-3:] == [
        f"files: {replay.files}",
        f"warehouse: duckdb:///{replay.warehouse}",
        f"dead letters: {replay.dead_letters}",
    ]
    saved = sluice("report", str(replay.report_file))
    assert (saved.code, saved.err) == (0, "")
    assert saved.out.splitlines() == done.out.splitlines()[:-3]
    assert (
        "│ all           │ 4,201 │    3,950 │        150 │      101 │  3,950 │             0 │      120 │"
        in saved.out
    )

    unbalanced = replay.report() | {"reconciled": False}
    (tmp_path / "other.json").write_text(json.dumps(unbalanced))
    assert sluice("report", str(tmp_path / "other.json")).code == 1
    strange = replay.report() | {"rejections": {"code_of_tomorrow": 1}}
    (tmp_path / "other.json").write_text(json.dumps(strange))
    assert sluice("report", str(tmp_path / "other.json")).err == ""


def test_report_is_printed_as_json_and_nothing_else(replay: Replay, tmp_path: Path) -> None:
    source = history(tmp_path / "in")
    done = replay.run(source, "--json")
    assert json.loads(done.out) == replay.report()
    saved = sluice("report", str(replay.report_file), "--json")
    assert (saved.code, saved.out, saved.err) == (0, done.out, "")
    again = replay.run(source, "--json")
    assert (json.loads(again.out)["accepted"], json.loads(again.out)["duplicates"]) == (0, 600)
    loaded = replay.run(source, "--json", command="load")
    assert json.loads(loaded.out)["backfilled"] == 0


def test_report_of_a_run_that_failed_is_printed_as_json(replay: Replay, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"no json \x9b[31m\n")
    done = replay.run(tmp_path / "in", "--json", code=1)
    assert (json.loads(done.out)["rejected"], done.out.isascii()) == (1, True)


def test_quiet_run_prints_nothing_and_fails_with_one_line(replay: Replay, tmp_path: Path) -> None:
    assert replay.run(history(tmp_path / "in"), "--quiet").out == ""
    assert replay.report()["accepted"] == 600
    (tmp_path / "bad").write_bytes(b"{\n")
    done = replay.run(tmp_path / "bad", "--quiet", code=1)
    assert (done.out, done.err.startswith("sluice: ")) == ("", True)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot read the report: No such file or directory"),
        (b"", "expected a run report as --report writes it: Input data was truncated"),
        (b"{}", "expected a run report as --report writes it: Object missing required field `read`"),
        (
            b"\xff",
            "expected a run report as --report writes it: JSON is malformed: invalid character (byte 0)",
        ),
    ],
)
def test_file_that_is_no_report_is_one_line(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "report.json"
    if content is not None:
        file.write_bytes(content)
    assert one_line(sluice("report", str(file)), 2) == f"sluice: {file}: {reason}"


REJECTED = "2 of 4 records were rejected, and max_rejected is 25%"
STORED = (
    "2 events were added to the event log, 2 of them to the warehouse; "
    "the dead letters in gs://b/dead have the reasons"
)


@pytest.mark.parametrize(
    ("limit", "rejected", "live", "judged", "line"),
    [
        (None, 2, False, True, None),
        (None, 4, False, True, "FAILED: all 4 records were rejected: no event was added; "),
        (None, 4, False, False, None),
        ("25%", 1, False, True, None),
        ("25%", 2, False, True, f"FAILED: {REJECTED}: {STORED}"),
        ("25%", 2, True, True, f"warning: {REJECTED}: {STORED}"),
        ("2", 2, False, True, None),
        ("1", 2, False, True, "FAILED: 2 of 4 records were rejected, and max_rejected is 1: "),
    ],
)
def test_report_of_a_submitted_job_judges_its_rejections(
    tmp_path: Path, limit: str | None, rejected: int, live: bool, judged: bool, line: str | None
) -> None:
    accepted = 4 - rejected
    counts = {("read", ""): 4, ("routed", "x"): 4, ("accepted", "x"): accepted, ("loaded", "x"): accepted}
    counts |= {("rejected", "x"): rejected, ("accepted", "dead_letter"): rejected}
    write_submission(str(tmp_path), Submission("shop", "r", 0.0, live, judged, limit, "gs://b/dead"))
    write_totals(StepCounts(counts), str(tmp_path), 0)
    done = sluice("report", str(tmp_path))
    assert (done.code, done.err) == (1 if line and "FAILED" in line else 0, "")
    printed = [text for text in done.out.splitlines() if text.startswith(("FAILED", "warning"))]
    assert [text[: len(line or "")] for text in printed] == ([line] if line else [])


def test_report_of_a_job_that_an_earlier_release_submitted_is_printed(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"job":"shop","run_id":"r","started":0.0}')
    write_totals(StepCounts({("read", ""): 0}), str(tmp_path), 0)
    assert sluice("report", str(tmp_path)).code == 0


def test_page_of_a_run_and_of_its_report_have_the_figures_and_samples_of_the_run(
    replay: Replay, tmp_path: Path
) -> None:
    pages = [tmp_path / "run.html", tmp_path / "new" / "report.html"]
    replay.run(ROOT / "examples/backend_events/history/*", f"--html={pages[0]}")
    assert sluice("report", str(replay.report_file), f"--html={pages[1]}").code == 0
    report = replay.report()
    assert report["places"] == {
        "job": "jobs/backend_events.yaml",
        "source": str(ROOT / "examples/backend_events/history/*"),
        "files": str(replay.files),
        "warehouse": f"duckdb:///{replay.warehouse}",
        "dead_letters": str(replay.dead_letters),
    }
    assert sum(sum(window["events"].values()) for window in report["timeline"]) == report["loaded"] == 3950
    page = Page(pages[0].read_text())
    assert (page.figures["read"], page.figures["rejected"], page.codes["enum"]) == ("4,201", "101", "12")
    assert "user_activity: activity_type: expected one of login, logout" in page.text
    assert f"--dead-letters={replay.dead_letters} --where=code=enum" in page.text
    assert pages[0].read_text() == pages[1].read_text()
    assert len(pages[0].read_bytes()) < 200_000


def test_unwritable_page_is_one_line_before_the_run(replay: Replay, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    page = tmp_path / "file" / "page.html"
    expected = f"sluice: {page}: cannot write the file: Not a directory"
    done = sluice("run", "jobs/backend_events.yaml", f"--files={replay.files}", f"--html={page}")
    assert one_line(done, code=2) == expected
    assert not replay.files.exists()
