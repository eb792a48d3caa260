from __future__ import annotations

import io
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TextColumn
from sluice.cli import console
from sluice.cli.output import (
    background_failures_logged,
    logging_to_standard_error,
    print_line,
    printable,
    standard_streams,
)
from sluice.config.job import load_job
from sluice.elements import StepCounts
from sluice.errors import OutputError
from sluice.graph.ledger import make_report
from sluice.graph.progress import Progress
from sluice.run_state import RunState

HOSTILE = "[bold]x[/] :smile: \x1b[31m\x9b2J\u202e\r\n\u2028\ud800"
SHOWN = r"[bold]x[/] :smile: \x1b[31m\x9b2J\u202e\r\n\u2028\ud800"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (HOSTILE, SHOWN),
        ("Grüße, 世界 €", "Grüße, 世界 €"),
        ("a\tb", r"a\tb"),
        ("\U000e0041", r"\U000e0041"),
        ("", ""),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_line_is_printed_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_line(HOSTILE)
    assert capsys.readouterr().out == f"{SHOWN}\n"


def test_log_line_is_printed_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_standard_error():
        logging.getLogger("sluice").warning("about %s", HOSTILE)
    assert capsys.readouterr().err.endswith(f" sluice: about {SHOWN}\n")


def test_tables_show_names_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    report = make_report(StepCounts({}), job=HOSTILE, run_id="x", started=0.0, seconds=1.0)
    report.rejections[HOSTILE] = 1
    report.by_type[HOSTILE] = report
    console.print_report(report)
    out = capsys.readouterr().out
    assert SHOWN in out
    assert not {"\x1b", "\x9b", "\r", "\u202e"} & set(out)


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Have what is shown on standard error go to a terminal that is no real one."""
    screen = io.StringIO()
    monkeypatch.setattr(
        console,
        "Console",
        lambda **_: Console(file=screen, force_terminal=True, width=200, color_system=None),
    )
    yield screen


def test_progress_shows_the_name_of_a_job_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen:
        with console.progress_bar(HOSTILE, 10, Progress(str(tmp_path))):
            pass
        with console.counter(HOSTILE, "records") as show:
            show(1)
        with console.live_status(HOSTILE, RunState(), lambda: 0.0):
            pass
    shown = screen.getvalue()
    assert shown.count(SHOWN) >= 3
    assert not {"\x9b", "\u202e", "\u2028"} & set(shown)
    assert "\x1b[31m" not in shown


def test_each_phase_of_a_run_has_a_line_with_the_time_until_its_end(tmp_path: Path) -> None:
    now = [0.0]
    progress = Progress(str(tmp_path))
    columns = (TextColumn("{task.description}"), console._DoneColumn(), console._RemainingColumn())
    bar = Bar(*columns, console=Console(width=200), get_time=lambda: now[0])
    lines = console._PhaseLines(bar, "sluice shop", 1000, progress)
    seen = []
    for records, rejected, loaded in ((50, 1, 0), (50, 0, 0), (0, 0, 9), (0, 0, 10)):
        if records:
            progress.add(5 * records, records, rejected)
        progress.add_stored(StepCounts({("accepted", "order"): loaded, ("loaded", "order"): loaded}))
        now[0] += 2
        lines.show()
        cells = [[str(column.render(task)) for column in columns] for task in bar.tasks]
        seen.append([" ".join(line).strip() for line in cells])
    read = "sluice shop: reading 1.0/1.0 kB  100 records, 1 rejected"
    assert seen == [
        ["sluice shop: reading 0.2/1.0 kB  50 records, 1 rejected"],
        ["sluice shop: reading 0.5/1.0 kB  100 records, 1 rejected 0:00:04 left of this phase"],
        [read, "sluice shop: storing and loading 9 events"],
        [read, "sluice shop: storing and loading 19 events 0:00:16 left of this phase"],
    ]


def test_verbose_run_prints_lines_also_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = load_job("jobs/backend_events.yaml", {"source": "in"})
    progress = Progress(str(tmp_path))
    with console.progress_lines(job, 500, progress):
        pass
    with console.ConsoleObserver(verbose=True).watch_batch(job, None, None):
        pass
    lines = [re.sub(r"[0-9.]+ s: ", "", line) for line in capsys.readouterr().err.splitlines()]
    assert lines[:5] == [
        "backend_events: contract of inventory: backend-events-inventory@1.0.0",
        "backend_events: contract of order: backend-events-order@1.0.0",
        "backend_events: contract of user_activity: backend-events-user-activity@1.0.0",
        "backend_events: job: jobs/backend_events.yaml",
        "backend_events: source: in",
    ]
    assert lines[8:10] == ["backend_events: reading 500 bytes", "backend_events: all steps have ended"]
    assert lines[-2:] == ["backend_events: reading", "backend_events: all steps have ended"]


def test_no_color_leaves_out_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen = io.StringIO()
    monkeypatch.setattr(
        console, "Console", lambda **_: Console(file=screen, force_terminal=True, color_system="standard")
    )
    report = make_report(StepCounts({}), job="shop", run_id="r", started=0, seconds=1)
    report.failure, report.warnings = "it failed", ["look"]
    console.print_report(report)
    assert "FAILED: it failed" in screen.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", screen.getvalue())


class Broken(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_output_that_fails_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken()
    monkeypatch.setattr("sys.stdout", broken)
    with pytest.raises(OutputError) as raised, standard_streams():
        Console().print("x")
    assert str(raised.value) == "cannot write to standard output: Broken pipe"


def test_exception_of_a_thread_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError(HOSTILE)

    before = threading.excepthook
    with logging_to_standard_error(), background_failures_logged(debug=False):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert " sluice: a thread ended: ValueError: [bold]x[/]" in err
    assert threading.excepthook is before
