"""The numbers of streaming jobs as tables."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.measurement.latency import Latencies, percentiles
from benchmarks.report.page import environment, markdown, met

BEST_PUBLISHED = 4_600
"""Rows/s of 500-byte JSON that one vCPU of a Python pipeline on Dataflow loads into BigQuery: the best published."""
DRAINED = 40_000
"""Events/s that a backlog is to be drained with, on two cores."""
TIMES = 10
WARM_SECONDS = 20.0
"""A job under steady load is measured after so long."""
LATE = 5.0
"""Seconds beyond `flush` within which events, and counts, are to be there."""


@dataclass(frozen=True)
class Peer:
    """A competitor: its environment and module, and what it does not do."""

    title: str
    command: tuple[str, str]
    lacks: str = ""


_LACKS = (
    "safe append and repeats beyond its process's life; what is written twice after a crash; unknown properties; "
    "all reasons with what was expected"
)
PEERS: dict[str, Peer] = {
    "prism": Peer("Sluice on Prism", ("", "")),
    "flink": Peer("Sluice on Flink, parallelism 2", ("", "")),
    "quix": Peer("quixstreams", ("bench", "quix_live"), _LACKS),
    "bytewax": Peer("bytewax", ("bench", "bytewax_live"), _LACKS),
    "benthos": Peer(
        "Benthos 4.27",
        ("own", "benthos_live"),
        "tables in a warehouse; safe append and repeats beyond its process's life; what is written twice after a "
        "crash; unknown properties; codes of reasons",
    ),
    "limit": Peer(
        "confluent-kafka alone", ("own", "consumer_limit"), "everything: the limit, not a competitor"
    ),
}


@dataclass
class Drained:
    """One competitor's way through the backlog: wall and CPU seconds from its start, and from its first record."""

    events: int
    seconds: float
    busy: float
    cpu: float
    busy_cpu: float
    peak: int
    wrong: list[str] = field(default_factory=list)


