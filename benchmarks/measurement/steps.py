"""Where Sluice's time goes: py-spy samples the real run, with its workers, and each sample belongs to one step.

A sample belongs to the step of the deepest frame that is Sluice's own code; below that, msgspec, pyarrow and
Beam work on its behalf. Threads that wait are left out. Sampling tells shares; what they are shares of is the
CPU time of a run without a profiler.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RATE = 200
"""Samples a second. py-spy stops no process: it reads the memory of running ones."""

START = "start (imports, job, graph)"
OTHER = "Beam between the steps"
STEPS = (
    (r"sluice/sources/|sluice/formats/|sluice/provenance", "read and split"),
    (
        r"sluice/graph/decode|sluice/validation/|sluice/contracts/patterns|sluice/elements",
        "decode, key, explain",
    ),
    (r"sluice/graph/(shuffle|windowing|coders)\.py", "compress and group"),
    (r"sluice/graph/append|sluice/eventlog/|sluice/storage/", "deduplicate and append"),
    (r"sluice/arrow/window_counts", "10-second counts"),
    (r"sluice/arrow/", "JSON to Arrow"),
    (r"sluice/warehouses/|sluice/graph/load", "Parquet and load"),
    (r"sluice/(graph/)?(dead_letters|redelivery)", "dead letters"),
    (r"sluice/graph/(ledger|progress)|sluice/telemetry|sluice/cli/console", "ledger and progress"),
    (r"sluice/(runtime|config|cli|contracts)/|sluice/graph/build|sluice/__main__", START),
)
"""Pattern of a frame -> step; the first that the deepest of Sluice's frames matches."""
_FRAME = re.compile(r"\((?P<file>[^()]*?sluice/[\w/]+\.py):\d+\)")
_STACK = re.compile(r"^(process \d+:.*?) (\d+)$", re.MULTILINE | re.DOTALL)
"""A process is named by its command line, which may have line breaks in it."""
_WORKING = re.compile(r"apache_beam/runners/worker")


@dataclass(frozen=True)
class Profile:
    """CPU microseconds an event: by step, and by the functions of Sluice that take most."""

    events: int
    steps: Mapping[str, float]
    functions: Mapping[str, float]


def profile(py_spy: Path, command: Sequence[str], events: int, cpu: float, folder: Path) -> Profile:
    """Run `command` under py-spy and return where its `cpu` seconds go."""
    folded, log = folder / "profile.folded", folder / "profile.log"
    sampler = [str(py_spy), "record", "--subprocesses", "--nonblocking", "--rate", str(RATE)]
    with log.open("wb") as output:
        done = subprocess.run(
            [*sampler, "--format", "raw", "--output", str(folded), "--", *command],
            stdout=output,
            stderr=output,
            check=False,
            env=dict(os.environ),
        )
    if not folded.exists():
        message = f"expected py-spy to write {folded}, got exit code {done.returncode}; see {log}"
        raise RuntimeError(message)
    return read_profile(folded.read_text(), events, cpu)


def read_profile(folded: str, events: int, cpu: float) -> Profile:
    """Return the profile in what py-spy wrote, a line a stack: `frame;frame;… samples`."""
    steps: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for stack, samples in _STACK.findall(folded):
        _, *frames = stack.split(";")
        if not frames:  # the memory of a running process changed while py-spy read it
            continue
        step, function = _place(frames)
        steps[step] += int(samples)
        functions[function] += int(samples)
    unit = cpu * 1e6 / events / steps.total()
    return Profile(
        events,
        {name: number * unit for name, number in steps.most_common()},
        {name: number * unit for name, number in functions.most_common(25)},
    )


def _place(frames: Sequence[str]) -> tuple[str, str]:
    """Return the step of a stack and the function it is in."""
    if any("<frozen importlib" in frame for frame in frames):
        return START, "import"
    for frame in reversed(frames):
        if _FRAME.search(frame) is None:
            continue
        step = next((name for pattern, name in STEPS if re.search(pattern, frame)), OTHER)
        if step is START and any(_WORKING.search(caller) for caller in frames):
            return OTHER, "apache_beam"
        return step, re.sub(r" \(.*?(sluice/[\w/]+\.py):\d+\)", r" (\1)", frame)
    return (OTHER if any("apache_beam" in frame for frame in frames) else START), "apache_beam"
