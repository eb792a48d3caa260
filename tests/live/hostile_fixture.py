"""A job with an event type for each deduplication key, and records that are broken in every way."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from devservers.live_job import EmbeddedWarehouse, wait_until
from devservers.sluice_command import ForkedSluiceProcess
from devservers.sluice_process import SLUICE

IDENTITIES = ("content", "properties", "delivery")

_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {identity}
version: 1.0.0
status: active
domain: hostile
name: {identity}
schema:
  - name: by_{identity}
    physicalName: by_{identity}
    logicalType: object
    description: Told apart by {identity}.
    customProperties:
      - {{property: eventTime, value: at}}
      - {{property: identity, value: {identity}}}
    properties:
      - name: kind
        logicalType: string
        required: true
        description: Event type.
        enum: [{{value: by_{identity}}}]
      - {{name: at, logicalType: timestamp, required: true, description: When.}}
      - {{name: n, logicalType: integer, required: true, unique: {unique}, description: Which.}}
"""

_JOB = """\
name: hostile
contracts: {folder}/contracts
route_by: kind
source: unused
files: {folder}/files
dead_letters: {folder}/dead
warehouse: duckdb:///{folder}/w.duckdb
windows: {{counts: 10s, flush: 2s, allowed_lateness: 7d, max_skew: 10m, shards: 1}}
"""


def write_job(folder: Path) -> Path:
    """Write a job that leaves everything in `folder`; return its file."""
    contracts = folder / "contracts"
    contracts.mkdir(parents=True)
    for identity in IDENTITIES:
        text = _CONTRACT.format(identity=identity, unique="true" if identity == "properties" else "false")
        (contracts / f"by_{identity}.odcs.yaml").write_text(text)
    job = folder / "job.yaml"
    job.write_text(_JOB.format(folder=folder))
    return job


class Payloads(NamedTuple):
    """Records to send with each hostile key, header and time: some are events, the others become dead letters."""

    events: list[bytes]
    rejected: list[bytes]


def payloads(start: int) -> Payloads:
    """Return records of every event type; the numbers of the events begin at `start`."""
    at = datetime.now(UTC).isoformat()
    made = [{"kind": f"by_{identity}", "at": at, "n": start} for identity in IDENTITIES]
    events = [json.dumps(event).encode() for event in made]
    events += [json.dumps({**event, "n": start + 1, "_id": 7}).encode() for event in made]
    unknown = json.dumps({"kind": "\0", "n": start}).encode()
    # What has no event type of its own is made unlike the others, so that no two dead letters are the same.
    raw = [b"", b"\0%d" % start, b"\xff%d" % start, b"{%d" % start, b'"\\ud800%d"' % start, unknown]
    return Payloads(events, [*raw, *(json.dumps({**event, "n": None}).encode() for event in made)])


class Sent(NamedTuple):
    """What a job must store of what was sent to it."""

    events: int
    """Of each event type."""
    rejected: int


def run_and_check(folder: Path, source: str, sent: Sent, environment: dict[str, str]) -> dict[str, Any]:
    """Run the job until it has stored what was sent, drain it, and check every figure; return its report."""
    job, report = write_job(folder), folder / "report.json"
    command = [SLUICE, "run", str(job), f"--source={source}", "--report", str(report)]
    run = ForkedSluiceProcess(command, {**os.environ, **environment}, folder / "run.log")
    events = sent.events * len(IDENTITIES)
    try:
        wait_until(
            lambda: _lines(folder / "files") == events and _lines(folder / "dead") == sent.rejected, run
        )
        run.process.terminate()
        assert run.finish() == 0, run.output()
    finally:
        run.kill("launcher")
    figures: dict[str, Any] = json.loads(report.read_bytes())
    assert (figures["reconciled"], figures["duplicates"], figures["load_rejected"]) == (True, 0, 0), figures
    assert (figures["accepted"], figures["rejected"]) == (events, sent.rejected), figures
    query = EmbeddedWarehouse(folder / "w.duckdb").query
    for identity in IDENTITIES:
        rows = query(f"select count(*), count(distinct _event_id) from by_{identity}")
        assert rows == [(sent.events, sent.events)], identity
    letters = query("select count(*), count(distinct letter_id) from dead_letters")
    assert letters == [(sent.rejected, sent.rejected)]
    return figures


def _lines(root: Path) -> int:
    return sum(
        path.read_bytes().count(b"\n")
        for path in root.rglob("*.json")
        if path.name != "_log.json" and not path.name.startswith(".")
    )
