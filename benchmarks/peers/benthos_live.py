"""Benthos, from which Redpanda Connect and Bento come: one pipeline, described in benthos/drain.yaml."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from benchmarks.measurement.outcome import Outcome, dead_letters_outcome, files_outcome, windows_outcome

ROOT = Path(__file__).resolve().parent.parent.parent
MODULE = Path(__file__).resolve().parent / "benthos"
PROGRAM = ROOT / ".tools" / "bench-benthos" / "benthos"
_SCHEMAS = ROOT / "schemas" / "backend_events" / "json_schema"
_LOOK_SECONDS = 0.1


def install() -> None:
    """Build the program; Go does nothing if it is there from the same module."""
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    build = ["go", "build", "-ldflags", "-s -w", "-o", str(PROGRAM), "."]
    subprocess.run(build, cwd=MODULE, check=True)


def run(broker: str, topic: str, records: int, flush: float, out: Path) -> None:
    """Drain a topic: end when the offsets of all its records are committed, which they are when they are written."""
    out.mkdir(parents=True)
    group = f"benthos-{uuid.uuid4().hex}"
    variables = {
        "BROKER": broker, "TOPIC": topic, "GROUP": group, "FLUSH": f"{flush:g}s", "OUT": str(out),
        "SCHEMAS": str(_write_schemas(out / "schemas")),
    }  # fmt: skip
    process = subprocess.Popen(
        [PROGRAM, "-c", MODULE / "drain.yaml"], env={**os.environ, **variables}, cwd=out
    )
    try:
        _await_commits(
            process, Consumer({"bootstrap.servers": broker, "group.id": group}), topic, records, out
        )
        process.terminate()
        process.wait()
    finally:
        process.kill()


def _await_commits(
    process: subprocess.Popen[bytes], consumer: Consumer, topic: str, records: int, out: Path
) -> None:
    partitions = [
        TopicPartition(topic, number) for number in consumer.list_topics(topic).topics[topic].partitions
    ]
    first = out / "first"
    while sum(max(partition.offset, 0) for partition in consumer.committed(partitions)) < records:
        if process.poll() is not None:
            message = (
                f"expected {PROGRAM.name} to run until all is written, got exit code {process.returncode}"
            )
            raise RuntimeError(message)
        # A dead letter is written soon after the first record has come.
        if not first.exists() and (out / "dead_letters.json").exists():
            first.write_text(str(time.time()))
        time.sleep(_LOOK_SECONDS)
    consumer.close()


def _write_schemas(folder: Path) -> Path:
    """Write the schemas without the name of their draft, which Benthos does not know; it checks their keywords."""
    folder.mkdir()
    for path in _SCHEMAS.glob("*.schema.json"):
        schema = json.loads(path.read_text())
        del schema["$schema"]
        (folder / path.name).write_text(json.dumps(schema))
    return folder


def tally(out: Path) -> Outcome:
    """Read the outputs back."""
    counts: Counter[tuple[str, int]] = Counter()
    for line in (out / "counts.json").read_text().splitlines():
        count = json.loads(line)
        counts[count["event_type"], int(count["window"])] += count["events"]
    dead_letters = [json.loads(line) for line in (out / "dead_letters.json").read_text().splitlines()]
    rejected = dead_letters_outcome((dead_letter["event_type"], ()) for dead_letter in dead_letters)
    return {
        **files_outcome(out / "files", re.compile(r"(?P<type>\w+)/(?P<minute>[0-9/]+)/events.json")),
        **windows_outcome(
            (event_type, f"{datetime.fromtimestamp(start, UTC):%Y-%m-%dT%H:%M:%SZ}", events)
            for (event_type, start), events in counts.items()
        ),
        "rejected": rejected["rejected"],
    }
