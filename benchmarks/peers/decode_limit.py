"""The limit: nothing but decoding every line with the contracts' compiled decoder, on two processes.

Each process takes one half of the file, splits it into lines and decodes each. No output, no identities, no
reasons: what it takes to say yes or no is the least that anything in Python can need.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from sluice.contracts import load_contracts
from sluice.validation.decoder import EventDecoder, compile_decoder

from benchmarks.measurement.outcome import Outcome, main

PROCESSES = 2
BLOCK = 1 << 20
"""Bytes read at a time, so that memory is flat and a block's events stay near the processor."""


def decode_part(source: Path, start: int, end: int) -> tuple[int, int]:
    """Decode the lines that begin in bytes `start` to `end` of `source`; return (accepted, rejected)."""
    decoder = compile_decoder(load_contracts("schemas/backend_events"), "event_type")
    accepted = rejected = 0
    with source.open("rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        while file.tell() < end:
            data = file.read(min(BLOCK, end - file.tell())) + file.readline()
            lines = data.split(b"\n")
            if not lines[-1]:
                lines.pop()
            plain = count_plain(decoder, lines)
            accepted += plain
            rejected += len(lines) - plain
    return accepted, rejected


def count_plain(decoder: EventDecoder, lines: Iterable[bytes]) -> int:
    """Return how many lines are events without doubt."""
    events: dict[type, list[Any]] = {struct: [] for struct in decoder.contract_of}
    for line in lines:
        try:
            event = decoder.decode(line)
        except (msgspec.ValidationError, msgspec.DecodeError):
            continue
        events[type(event)].append(event)
    return sum(len(batch) - len(decoder.suspects[struct](batch)) for struct, batch in events.items())


def run(source: Path, out: Path) -> None:
    """Decode both halves at the same time."""
    out.mkdir(parents=True)
    size = source.stat().st_size
    ends = [size * part // PROCESSES for part in range(PROCESSES + 1)]
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        parts = pool.starmap(decode_part, zip([source] * PROCESSES, ends, ends[1:], strict=False))
    (out / "outcome.json").write_text(json.dumps({"read": sum(map(sum, parts))}))


def tally(out: Path) -> Outcome:
    """Return how many lines were decoded."""
    outcome: Outcome = json.loads((out / "outcome.json").read_text())
    return outcome


if __name__ == "__main__":
    main(run, tally)
