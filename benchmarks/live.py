"""Drain a Kafka backlog with Sluice and its competitors, and measure Sluice's latency and memory under steady load.

`.venv/bin/python -m benchmarks.live` runs all of it on this machine, with a broker of its own (`scripts/tools` installs
what it needs), and writes the live block of docs/performance.md; `--events 100000 --peers prism,limit --rates 1000
--seconds 30 --no-docs` is a quick look. `--minutes 30` adds the run that watches memory. Exit code 1: some number is
wrong, or a competitor failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sluice.graph.ledger import read_report

from benchmarks import kafka_feed
from benchmarks.measurement import latency
from benchmarks.measurement.processes import ResourceSampler, children
from benchmarks.peers import benthos_live, sluice
from benchmarks.replay import difference, expected_of, history_of, make_environment
from benchmarks.report import live_page, page
from benchmarks.report.live_page import WARM_SECONDS, Drained, Loaded, Remembered
from devservers import flink, kafka
from devservers.kafka import KafkaBroker, KafkaTopic
from devservers.live_job import LiveJob, wait_until

ROOT = Path(__file__).resolve().parent.parent
DATA_FOLDER = ROOT / "out" / "bench"
BENCH_PYTHON = ROOT / ".tools" / "bench-live-venv" / "bin" / "python"
REQUIREMENTS = ROOT / "benchmarks" / "requirements-live.txt"
FLINK_OPTIONS = ("--streaming", "--checkpointing_interval=5000", "--max_bundle_time_mills=100")
CONTRACTS = ROOT / "schemas" / "backend_events"
LIFETIME = 4 * 3600.0
TIMEOUT = 1800.0
"""Seconds that one competitor may take."""
_FLUSHES_BEHIND = 3
"""A job that keeps up has acknowledged all that is older than so many flushes."""


@dataclass
class _Load:
    """A job under a steady load."""

    job: LiveJob
    sampler: ResourceSampler
    behind: int = 0
    """As in `Loaded`; known when the load has ended."""


def main() -> int:
    """Read the command line, run everything, print and write the numbers."""
    options = _options()
    if {"quix", "bytewax"} & set(options.peers):
        make_environment(BENCH_PYTHON, REQUIREMENTS)
    if "benthos" in options.peers:
        benthos_live.install()
    shutil.rmtree(options.data / "live", ignore_errors=True)
    out = options.data / "live"
    out.mkdir(parents=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        kafka.start(_make_folder(out / "kafka"), LIFETIME) as broker,
    ):
        benchmark = LiveBenchmark(options, broker, out, Path(scratch))
        turns: dict[str, list[Drained]] = {name: [] for name in options.peers}
        for turn in range(options.runs):
            for name, results in turns.items():
                results.append(benchmark.drain(name, turn))
        loaded = [benchmark.load(f"load-{rate}", rate) for rate in options.rates]
        remembered = benchmark.watch_memory() if options.minutes else None
    drained = {name: live_page.median(results) for name, results in turns.items()}
    block = live_page.block(options, drained, loaded, remembered)
    print(f"\n{block}", flush=True)
    if options.docs is not None:
        page.write(options.docs, {"live": block})
    return 1 if any(result.wrong for result in drained.values()) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=1_000_000, metavar="N", help="of the backlog")
    names = ",".join(live_page.PEERS)
    parser.add_argument("--peers", default=names, metavar="A,B", help=f"that drain it; default: {names}")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="turns that each competitor gets")
    parser.add_argument(
        "--rates", default="1000,5000,20000", metavar="A,B", help="events a second; '' is none"
    )
    parser.add_argument("--seconds", type=int, default=120, metavar="N", help="of each rate")
    parser.add_argument("--minutes", type=float, default=0, metavar="N", help="of the memory run, at 5,000/s")
    parser.add_argument("--flush", type=int, default=10, metavar="N", help="seconds")
    parser.add_argument("--data", type=Path, default=DATA_FOLDER, metavar="DIR", help="where all files go")
    parser.add_argument("--docs", type=Path, default=page_path(), metavar="FILE")
    parser.add_argument("--no-docs", dest="docs", action="store_const", const=None)
    options = parser.parse_args()
    options.peers = [name for name in options.peers.split(",") if name]
    options.rates = [int(rate) for rate in options.rates.split(",") if rate]
    options.data = options.data.resolve()
    if unknown := [name for name in options.peers if name not in live_page.PEERS]:
        parser.error(f"--peers: expected some of {names}, got {', '.join(unknown)}")
    return options


def page_path() -> Path:
    """Return the page that the numbers are written to."""
    return ROOT / "docs" / "performance.md"


def _make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


class LiveBenchmark:
    """One broker, and what is run against it."""

    def __init__(self, options: argparse.Namespace, broker: KafkaBroker, out: Path, scratch: Path) -> None:
        """Keep all files below `out`; `scratch` is a short path for temporary files of runs."""
        self._options = options
        self._broker = broker
        self._out = out
        self._scratch = scratch
        self._backlog: KafkaTopic | None = None

    def drain(self, name: str, turn: int) -> Drained:
        """Let one competitor drain the backlog, and compare its outputs with the truth."""
        history = history_of(self._options.data, self._options.events, shuffled=False)
        if self._backlog is None:
            self._backlog = KafkaTopic(self._broker, kafka_feed.PARTITIONS)
            kafka_feed.fill(self._broker.bootstrap, self._backlog.name, history)
        out = self._out / f"{name}-{turn + 1}"
        if name in ("prism", "flink"):
            self._backlog.group = out.name
            job = LiveJob(out, self._scratch, self._backlog)
            drained = self._drain_prism(job) if name == "prism" else self._drain_flink(job)
            outcome = sluice.tally(out)
        else:
            drained, outcome = self._drain_peer(name, out)
        truth = json.loads(history.with_name(history.name + ".truth.json").read_text())
        expected = expected_of(truth)
        drained.wrong += [
            difference(key, expected[key], got) for key, got in outcome.items() if expected[key] != got
        ]
        state = f"WRONG: {'; '.join(drained.wrong)}" if drained.wrong else "right"
        print(f"{name:8} {drained.seconds:8.1f} s  {drained.cpu:8.1f} CPU s  {state}", flush=True)
        return drained

    def _drain_prism(self, job: LiveJob) -> Drained:
        begun = time.time()
        running = job.start(f"--windows.flush={self._options.flush}s")
        sampler = ResourceSampler({running.process.pid})
        wait_until(lambda: job.read() > 0, running, seconds=TIMEOUT)
        first = time.time()
        wait_until(lambda: job.topic.unacknowledged() == 0, running, seconds=TIMEOUT)
        sampler.stop()
        job.drain(running)
        return self._drained(sampler, begun, first)

    def _drain_flink(self, job: LiveJob) -> Drained:
        before = children(os.getpid())
        with flink.start(_make_folder(job.folder / "cluster"), LIFETIME) as cluster:
            begun = time.time()
            sampler = ResourceSampler(children(os.getpid()) - before)
            submission = job.submit(
                f"--windows.flush={self._options.flush}s", *cluster.options(), *FLINK_OPTIONS
            )
            if submission.finish():
                raise RuntimeError(submission.output())
            running = cluster.job()
            first = time.time()
            wait_until(lambda: job.topic.unacknowledged() == 0, seconds=TIMEOUT)
            sampler.stop()
            totals = submission.output().split()[-1]
            wait_until(lambda: _settled(totals, self._options.events), seconds=TIMEOUT)
            job.report_path.write_text(json.dumps(_report(totals)))
            cluster.cancel(running)
        return self._drained(sampler, begun, first)

    def _drained(self, sampler: ResourceSampler, begun: float, first: float) -> Drained:
        ended = sampler.samples[-1]
        return Drained(
            self._options.events,
            ended.at - begun,
            ended.at - first,
            ended.cpu,
            sampler.cpu_since(first),
            sampler.peak,
        )

    def _drain_peer(self, name: str, out: Path) -> tuple[Drained, dict[str, object]]:
        assert self._backlog is not None
        python, module = live_page.PEERS[name].command
        command = [
            sys.executable if python == "own" else str(BENCH_PYTHON), "-m", "benchmarks.peers.live_peer", module,
            "run", self._broker.bootstrap, self._backlog.name, str(self._options.events),
            str(self._options.flush), str(out),
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        begun = time.time()
        log = out.with_suffix(".log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        sampler = ResourceSampler({process.pid})
        try:
            code = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        sampler.stop()
        first = out / "first"
        since = float(first.read_text()) if first.exists() else begun
        drained = self._drained(sampler, begun, since)
        if code:
            drained.wrong.append(f"it failed, see {log}")
            return drained, {}
        if name == "limit":
            return drained, {}
        command[command.index("run")] = "tally"
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
        return drained, json.loads(done.stdout)

    def load(
        self,
        name: str,
        rate: int,
        *,
        contracts: Path = CONTRACTS,
        late: float = 0.0,
        time_of: re.Pattern[bytes] = latency.EVENT_TIME,
    ) -> Loaded:
        """Run a job under a steady load, and measure the latency of each event from the time that `time_of` finds.

        The events are those of `contracts`, and at most `late` seconds old when they are published.
        """
        seconds = WARM_SECONDS + self._options.seconds
        with self._under_load(name, rate, seconds, contracts, late) as load:
            begin = time.time() + WARM_SECONDS
            time.sleep(WARM_SECONDS)
            started = load.sampler.sample()
            time.sleep(self._options.seconds)
            ended = load.sampler.sample()
            end = time.time() - self._options.flush
        cores = (ended.cpu - started.cpu) / (ended.at - started.at)
        latencies = latency.measure(load.job.folder / "w", begin, end, time_of)
        state = f", {load.behind:,} records behind" if load.behind else ""
        print(f"{name:>12}: {cores:.2f} cores, {load.sampler.peak / 1e6:,.0f} MB{state}", flush=True)
        return Loaded(rate, len(latencies.log), cores, load.sampler.peak, latencies, load.behind)

    def watch_memory(self) -> Remembered:
        """Run a job at 5,000 events a second for many minutes, and watch its memory."""
        seconds, begun = self._options.minutes * 60, time.time()
        with self._under_load("memory", 5_000, seconds) as load:
            time.sleep(seconds)
        if load.behind:
            message = (
                f"expected a job that keeps up with 5,000 events/s, got one {load.behind:,} records behind"
            )
            raise RuntimeError(message)
        return Remembered(
            self._options.minutes, [(sample.at - begun, sample.memory) for sample in load.sampler.samples]
        )

    @contextmanager
    def _under_load(
        self, name: str, rate: int, seconds: float, contracts: Path = CONTRACTS, late: float = 0.0
    ) -> Iterator[_Load]:
        """Yield a job that reads a steady load, once its first record has come; it drains when the block ends.

        One that does not keep up is killed: its drain would take longer than the load.
        """
        topic = KafkaTopic(self._broker, kafka_feed.PARTITIONS)
        job = LiveJob(self._out / name, self._scratch, topic)
        running = job.start(f"--windows.flush={self._options.flush}s", f"--contracts={contracts}")
        sampler = ResourceSampler({running.process.pid})
        topic.publish([b"first"])
        wait_until(lambda: job.read() > 0, running, seconds=TIMEOUT)
        command = [sys.executable, "-m", "benchmarks.kafka_feed", self._broker.bootstrap, topic.name]
        command += [str(rate), str(seconds + 5), str(contracts), str(late)]
        publishing = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        try:
            load = _Load(job, sampler)
            yield load
            if publishing.wait():
                message = f"expected {rate} events/s to be published, got exit code {publishing.returncode}"
                raise RuntimeError(message)
            sampler.stop()
            behind = topic.unacknowledged()
            if behind > rate * _FLUSHES_BEHIND * self._options.flush:
                load.behind = behind
            else:
                job.drain(running)
        finally:
            publishing.kill()
            if running.process.poll() is None:
                running.kill(number=signal.SIGKILL)


def _settled(totals: str, events: int) -> bool:
    report = read_report(totals)
    return report.reconciled and report.read >= events


def _report(totals: str) -> dict[str, object]:
    report: dict[str, object] = msgspec.to_builtins(read_report(totals))
    return report


if __name__ == "__main__":
    sys.exit(main())
