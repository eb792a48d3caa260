"""`sluice dead-letters JOB`: groups by reason and status, one whole, and the commands that redeliver."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from sluice.cli.main import main
from sluice.dead_letters.envelope import DeadLetter, make_dead_letter, make_redelivery_entry, minute_of
from sluice.elements import REDELIVERY, Rejected, Violation
from sluice.provenance import Origin, RedeliveryOrigin

from tests.cli.test_source_states import CONTRACT, JOB
from tests.dead_letters.samples import ARRIVAL, click, rejected_click, store


def letter(rejected: Rejected) -> DeadLetter:
    return make_dead_letter(rejected, "job", ARRIVAL + 1)


UNKNOWN = replace(
    rejected_click(b"nope", Origin("in/a.json", ARRIVAL, offset=7)),
    violations=[Violation("not_json", "", "one JSON value in UTF-8", "invalid character (byte 0)")],
    event_type=None,
    contract=None,
)
CLICKS = [rejected_click(click(), Origin("in/a.json", ARRIVAL, offset=offset)) for offset in (0, 1, 2)]


@pytest.fixture(autouse=True)
def _job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three equal clicks, of which one was accepted since and one rejected again, and a record that is no JSON."""
    monkeypatch.chdir(tmp_path)
    Path("my job.yaml").write_text(JOB.replace("${DEAD}", "dead"))
    Path("sale.odcs.yaml").write_text(CONTRACT)
    log = store(tmp_path / "dead", *CLICKS, UNKNOWN)
    accepted, again, _ = map(letter, CLICKS)
    entries = [
        make_redelivery_entry(RedeliveryOrigin(accepted.letter_id, 2, accepted.time), "job", ARRIVAL + 2),
        make_redelivery_entry(RedeliveryOrigin(again.letter_id, 2, again.time), "job", ARRIVAL + 2, again),
        make_redelivery_entry(RedeliveryOrigin(again.letter_id, 3, again.time), "job", ARRIVAL + 3, again),
    ]
    log.append(REDELIVERY, minute_of(accepted.time), 0, [msgspec.json.encode(entry) for entry in entries])


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["dead-letters", "my job.yaml", *arguments]) == 0
    return capsys.readouterr().out


def test_dead_letters_are_grouped_by_reason_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    first, *table = run(capsys, "--dead-letters=dead").splitlines()
    assert first == "shop: 4 dead letters for 2 reasons"
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table if line.startswith("│")]
    assert [row[:6] for row in rows] == [
        ["enum", "click", "kind: one of old", "1", "1", "1"],
        ["not_json", "unknown", "one JSON value in UTF-8", "1", "0", "0"],
    ]
    assert [line for line in table if line.startswith("sluice")] == [
        "sluice redeliver 'my job.yaml' --dead-letters=dead --where code=enum,event_type=click",
        "sluice redeliver 'my job.yaml' --dead-letters=dead --where code=not_json",
    ]


def test_group_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    (group,) = json.loads(run(capsys, "--json", "--where", "code=enum"))
    assert group.pop("example") in [letter(click).letter_id for click in CLICKS]
    assert group == {
        "code": "enum",
        "event_type": "click",
        "path": "kind",
        "expected": "one of old",
        "open": 1,
        "redelivered": 1,
        "resolved": 1,
        "attempts": 3,
        "first_rejected_at": "2025-02-08T13:09:31.123456Z",
        "last_rejected_at": "2025-02-08T13:09:31.123456Z",
    }


@pytest.mark.parametrize(("status", "number"), [("open", 2), ("redelivered", 1), ("resolved", 1)])
def test_status_selects(capsys: pytest.CaptureFixture[str], status: str, number: int) -> None:
    out = run(capsys, "--status", status)
    assert out.startswith(f"shop: {number} dead letters for ")
    assert ("sluice redeliver" in out) is (status != "resolved")


def test_one_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    again = letter(CLICKS[1])
    Path("in").mkdir()
    Path("in/a.json").write_bytes(b"\n{}\n")
    shown = json.loads(run(capsys, "--show", again.letter_id[:12]))
    assert (shown["status"], shown["attempts"], shown["line"]) == ("redelivered", 3, 2)
    assert msgspec.convert(shown["dead_letter"], DeadLetter) == again
    assert [entry["attempt"] for entry in shown["redeliveries"]] == [2, 3]


@pytest.mark.parametrize(("part", "got"), [("zzz", "none"), ("", "4")])
def test_identifier_of_none_or_several_is_an_error(
    capsys: pytest.CaptureFixture[str], part: str, got: str
) -> None:
    assert main(["dead-letters", "my job.yaml", f"--show={part}"]) == 1
    assert capsys.readouterr().err == (
        f"sluice: dead: expected one dead letter whose letter_id begins with {part!r}, got {got}\n"
    )


def test_job_without_dead_letters(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["dead-letters", "my job.yaml", "--dead-letters=none"]) == 1
    assert capsys.readouterr().err == "sluice: none: expected the dead letters of a job, got no _log.json\n"
