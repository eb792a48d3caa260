"""The numbers of replays as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measurement.measure import Measured
from benchmarks.measurement.steps import Profile
from benchmarks.report.page import environment, markdown, met

TARGETS = (
    ("duckdb_sql", 1_000_000, 1.0),
    ("duckdb_sql", 10_000_000, 1.5),
    ("textbook_beam", 1_000_000, 12.0),
    ("pyspark", 1_000_000, 8.0),
    ("dlt", 1_000_000, 50.0),
    ("decode_limit", 1_000_000, 0.5),
    ("decode_limit", 10_000_000, 0.5),
)
"""Competitor, events, and how many times as fast as it Sluice is to be on two cores."""
FLAT_MEMORY = 1.25
"""Memory at the largest history over that at the smallest, at most, to be called flat."""
DUTIES = {
    "rows": "tables",
    "lines": "files",
    "windows": "counts",
    "rejected": "dead letters",
    "reasons": "all reasons",
    "duplicates": "repeats",
}


@dataclass(frozen=True)
class Peer:
    """A competitor: how it is started, what it does not do, and how many events it is given at most."""

    title: str
    lacks: str
    command: Callable[[Path, Path], list[str]]
    most: int | None = None


@dataclass
class Result:
    """What the runs of one competitor over one history gave."""

    runs: list[Measured] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    """Figures that its outputs could show, all of them right unless they are in `wrong`."""

    @property
    def median(self) -> Measured:
        """The run in the middle by wall time (of two, the slower)."""
        return sorted(self.runs, key=lambda run: run.seconds)[len(self.runs) // 2]

    @property
    def spread(self) -> float:
        """Slowest over fastest run."""
        return max(run.seconds for run in self.runs) / min(run.seconds for run in self.runs)


def table(peers: Mapping[str, Peer], number: int, results: Mapping[str, Result]) -> str:
    """Return the comparison over one history as a Markdown table."""
    ours = results["sluice"].median.seconds if "sluice" in results else None
    rows = [
        (f"{number:,} events", "seconds", "events/s", "cores", "CPU s", "peak MB", "Sluice is", "numbers"),
        ("---", *["---:"] * 6, "---"),
    ]
    for name, result in results.items():
        run = result.median
        ratio = "" if ours is None or name == "sluice" else f"{run.seconds / ours:.2f}×"
        spread = f" ±{(result.spread - 1) * 50:.0f} %" if len(result.runs) > 1 else ""
        rows.append(
            (
                peers[name].title,
                f"{run.seconds:.2f}{spread}",
                f"{number / run.seconds:,.0f}",
                f"{run.cores:.2f}",
                f"{run.cpu:.1f}",
                f"{run.peak / 1e6:,.0f}",
                ratio,
                f"**wrong**: {result.wrong[0]}" if result.wrong else _verified(result.shown),
            )
        )
    left_out = [peer.title for peer in peers.values() if peer.most is not None and number > peer.most]
    note = (
        f"\n\nNot run at {number:,} events, it would take too long: {', '.join(left_out)}."
        if left_out
        else ""
    )
    return markdown(rows) + note


def _verified(shown: Sequence[str]) -> str:
    duties = [duty for figure, duty in DUTIES.items() if figure in shown]
    return f"right: {', '.join(duties)}" if duties else "right: lines read"


def targets(results: Mapping[int, Mapping[str, Result]]) -> str:
    """Return every target that the results speak about, with what was reached."""
    rows: list[tuple[str, ...]] = [("target", "wanted", "reached", ""), ("---", "---:", "---:", "---")]
    for name, number, wanted in TARGETS:
        by_peer = results.get(number, {})
        if name in by_peer and "sluice" in by_peer:
            ours, theirs = by_peer["sluice"].median, by_peer[name].median
            reached = theirs.seconds / ours.seconds
            what = f"speed of {name} at {number:,}"
            if name == "decode_limit":
                what += f" (by CPU time {theirs.cpu / ours.cpu:.2f})"
            rows.append((what, f"≥ {wanted}×", f"{reached:.2f}×", met(reached >= wanted)))
    peaks = {
        number: by_peer["sluice"].median.peak for number, by_peer in results.items() if "sluice" in by_peer
    }
    if len(peaks) > 1:
        growth = peaks[max(peaks)] / peaks[min(peaks)]
        what = f"memory at {max(peaks):,} over {min(peaks):,}"
        rows.append((what, f"≤ {FLAT_MEMORY}×", f"{growth:.2f}×", met(growth <= FLAT_MEMORY)))
    return markdown(rows)


def measured(
    peers: Mapping[str, Peer], results: Mapping[int, Mapping[str, Result]], runs: int, shuffled: bool
) -> str:
    """Return the whole block of the page: machine, tables, targets, and what each competitor does not do."""
    order = "in no order of time" if shuffled else "in order of time"
    machine = (
        f"{environment('apache-beam', 'msgspec', 'pyarrow', 'duckdb')}; events {order}; median of {runs}"
        f" {'run' if runs == 1 else 'runs, all competitors in turns'}."
    )
    named = {name for by_peer in results.values() for name in by_peer}
    lacks = [("competitor", "does not do"), ("---", "---")]
    lacks += [(peer.title, peer.lacks) for name, peer in peers.items() if name in named and peer.lacks]
    tables = [table(peers, number, by_peer) for number, by_peer in results.items()]
    return "\n\n".join([machine, *tables, targets(results), markdown(lacks)])


def profile(shares: Profile) -> str:
    """Return the block of the page that says where the time goes."""
    total = sum(shares.steps.values())
    rows: list[tuple[str, ...]] = [("step", "µs an event", "share"), ("---", "---:", "---:")]
    rows += [(name, f"{spent:.2f}", f"{spent / total:.0%}") for name, spent in shares.steps.items()]
    rows.append(("sum over all processes", f"{total:.2f}", ""))
    deep: list[tuple[str, ...]] = [("function", "µs an event"), ("---", "---:")]
    deep += [
        (f"`{name}`", f"{spent:.2f}") for name, spent in shares.functions.items() if spent >= total / 100
    ]
    return f"CPU time over {shares.events:,} events.\n\n{markdown(rows)}\n\n{markdown(deep)}"