def median(turns: Sequence[Drained]) -> Drained:
    """Return the turn of the middle time; a wrong one if there is any."""
    wrong = [turn for turn in turns if turn.wrong]
    return wrong[0] if wrong else sorted(turns, key=lambda turn: turn.busy)[len(turns) // 2]


@dataclass(frozen=True)
class Loaded:
    """What a steady load cost and how long its events took."""

    rate: int
    events: int
    cores: float
    peak: int
    latencies: Latencies
    behind: int = 0
    """Records that were published and not yet acknowledged, if they are more than a job that keeps up ever has."""


@dataclass(frozen=True)
class Remembered:
    """Seconds and resident bytes of a long run."""

    minutes: float
    samples: Sequence[tuple[float, int]]

    def average(self, begin: float, end: float) -> float:
        """Return the average megabytes from one share of the run to another."""
        last = self.samples[-1][0]
        sizes = [size for at, size in self.samples if begin * last <= at <= end * last]
        return sum(sizes) / len(sizes) / 1e6


def block(
    options: argparse.Namespace,
    drained: Mapping[str, Drained],
    loaded: Sequence[Loaded],
    remembered: Remembered | None,
) -> str:
    """Return the whole block of the page."""
    turns = f"median of {options.runs} run{'s' if options.runs > 1 else ''}"
    parts = [f"{_machine(options)}; drained: {turns}."]
    if drained:
        parts.append(_drained(drained))
    if loaded:
        parts.append(_latencies(loaded))
    if remembered is not None:
        parts.append(_memory(remembered))
    parts.append(_targets(options, drained, loaded))
    lacks = [("competitor", "does not do"), ("---", "---")]
    lacks += [(PEERS[name].title, PEERS[name].lacks) for name in drained if PEERS[name].lacks]
    return "\n\n".join(parts + ([markdown(lacks)] if len(lacks) > 2 else []))


def _machine(options: argparse.Namespace) -> str:
    packages = ("apache-beam", "confluent-kafka", "msgspec", "pyarrow", "duckdb")
    return f"{environment(*packages)}; the broker shares the cores; `flush` {options.flush} s"


def _drained(drained: Mapping[str, Drained]) -> str:
    events = next(iter(drained.values())).events
    rows: list[tuple[str, ...]] = [
        (
            f"{events:,} events",
            "seconds",
            "after its start",
            "events/s",
            "cores",
            "CPU s",
            "rows/s per vCPU",
            "peak MB",
            "numbers",
        ),
        ("---", *["---:"] * 7, "---"),
    ]
    for name, result in drained.items():
        shown = "nothing is left to compare" if name == "limit" else "right"
        rows.append(
            (
                PEERS[name].title,
                f"{result.seconds:.1f}",
                f"{result.busy:.1f}",
                f"{result.events / result.busy:,.0f}",
                f"{result.busy_cpu / result.busy:.2f}",
                f"{result.cpu:.1f}",
                f"{result.events / result.busy_cpu:,.0f}" if result.busy_cpu else "",
                f"{result.peak / 1e6:,.0f}",
                f"**wrong**: {result.wrong[0]}" if result.wrong else shown,
            )
        )
    return markdown(rows)


def _latencies(loaded: Sequence[Loaded]) -> str:
    rows: list[tuple[str, ...]] = [_latency_head("events/s"), _RULE]
    for load in loaded:
        for name, values in zip(
            ("the log", "the warehouse", "the last count of a window"), load.latencies, strict=True
        ):
            rows.append(_latency_row(f"{load.rate:,}", name, values, load))
    return markdown(rows)


_RULE = ("---:", "---", *["---:"] * 7)


def _latency_head(of: str) -> tuple[str, ...]:
    return (of, "seconds to", "p50", "p95", "p99", "highest", "of", "cores", "peak MB")


def _latency_row(of: str, name: str, values: Sequence[float], load: Loaded) -> tuple[str, ...]:
    number = f"{len(values):,} {'windows' if 'window' in name else 'events'}"
    if load.behind:
        number += f", and {load.behind:,} records **not reached**"
    return (of, name, *percentiles(values), number, f"{load.cores:.2f}", f"{load.peak / 1e6:,.0f}")


def types_block(options: argparse.Namespace, loaded: Mapping[int, Loaded]) -> str:
    """Return the block of jobs with more and fewer event types, whose events are late."""
    load = (
        f"{options.rate:,} events/s, at most {options.hours:g} hours late, for {options.seconds} s after "
        f"{WARM_SECONDS:g} s; one run, with `logPartition: {options.log_partition}`."
    )
    rows: list[tuple[str, ...]] = [_latency_head("event types"), _RULE]
    for types, result in loaded.items():
        for name, values in (
            ("the log", result.latencies.log),
            ("the warehouse", result.latencies.warehouse),
        ):
            rows.append(_latency_row(str(types), name, values, result))
    return "\n\n".join([f"{_machine(options)}; {load}", markdown(rows)])


def _memory(remembered: Remembered) -> str:
    first, last = remembered.average(0.2, 0.4), remembered.average(0.8, 1.0)
    highest = max(size for _, size in remembered.samples) / 1e6
    return (
        f"Memory at 5,000 events/s over {remembered.minutes:g} minutes: {first:,.0f} MB on average in the "
        f"second fifth, {last:,.0f} MB in the last ({last / first - 1:+.0%}), at most {highest:,.0f} MB."
    )


def _targets(options: argparse.Namespace, drained: Mapping[str, Drained], loaded: Sequence[Loaded]) -> str:
    rows: list[tuple[str, ...]] = [("target", "wanted", "reached", ""), ("---", "---:", "---:", "---")]
    if "prism" in drained:
        ours = drained["prism"]
        speed, share = ours.events / ours.busy, ours.events / ours.busy_cpu
        rows.append(("events/s drained", f"≥ {DRAINED:,}", f"{speed:,.0f}", met(speed >= DRAINED)))
        times = share / BEST_PUBLISHED
        what = f"rows/s per vCPU over {BEST_PUBLISHED:,}, the best published for Python on Dataflow"
        rows.append((what, f"≥ {TIMES}×", f"{times:.1f}×", met(times >= TIMES)))
    limit = options.flush + LATE
    for load in loaded:
        for name, values in (
            ("event in log and warehouse", load.latencies.warehouse),
            ("last count of a window", load.latencies.windows),
        ):
            if values:
                what = f"{name} at {load.rate:,} events/s, at the latest"
                rows.append(
                    (
                        what,
                        f"≤ {limit:g} s",
                        f"{values[-1]:.1f} s",
                        met(values[-1] <= limit and not load.behind),
                    )
                )
    return markdown(rows)
