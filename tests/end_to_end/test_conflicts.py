"""Histories of events with keys, in which some come again with other content, through the real command."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from devservers.tools import ROOT
from tests.end_to_end.expected_history import KEYS, RULES, Truth
from tests.end_to_end.random_history import Shop, write_history
from tests.end_to_end.replay_fixture import Replay
from tests.end_to_end.test_replay import matches

SEEDS = range(1, 1 + int(os.environ.get("SLUICE_HISTORIES", "2")))


@pytest.fixture
def contracts(tmp_path: Path) -> str:
    """The contracts of the backend events, with keys."""
    folder = tmp_path / "schemas" / "backend_events"
    folder.mkdir(parents=True)
    for kind, key in KEYS.items():
        text = (ROOT / "schemas" / "backend_events" / f"{kind}.odcs.yaml").read_text()
        text = text.replace("{property: identity, value: content}", "{property: identity, value: properties}")
        text, keys = re.subn(rf"(- name: {key}\n( +))", r"\1unique: true\n\2", text)
        assert keys == 1
        (folder / f"{kind}.odcs.yaml").write_text(text)
    return f"--contracts={folder}"


NAMES = ("read", "accepted", "duplicates", "conflicting", "rejected")


def figures(replay: Replay) -> tuple[int, ...]:
    made = replay.report()
    assert made["reconciled"], made
    return tuple(made[name] for name in NAMES)


@pytest.mark.parametrize("seed", SEEDS)
def test_history_with_conflicts_gives_the_computed_rows_and_dead_letters(
    replay: Replay, tmp_path: Path, contracts: str, seed: int
) -> None:
    truth, sent = write_history(tmp_path / "one", Shop(seed), 2000, truth=Truth(keyed=True))
    assert truth.figure("conflicting") > 50
    replay.run(tmp_path / "one", contracts)
    assert replay.log() == truth.log()
    matches(replay, truth)
    assert figures(replay) == tuple(map(truth.figure, NAMES))
    assert {kind: row["conflicting"] for kind, row in replay.report()["by_type"].items()} == {
        kind: truth.figures["conflicting", kind] for kind in (*RULES, "unknown")
    }
    before = replay.state()
    replay.run(tmp_path / "one", contracts)  # nothing changes, and the figures say why
    assert replay.state() == before
    read, accepted, duplicates, conflicting, rejected = map(truth.figure, NAMES)
    assert figures(replay) == (read, 0, accepted + duplicates, conflicting, rejected)

    write_history(tmp_path / "two", Shop(seed + 1000), 1000, old=sent, truth=truth)
    replay.run(tmp_path / "two", contracts)
    events = {name: Counter(lines) for name, lines in truth.lines.items()}
    assert replay.events() == events
    matches(replay, truth)
    assert replay.report()["reconciled"]
    assert replay.report()["conflicting"] == truth.figure("conflicting") - conflicting


def test_shards_change_no_row_and_no_conflict(replay: Replay, tmp_path: Path, contracts: str) -> None:
    truth, _ = write_history(tmp_path / "in", Shop(99), 2000, truth=Truth(keyed=True))
    replay.run(tmp_path / "in", contracts, "--windows.shards=3")
    matches(replay, truth)
    assert figures(replay) == tuple(map(truth.figure, NAMES))
