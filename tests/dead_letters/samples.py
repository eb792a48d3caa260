"""Rejected clicks, and a log of their dead letters."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sluice.contracts import Contract, Property
from sluice.dead_letters.envelope import make_dead_letter, minute_of
from sluice.dead_letters.log import DeadLetterLog
from sluice.elements import DEAD_LETTER, QUARANTINE, Rejected, Violation
from sluice.provenance import Origin

ARRIVAL = datetime(2025, 2, 8, 13, 9, 30, 123456, tzinfo=UTC).timestamp()
CLICK = Contract(
    event_type="click",
    table="clicks",
    id="click",
    version="1.0.0",
    domain="test",
    description="",
    properties=(
        Property("at", "timestamp", required=True),
        Property("kind", "string", enum=("old", "new")),
        Property("n", "integer"),
    ),
    event_time="at",
    identity="delivery",
)
KAFKA = Origin("kafka://b/t", ARRIVAL, partition=3, offset=41, attributes={"key": "v"})


def click(at: float = ARRIVAL, kind: str = "new") -> bytes:
    return msgspec.json.encode({"at": datetime.fromtimestamp(at, UTC), "kind": kind})


def rejected_click(record: bytes, origin: Origin = KAFKA, code: str = "enum") -> Rejected:
    violation = Violation(code, "kind", "one of old", '"new"')
    return Rejected(record, origin, "decode", [violation], "click", "click@1.0.0")


def store(folder: Path, *rejected: Rejected, started: float | None = None) -> DeadLetterLog:
    """Store the dead letters of a run that began at `started`, or of a live one."""
    log = DeadLetterLog.at(str(folder), redeliveries=True)
    log.open()
    for record in rejected:
        dead_letter = make_dead_letter(record, "job", ARRIVAL + 1, started)
        event_type = DEAD_LETTER if record.quarantine_hash is None else QUARANTINE
        log.append(event_type, minute_of(dead_letter.time), 0, [msgspec.json.encode(dead_letter)])
    return log
