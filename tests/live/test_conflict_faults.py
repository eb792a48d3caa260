"""Kills of jobs whose records conflict: of each key one content is stored, and each other one is kept exactly once."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from devservers.sluice_command import ForkedSluiceProcess
from devservers.tools import ROOT
from tests.end_to_end.replay_fixture import Replay, lines_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")

KEYS = 60
CONTENTS = 3
COPIES = 2
RECORD = (
    '{"event_type":"inventory","inventory_id":"9e107d9d-0000-4000-8000-%012x","quantity_change":%d,'
    '"product_id":"9e107d9d-0000-4000-8000-00000000002a","reason":"sale",'
    '"warehouse_id":"9e107d9d-0000-4000-8000-00000000002a","timestamp":"2025-02-08T13:%02d:00Z"}\n'
)
KILLS = [
    ("work", "worker"),
    ("appended", "worker"),
    ("loaded", "worker"),
    ("dead_letters", "worker"),
    ("done", "worker"),
    ("report", "launcher"),
]


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[Replay]:
    with TemporaryDirectory(prefix="conflicts") as scratch:
        yield Replay(tmp_path / "out", Path(scratch))


@pytest.fixture
def contract(tmp_path: Path) -> str:
    """The contract of inventory movements, with a key."""
    folder = tmp_path / "schemas" / "backend_events"
    folder.mkdir(parents=True)
    text = (ROOT / "schemas/backend_events/inventory.odcs.yaml").read_text()
    text = text.replace("{property: identity, value: content}", "{property: identity, value: properties}")
    text, keys = re.subn(r"(- name: inventory_id\n( +))", r"\1unique: true\n\2", text)
    assert keys == 1
    (folder / "inventory.odcs.yaml").write_text(text)
    return f"--contracts={folder}"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Write every content of every key several times, in files that do not begin with the same one."""
    folder = tmp_path / "history"
    folder.mkdir()
    for file in range(4):
        records = [
            RECORD % (key, 1 + (content + file) % CONTENTS, key % 6)
            for _ in range(COPIES)
            for content in range(CONTENTS)
            for key in range(file, KEYS, 4)
        ]
        (folder / f"{file}.json").write_text("".join(records))
    return folder


def kill(replay: Replay, history: Path, contract: str, moment: str, victim: str) -> int:
    """Run until a process is killed, and return the exit code; 0: the run had nothing left to do then."""
    program = ["tests.runtime.killed_run", moment, victim, "SIGKILL"]
    replay.folder.mkdir(parents=True, exist_ok=True)
    run = ForkedSluiceProcess(
        [*program, *replay.arguments(history, contract)],
        {**os.environ, "TMPDIR": str(replay.scratch)},
        replay.folder / "printed.txt",
    )
    code = run.finish()
    assert "Traceback" not in run.output()
    return code


def key_and_content(line: bytes | str) -> tuple[str, int]:
    record = json.loads(line)
    return record["inventory_id"], record["quantity_change"]


def assert_kept_once(replay: Replay) -> None:
    """Compare log, dead letters and tables with all contents that were sent."""
    stored = Counter(key_and_content(line) for data in replay.log().values() for line in lines_of(data))
    kept = Counter(key_and_content(letter["payload"]) for letter in replay.stored_dead_letters())
    assert {letter["code"] for letter in replay.stored_dead_letters()} == {"conflict"}
    assert sorted(key for key, _ in stored) == [f"9e107d9d-0000-4000-8000-{key:012x}" for key in range(KEYS)]
    assert sorted(stored + kept) == sorted((key, content) for key, _ in stored for content in (1, 2, 3))
    assert set((stored + kept).values()) == {1}
    rows = replay.sql("select cast(inventory_id as varchar), quantity_change from inventory_events")
    assert Counter(rows) == stored
    assert (
        Counter(key_and_content(text) for (text,) in replay.sql("select payload from dead_letters")) == kept
    )


def completes(replay: Replay, history: Path, contract: str) -> None:
    replay.run(history, contract)
    report = replay.report()
    assert report["reconciled"]
    assert (report["read"], report["rejected"]) == (KEYS * CONTENTS * COPIES, 0)
    assert report["conflicting"] == KEYS * (CONTENTS - 1) * COPIES
    assert report["accepted"] + report["duplicates"] == report["read"]
    assert_kept_once(replay)


@pytest.mark.parametrize(("moment", "victim"), KILLS)
def test_conflicts_are_counted_and_kept_once_through_a_kill(
    replay: Replay, history: Path, contract: str, moment: str, victim: str
) -> None:
    assert kill(replay, history, contract, moment, victim) != 0
    completes(replay, history, contract)


@pytest.mark.long
def test_conflicts_are_counted_and_kept_once_through_kills_at_all_moments(
    replay: Replay, history: Path, contract: str
) -> None:
    for moment, victim in KILLS:
        assert kill(replay, history, contract, moment, victim) != 0
    completes(replay, history, contract)
