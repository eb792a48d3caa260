"""What a competitor's outputs say, read back from its files and tables after its time was taken.

Every peer is a module of its own, run as a process of its own: `python -m benchmarks.peers.NAME run SOURCE
OUT` does the work, `… tally SOURCE OUT` prints the outcome as JSON. An outcome has the figures of
`generate_events.Truth` that the peer's outputs can show; a figure that it lacks is a duty that the peer does
not do. `lines` are lines of files by type, `minutes` the same by `type/YYYYMMDDHHMM`, `rows` rows of tables.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

Outcome = dict[str, object]
TABLES = {"order": "order_events", "inventory": "inventory_events", "user_activity": "user_activity_events"}


def main(run: Callable[[Path, Path], None], tally: Callable[[Path], Mapping[str, object]]) -> None:
    """Do what the command line asks of a peer."""
    verb, source, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if verb == "run":
        run(source, out)
    else:
        print(json.dumps(tally(out)))


def files_outcome(root: Path, name: re.Pattern[str]) -> Outcome:
    """Count lines and bytes of the files under `root` whose path matches `name`, groups `type` and `minute`.

    Whatever is not a digit is taken out of the minute. A type with `_` before it is no type of events.
    """
    lines: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    minutes: Counter[str] = Counter()
    for path in root.rglob("*"):
        match = name.search(path.relative_to(root).as_posix())
        if match is None or match["type"].startswith("_") or not path.is_file():
            continue
        data = path.read_bytes()
        number = data.count(b"\n")
        lines[match["type"]] += number
        sizes[match["type"]] += len(data)
        minutes[f"{match['type']}/{re.sub(r'[^0-9]', '', match['minute'])}"] += number
    return {"lines": dict(lines), "accepted_bytes": dict(sizes), "minutes": dict(minutes)}


def windows_outcome(rows: Iterable[tuple[str, str, int]]) -> Outcome:
    """Put (type, window start in RFC 3339, events) in the shape of the truth's `windows`."""
    windows: dict[str, dict[str, int]] = {}
    for event_type, start, events in rows:
        windows.setdefault(event_type, {})[start] = events
    return {"windows": windows}


def dead_letters_outcome(dead_letters: Iterable[tuple[str, Iterable[str]]]) -> Outcome:
    """Count dead letters, each given as event type and codes of all its violations."""
    rejected: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for event_type, codes in dead_letters:
        rejected[event_type] += 1
        reasons.update(codes)
    return {"rejected": dict(rejected), "reasons": dict(reasons)}
