"""Pages in a real browser, without a display."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devservers.tools import ROOT, require_program
from tests.end_to_end.replay_fixture import Replay
from tests.tooling.pages.html_page import Page

FLAGS = [
    "--headless",
    "--no-sandbox",  # root cannot have one
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
]

HOSTILE = (
    b'{"event_type":"<script>document.title=1</script>"}\n'
    b'{"event_type":"<img src=x onerror=document.title=2>"}\n'
)


def open_page(path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open a page in Chromium; its standard output is what it made of the page, standard error what it logged."""
    command = [require_program("chromium"), *FLAGS, f"--user-data-dir={path.parent / 'profile'}", *flags]
    return subprocess.run(
        [*command, path.as_uri()], capture_output=True, text=True, timeout=120, check=True, cwd=path.parent
    )


@pytest.mark.long
def test_run_page_in_a_browser_has_the_figures_of_the_run_and_no_error(
    replay: Replay, tmp_path: Path
) -> None:
    require_program("chromium")
    history = tmp_path / "history.ndjson"
    example = (ROOT / "examples/backend_events/history/orders_and_stock.ndjson").read_bytes()
    history.write_bytes(example + HOSTILE)
    page = tmp_path / "page.html"
    replay.run(history, f"--html={page}")
    opened = open_page(page, "--dump-dom")
    assert "CONSOLE" not in opened.stderr
    shown, written = Page(opened.stdout), Page(page.read_text())
    assert shown.figures == written.figures
    assert shown.figures["read"] == f"{replay.report()['read']:,}"
    assert shown.rows == written.rows
    assert "<script>document.title=1</script>" in shown.text
    assert "<img src=x onerror=document.title=2>" in shown.text
    assert not {"script", "img"} & shown.tags.keys()
    for width in (1280, 390):
        open_page(page, f"--window-size={width},2000", f"--screenshot={tmp_path}/{width}.png")
        assert (tmp_path / f"{width}.png").stat().st_size > 10_000
