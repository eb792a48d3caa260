"""Pages in a real browser: they ask for nothing outside, say no error, and have the figures of the JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from sluice.acknowledgements import PendingAcks
from sluice.cli.main import main
from sluice.clock import system_clock
from sluice.config.job import load_job
from sluice.elements import StepCounts
from sluice.run_state import RunState
from sluice.runtime.listen_address import LOOPBACK, ListenAddress
from sluice.runtime.metrics_server import metrics_server
from sluice.tooling.pages.monitor_page import page_number

from devservers import chromium
from devservers.chromium import Tab
from devservers.ports import free_port
from devservers.tools import ROOT, require_program
from tests.end_to_end.replay_fixture import Replay
from tests.tooling.pages.html_page import Page

WIDTHS = (1280, 390)
SCRIPT = "<script>document.title=1</script>"
HOSTILE = "".join(
    json.dumps({"event_type": name}) + "\n"
    for name in (SCRIPT, "<img src=x onerror=document.title=2>", "\u202egnp", "\"'`&amp;", "x" * 10_000)
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    require_program("chromium")
    with chromium.start(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture(autouse=True)
def _nothing_asked_or_said(tab: Tab) -> None:
    tab.requests.clear()
    tab.messages.clear()


def check_widths(tab: Tab, address: str, pictures: Path) -> None:
    """Open a page in both themes and widths; it asks for itself alone, says nothing, and no part is cut off."""
    for width in WIDTHS:
        tab.open(address, width, dark=width != WIDTHS[0])
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tab.screenshot(pictures / f"{width}.png")
        assert (pictures / f"{width}.png").stat().st_size > 10_000
    assert (tab.requests, tab.messages) == ([address] * len(WIDTHS), [])


def tab_to(tab: Tab, selector: str) -> None:
    """Press Tab until the first element of a selector has the focus."""
    for _ in range(100):
        tab.press("Tab")
        if tab.evaluate(f"document.activeElement === document.querySelector({selector!r})"):
            return
    pytest.fail(f"{selector} cannot be reached by keyboard")


def test_run_page_has_the_figures_of_the_run_and_is_zoomed_by_keyboard(
    replay: Replay, tab: Tab, tmp_path: Path
) -> None:
    history, page = tmp_path / "history.ndjson", tmp_path / "page.html"
    example = ROOT / "examples/backend_events/history/orders_and_stock.ndjson"
    history.write_bytes(example.read_bytes() + HOSTILE.encode())
    replay.run(history, f"--html={page}")
    check_widths(tab, page.as_uri(), tmp_path)
    shown, report = Page(tab.html()), replay.report()
    assert {
        name: shown.figures[name] for name in ("read", "accepted", "duplicates", "rejected", "loaded")
    } == {name: f"{report[name]:,}" for name in ("read", "accepted", "duplicates", "rejected", "loaded")}
    assert shown.codes == {code: f"{number:,}" for code, number in report["rejections"].items()}
    assert shown.rows == Page(page.read_text("utf-8")).rows
    assert SCRIPT in shown.text
    assert not {"script", "img"} & shown.tags.keys()
    tab_to(tab, ".zoom input")
    width = (
        "document.querySelector('.canvas').offsetWidth / document.querySelector('.zoom .scroll').clientWidth"
    )
    widths = [tab.evaluate(width)]
    for _ in range(2):
        tab.press("ArrowRight")
        widths.append(tab.evaluate(width))
    assert widths == pytest.approx([1, 4, 16], rel=0.01)
    tab_to(tab, "summary")
    tab.press("Enter")
    assert tab.evaluate("document.querySelector('details').open")


def test_monitor_page_has_the_figures_of_the_json(
    tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DATA", str(tmp_path))
    days = [date(2026, 1, 5) + timedelta(days=number) for number in range(120)]
    sales = {day: 600 if number == 60 else 200 for number, day in enumerate(days) if number != 70}
    lines = "".join(f"{day},{number},{number * 25.5}\n" for day, number in sales.items())
    (tmp_path / "daily_metrics.csv").write_text("day,sales,revenue\n" + lines)
    columns = "raw_rows,rejected_rows,repeated_rows,transformed_rows,raw_revenue,explained_revenue"
    balance = f"day,{columns},transformed_revenue\n2026-02-20,10,1,2,6,70.00,0.00,70.01\n"
    (tmp_path / "reconcile.csv").write_text(balance)
    page = tmp_path / "page.html"
    assert main(["monitor", "monitors/csv_series.yaml", "--json", f"--html={page}"]) == 1
    document = json.loads(capsys.readouterr().out)
    check_widths(tab, page.as_uri(), tmp_path)
    shown = Page(tab.html())
    assert shown.figures["found"] == f"{len(document['findings'])}"
    assert shown.rows["found"] == [
        [
            *(finding[name] for name in ("check", "metric", "day", "kind")),
            *(page_number(finding[name]) for name in ("observed", "expected", "low", "high", "severity")),
        ]
        for finding in document["findings"]
    ]
    assert len(document["findings"]) == 6
    tab_to(tab, "summary")
    tab.press("Enter")
    assert tab.evaluate("document.querySelector('details').open")


def test_live_page_follows_the_run_and_asks_its_own_server_alone(tab: Tab, tmp_path: Path) -> None:
    run, port = RunState(acks=PendingAcks(lambda: 0.0)), free_port()
    run.totals.add(StepCounts({("read", ""): 1000, ("accepted", "order"): 900, ("rejected", SCRIPT): 100}))
    address = f"http://127.0.0.1:{port}/"
    with metrics_server(
        ListenAddress(LOOPBACK, port), run, load_job("jobs/backend_events.yaml"), system_clock
    ):
        tab.open(address)
        assert SCRIPT in Page(tab.html()).text
        run.totals.add(StepCounts({("read", ""): 234}))
        tab.evaluate(
            """new Promise(done => new MutationObserver(
                (_, observer) => document.querySelector(".balance").textContent.includes("1,234")
                    && (observer.disconnect(), done())
            ).observe(document.querySelector("#figures"), {childList: true}))"""
        )
        for width in WIDTHS:
            tab.open(address, width, dark=width != WIDTHS[0])
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
            tab.screenshot(tmp_path / f"{width}.png")
        tab_to(tab, "a[href='/metrics']")
    asked = {request.removeprefix(address) for request in tab.requests}
    assert asked <= {"", "figures"}
    assert tab.messages == []
