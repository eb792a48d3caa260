"""What a command prints when it fails, and the history that it reads."""

from __future__ import annotations

from pathlib import Path

from devservers.tools import ROOT
from tests.end_to_end.replay_fixture import Replay

EVENT = (
    '{"event_type":"inventory","inventory_id":"9e107d9d-0000-4000-8000-%012x","quantity_change":1,'
    '"product_id":"9e107d9d-0000-4000-8000-00000000002a","reason":"sale",'
    '"warehouse_id":"9e107d9d-0000-4000-8000-00000000002a","timestamp":"2025-02-08T13:%02d:00Z"}\n'
)


def history(file: Path, events: int = 600, minutes: int = 60) -> Path:
    file.write_text("".join(EVENT % (number, number % minutes) for number in range(events)))
    return file


def failure(replay: Replay, *flags: str, source: object = None, code: int = 1) -> str:
    """Run and return the one line that it fails with, without `sluice: `."""
    done = replay.run(
        ROOT / "examples/backend_events/history/*" if source is None else source, *flags, code=code
    )
    assert done.out == ""
    assert done.err.startswith("sluice: ")
    return done.err.removeprefix("sluice: ").rstrip("\n")
