"""The page of a run: its figures are those of the report, and whatever comes from data is text."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sluice.dead_letters.envelope import make_dead_letter
from sluice.dead_letters.log import DeadLetterLog
from sluice.elements import DEAD_LETTER, Rejected, Violation
from sluice.errors import REJECT_CODES
from sluice.eventlog.source_manifest import RunOfJob, SourceManifest, make_entries
from sluice.provenance import Origin, Source
from sluice.source_tallies import SourceTally
from sluice.tooling.pages import run_page
from sluice.tooling.pages.run_page import render_run_page

from tests.tooling.pages.html_page import Page

FIGURES = {
    "read": 10,
    "accepted": 7,
    "duplicates": 1,
    "rejected": 2,
    "loaded": 6,
    "load_rejected": 1,
    "segments": 3,
}
NONE = {"backfilled": 0, "repaired": 0, "conflicting": 0, "reconciled": True}
HOSTILE = "<script>a(1)</script><img src=x onerror=a(1)>\"'`{{7*7}}&amp;\u202egnp\u2066\x1b[31m\n"
HOSTILE_SHOWN = HOSTILE.translate({0x202E: r"\u202e", 0x2066: r"\u2066", 0x1B: r"\x1b", 0x0A: r"\n"})


def report(**changes: Any) -> dict[str, Any]:
    return {
        **FIGURES,
        **NONE,
        "job": "shop",
        "run_id": "8c30",
        "started": "2026-11-29T08:00:00Z",
        "seconds": 2.0,
        "bytes": 1234567,
        "records_per_second": 5.0,
        "first_event_time": "2026-11-28T10:00:00Z",
        "last_event_time": "2026-11-28T10:00:59Z",
        "rejections": {"enum": 2},
        "by_type": {"order": {**FIGURES, **NONE}},
        "version": "",
        "contracts": {},
        "reasons": {},
        "unknown_properties": {},
        "unknown_types": {},
        "restarts": 0,
        "reread": 0,
        "lost_at_source": {},
        "dead_letters_rejected": 0,
        "failure": None,
        "warnings": [],
        "timeline": [window(0, order=2), window(1, order=4, cart=1000)],
        "latest_windows": [window(1, order=4, cart=1000)],
        "places": {},
        **changes,
    }


def window(number: int, **events: int) -> dict[str, Any]:
    start, end = (
        f"2026-11-28T10:{second // 60:02}:{second % 60:02}Z" for second in (10 * number, 10 * number + 10)
    )
    return {"start": start, "end": end, "events": events}


def store_dead_letter(folder: Path, record: bytes, *, code: str = "enum", text: str = "x") -> None:
    log = DeadLetterLog.at(str(folder))
    log.open()
    rejected = Rejected(
        record=record,
        origin=Origin(uri=f"in/{text}.json", arrival=60.0, line=3),
        step="decode",
        violations=[Violation(code, text, text, text)],
        event_type=text,
    )
    log.append(DEAD_LETTER, 60, 0, [msgspec.json.encode(make_dead_letter(rejected, "shop", 61.0))])


def test_figures_are_those_of_the_report() -> None:
    page = Page(render_run_page(report(backfilled=5, repaired=1_000)))
    assert page.figures == {name: f"{number:,}" for name, number in FIGURES.items()} | {
        "backfilled": "5",
        "repaired": "1,000",
    }
    assert page.codes == {"enum": "2"}
    assert page.rows["windows"] == [
        ["2026-11-28T10:00:00Z", "0", "2"],
        ["2026-11-28T10:00:10Z", "1,000", "4"],
    ]
    assert page.rows["latest"] == [["2026-11-28T10:00:10Z", "1,000", "4"]]
    assert "Reconciled: read = accepted + duplicates + rejected" in page.text
    assert "Latest windows of 10 s" in page.text


def test_drawings_have_the_figures_as_text_for_who_cannot_see_them() -> None:
    html = render_run_page(report())
    assert (
        'aria-label="10 read: 7 accepted, 1 duplicates, 2 rejected; of the accepted 6 loaded, 1 rejected by the '
        'warehouse"' in html
    )
    assert "<title>2026-11-28 10:00:10 cart: 1,000</title>" in html


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"failure": "all 2 records were rejected"}, "Failed: all 2 records were rejected"),
        ({"reconciled": False}, "Not reconciled: some record is unaccounted for"),
        ({"read": 0}, "No record was read."),
        ({"warnings": ["look here"]}, "look here"),
        (
            {"lost_at_source": {"kafka://orders/3": 120}},
            "kafka://orders/3: 120 records were deleted at the source",
        ),
        ({"rejections": {}}, "None."),
        ({"unknown_types": {'"refund"': 3}}, '"refund"'),
        ({"reasons": {"order.lines[].sku: enum": 3}}, "order.lines[].sku: enum"),
        ({"contracts": {"order": "shop.order@1.2.0"}}, "shop.order@1.2.0"),
        ({"version": "0.1.0"}, "0.1.0"),
        ({"unknown_properties": {"order.colour": 3}}, "sluice tables JOB --apply"),
        (
            {"timeline": [], "latest_windows": []},
            "No events were loaded, or the report is of an earlier version.",
        ),
        ({}, "No samples: this report does not say where the dead letters are"),
    ],
)
def test_page_says_what_somebody_should_know(changes: dict[str, Any], text: str) -> None:
    assert text in Page(render_run_page(report(**changes))).text


def store_run(folder: Path, number: int, *, job: str = "shop", rejected: int = 0) -> None:
    """Append the entries of a run of two files to the manifest of an event log."""
    manifest = SourceManifest.at(str(folder))
    manifest.log.open()
    run = RunOfJob(job, f"run{number}", datetime(2026, 11, number, 8, tzinfo=UTC).timestamp())
    tallies = {
        Source(f"{name}.json"): SourceTally(read=50, accepted=50 - rejected, duplicates=0, rejected=rejected)
        for name in "ab"
    }
    assert len(list(manifest.append(make_entries(run, tallies, {})))) == 1


def test_run_is_compared_with_ten_earlier_ones_of_its_job(tmp_path: Path) -> None:
    for number in range(1, 14):
        store_run(tmp_path, number, rejected=1)
    store_run(tmp_path, 15, job="other")
    store_run(tmp_path, 30)  # after this run
    page = Page(render_run_page(report(places={"files": str(tmp_path)})))
    assert page.rows["runs"][:2] == [
        ["2026-11-29T08:00:00Z (this run)", "–", "10", "7", "1", "2"],
        ["2026-11-13T08:00:00Z", "2", "100", "98", "0", "2"],
    ]
    assert len(page.rows["runs"]) == 11
    assert "rejected: 20.00% of the records read; the median of earlier runs is 2.00%" in page.text
    assert "duplicates: 10.00% of the records read; the median of earlier runs is 0.00%" in page.text


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ("", "this report does not say where the event log is"),
        ("{folder}", "no earlier run of this job has read anything into {folder}"),
        ("ftp://x/y", "expected a local path, file:///path, gs://bucket/prefix or s3://bucket/prefix, got "),
    ],
)
def test_run_without_earlier_ones_says_why(files: str, reason: str, tmp_path: Path) -> None:
    places = {"files": files.format(folder=tmp_path)} if files else {}
    text = Page(render_run_page(report(places=places))).text
    assert f"No comparison: {reason.format(folder=tmp_path)}" in text


def test_events_over_time_are_zoomed_without_a_script() -> None:
    html = render_run_page(report())
    assert html.count('type="radio"') == 3
    assert html.count(" checked>") == 1
    assert html.count('class="tick') == 11


def hostile_report(folder: Path) -> dict[str, Any]:
    counts = {**FIGURES, **NONE}
    return report(
        job=HOSTILE,
        failure=HOSTILE,
        warnings=[HOSTILE],
        by_type={HOSTILE: counts},
        unknown_properties={HOSTILE: 1},
        unknown_types={HOSTILE: 1},
        lost_at_source={HOSTILE: 1},
        timeline=[{**window(0), "events": {HOSTILE: 3}}],
        latest_windows=[{**window(0), "events": {HOSTILE: 3}}],
        places={"job": HOSTILE, "source": HOSTILE, "dead_letters": str(folder)},
    )


def test_hostile_data_is_text(tmp_path: Path) -> None:
    harmless = Page(render_run_page(hostile_report(tmp_path) | {"job": "shop"}))
    store_dead_letter(tmp_path, HOSTILE.encode(), text=HOSTILE)
    hostile = hostile_report(tmp_path)
    hostile["rejections"] = {"enum": 2}
    page = Page(render_run_page(hostile | {"job": "shop"}))
    assert page.tags.keys() <= harmless.tags.keys() | {"pre", "bdi", "div"}
    assert page.attributes.keys() == harmless.attributes.keys()
    assert not {"script", "img", "iframe", "a", "link", "object"} & page.tags.keys()
    assert not set("\u202e\u2066\x1b") & set(page.text)
    # failure, warning, type, window twice, property, type, source, place twice, sample's type, reason and record
    assert page.text.count(HOSTILE_SHOWN) >= 12
    assert Page(render_run_page(hostile)).text.count(HOSTILE_SHOWN) > 0


def test_page_refers_to_nothing_outside(tmp_path: Path) -> None:
    html = render_run_page(report())
    assert not re.search(r"(?i)https?://|//\w|\bsrc=|\bhref=|url\(|@import|<script|\son\w+=", html)
    assert "default-src 'none'" in html


def test_page_of_the_largest_report_is_small(tmp_path: Path) -> None:
    long = "\u0416" * 10_000
    for code in REJECT_CODES:
        for number in range(3):
            store_dead_letter(
                tmp_path, f"{code}{number}{long}".encode(), code=code, text=f"{number}{long}"[:3000]
            )
    events = {f"{number}{long}": 1 for number in range(13)}
    names = {f"{number}{long}": 1 for number in range(21)}
    html = render_run_page(
        report(
            rejections=dict.fromkeys(REJECT_CODES, 9),
            timeline=[{**window(number), "events": events} for number in range(240)],
            latest_windows=[{**window(number), "events": events} for number in range(12)],
            unknown_properties=names,
            unknown_types=names,
            warnings=[long] * 10,
            places={"job": "job.yaml", "dead_letters": str(tmp_path)},
        )
    )
    assert len(html.encode()) < 1_000_000


def test_samples_show_different_types_first(tmp_path: Path) -> None:
    for number in range(4):
        store_dead_letter(tmp_path, f'{{"plan":{number}}}'.encode(), text="order")
    store_dead_letter(tmp_path, b'{"plan":"x"}', text="cart")
    store_dead_letter(tmp_path, b"\xff\xfe", code="not_json", text="other")
    page = Page(
        render_run_page(
            report(rejections={"enum": 5, "not_json": 1, "type": 1}, places={"dead_letters": str(tmp_path)})
        )
    )
    assert "cart: cart: expected cart, got cart" in page.text
    assert page.text.count("order: order: expected order, got order") == 2
    assert "in/order.json, line 3" in page.text
    assert "base64: //4=" in page.text


@pytest.mark.parametrize(
    ("code", "command"),
    [
        (
            "enum",
            "sluice redeliver 'jobs/my shop.yaml' --files=out/files --dead-letters=out/dead --where=code=enum",
        ),
        ("conflict", None),
        ("rejected_by_warehouse", None),
    ],
)
def test_command_that_helps_can_be_copied_into_a_shell(code: str, command: str | None) -> None:
    places = {
        "job": "jobs/my shop.yaml",
        "files": "out/files",
        "warehouse": "postgresql://host/shop",  # the report has no user and no password: the job file has them
        "dead_letters": "out/dead",
    }
    text = Page(render_run_page(report(rejections={code: 2}, places=places))).text
    assert (command in text) if command else ("sluice redeliver" not in text)
    assert "No samples: no dead letters of this job were found in out/dead" in text


def test_dead_letters_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    store_dead_letter(tmp_path, b"{}")
    segment = next(tmp_path.rglob("dead_letter_*.json"))
    segment.write_bytes(b"{broken\n")
    text = Page(render_run_page(report(places={"dead_letters": str(tmp_path)}))).text
    assert "No samples: " in text


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours. Source: WCAG 2.2, relative luminance."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def themes() -> list[dict[str, str]]:
    style = (Path(run_page.__file__).parent / "templates" / "page.css").read_text("utf-8")
    return [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{[^}]+\}", style)]


@pytest.mark.parametrize("theme", range(3))  # light, dark, printed
def test_colours_have_enough_contrast(theme: int) -> None:
    colours = themes()[theme]
    for back in ("back", "panel"):
        for text in ("text", "muted", "good", "bad"):
            assert contrast(colours[text], colours[back]) >= 4.5, (text, back)
    for series in range(8):
        assert contrast(colours[f"s{series}"], colours["back"]) >= 3, series
