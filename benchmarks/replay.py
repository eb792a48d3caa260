"""Replay the same histories with Sluice and with its competitors on this machine, and write down the numbers.

`scripts/bench` runs the whole benchmark; `scripts/bench --events 200000 --peers sluice,duckdb_sql --no-docs`
is a quick look. Every competitor is a whole process from start to exit, all take turns, `--runs` times; what
each left behind is then compared with the truth that the generator computed. Exit code 1: some number is
wrong, or a competitor failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import generate_events
from benchmarks.measurement import steps
from benchmarks.measurement.measure import measure
from benchmarks.peers import sluice
from benchmarks.report import page, replay_page
from benchmarks.report.replay_page import Peer, Result

ROOT = Path(__file__).resolve().parent.parent
MILLION = 1_000_000
BENCH_PYTHON = ROOT / ".tools" / "bench-venv" / "bin" / "python"
DOCS = ROOT / "docs" / "performance.md"
DATA_FOLDER = ROOT / "out" / "bench"


def _own(module: str) -> Callable[[Path, Path], list[str]]:
    """Return the command of a peer that lives in Sluice's environment."""
    return lambda source, out: [
        sys.executable,
        "-m",
        f"benchmarks.peers.{module}",
        "run",
        str(source),
        str(out),
    ]


def _foreign(module: str) -> Callable[[Path, Path], list[str]]:
    """Return the command of a peer that lives in the benchmark's environment."""
    return lambda source, out: [
        str(BENCH_PYTHON),
        "-m",
        f"benchmarks.peers.{module}",
        "run",
        str(source),
        str(out),
    ]


_NO_LOG = "safe append (kill, rerun, repeats of earlier runs); unknown properties kept"
PEERS: dict[str, Peer] = {
    "sluice": Peer("Sluice", "", lambda source, out: sluice.command(sys.executable, source, out)),
    "duckdb_sql": Peer(
        "DuckDB SQL script",
        f"{_NO_LOG}; numbers beyond 17 digits exact; dead letters with what was expected",
        _foreign("duckdb_sql"),
    ),
    "textbook_beam": Peer(
        "Beam, one element an event",
        f"{_NO_LOG}; a warehouse (Parquet files without one); dead letters with their source",
        _own("textbook_beam"),
        most=MILLION,
    ),
    "pyspark": Peer(
        "PySpark, local[2]",
        f"{_NO_LOG}; a warehouse (Parquet files without one); dead letters with their source;"
        " distinguishing a number from a string that looks like one",
        _foreign("pyspark_local"),
    ),
    "dlt": Peer(
        "dlt to DuckDB",
        f"{_NO_LOG}; every rule of the contracts; dead letters; removal of repeats; files; counts",
        _foreign("dlt_duckdb"),
        most=MILLION,
    ),
    "decode_limit": Peer(
        "bare msgspec decoding, two processes",
        "everything but the yes or no to each line: the limit, not a competitor",
        _own("decode_limit"),
    ),
}
MODULES = {"pyspark": "pyspark_local", "dlt": "dlt_duckdb"}
"""Peer -> its module, where the two have different names."""


def main() -> int:
    """Read the command line, run everything, print and write the numbers."""
    options = _options()
    if any(_is_foreign(name) for name in options.peers) or options.profile:
        make_environment(BENCH_PYTHON, ROOT / "benchmarks" / "requirements.txt")
    results: dict[int, dict[str, Result]] = {}
    for number in options.events:
        source = history_of(options.data, number, options.shuffled)
        results[number] = _compare(options, number, source)
        print("\n" + replay_page.table(PEERS, number, results[number]), flush=True)
    print("\n" + replay_page.targets(results), flush=True)
    blocks = {"measured": replay_page.measured(PEERS, results, options.runs, options.shuffled)}
    if options.profile:
        blocks["profile"] = _profile(options, results)
        print("\n" + blocks["profile"])
    if options.docs is not None:
        page.write(options.docs, blocks)
    failed = any(result.wrong for by_peer in results.values() for result in by_peer.values())
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--events", type=int, action="append", metavar="N", help="default: 1000000 and 10000000"
    )
    parser.add_argument("--peers", default=",".join(PEERS), metavar="A,B", help=f"default: {','.join(PEERS)}")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="turns that each competitor gets")
    parser.add_argument("--shuffled", action="store_true", help="events in no order of time")
    parser.add_argument("--profile", action="store_true", help="also show where Sluice's time goes")
    parser.add_argument(
        "--data", type=Path, default=DATA_FOLDER, metavar="DIR", help="histories, kept for the next time"
    )
    parser.add_argument(
        "--docs", type=Path, default=DOCS, metavar="FILE", help="page whose blocks are replaced"
    )
    parser.add_argument("--no-docs", dest="docs", action="store_const", const=None)
    options = parser.parse_args()
    options.events = options.events or [MILLION, 10 * MILLION]
    options.peers = options.peers.split(",")
    options.data = options.data.resolve()
    if unknown := [name for name in options.peers if name not in PEERS]:
        parser.error(f"--peers: expected some of {', '.join(PEERS)}, got {', '.join(unknown)}")
    if options.profile and "sluice" not in options.peers:
        parser.error("--profile: expected sluice among --peers")
    return options


def _is_foreign(name: str) -> bool:
    return PEERS[name].command(Path(), Path())[0] == str(BENCH_PYTHON)


def make_environment(python: Path, requirements: Path) -> None:
    """Make the competitors' venv, which is to have `python`, unless it is there already from the same requirements."""
    stamp = python.parent.parent / ".stamp"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"bench: making {python.parent.parent} from {requirements} (a minute or two)", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", python.parent.parent], check=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    subprocess.run([python, *install], check=True)
    stamp.write_text(wanted)


def history_of(folder: Path, number: int, shuffled: bool) -> Path:
    """Return the file of `number` events, generated unless the same generator made it before."""
    version = hashlib.sha256(Path(generate_events.__file__).read_bytes()).hexdigest()[:8]
    path = folder / f"events-{number}{'-shuffled' if shuffled else ''}-{version}.ndjson"
    if not generate_events.truth_path(path).exists():
        print(f"bench: generating {number:,} events", file=sys.stderr)
        generate_events.write_events(number, path, shuffled=shuffled)
    return path


def _compare(options: argparse.Namespace, number: int, source: Path) -> dict[str, Result]:
    """Let all competitors run over one history, in turns."""
    truth = json.loads(generate_events.truth_path(source).read_text())
    results: dict[str, Result] = {}
    for turn in range(options.runs):
        for name in options.peers:
            most = PEERS[name].most
            if most is not None and number > most:
                continue
            result = results.setdefault(name, Result())
            if not (turn and result.wrong):
                _take_turn(name, source, truth, result)
                run = result.runs[-1]
                state = f"WRONG: {'; '.join(result.wrong)}" if result.wrong else "right"
                print(
                    f"{number:>10,} {name:14} {run.seconds:8.2f} s  {run.cores:.2f} cores  {state}",
                    flush=True,
                )
    return results


def _take_turn(name: str, source: Path, truth: Mapping[str, object], result: Result) -> None:
    """Run one competitor once, and compare its outputs with the truth."""
    out = source.parent / f"run-{name}"
    shutil.rmtree(out, ignore_errors=True)
    _read_once(source)
    os.sync()  # so that no peer pays for writes of the one before
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    log = source.parent / f"run-{name}.log"
    result.runs.append(measure(PEERS[name].command(source, out), log, environment))
    if result.runs[-1].exit_code:
        result.wrong.append(f"exit code {result.runs[-1].exit_code}, see {log}")
        return
    module = f"benchmarks.peers.{MODULES.get(name, name)}"
    python = PEERS[name].command(source, out)[0]
    tally = subprocess.run(
        [python, "-m", module, "tally", source, out],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if tally.returncode:
        result.wrong.append(f"its outputs cannot be read: {tally.stderr.strip().splitlines()[-1]}")
        return
    outcome = json.loads(tally.stdout)
    expected = expected_of(truth)
    result.shown = list(outcome)
    result.wrong = [
        difference(key, expected[key], got) for key, got in outcome.items() if expected[key] != got
    ]
    shutil.rmtree(out)


def _read_once(source: Path) -> None:
    """Bring the file into the page cache, for all peers alike."""
    with source.open("rb") as file:
        while file.read(1 << 24):
            pass


def expected_of(truth: Mapping[str, object]) -> dict[str, object]:
    """Return the truth under the names that outcomes have."""
    windows = truth["windows"]
    assert isinstance(windows, dict)
    minutes: Counter[str] = Counter()
    for event_type, counts in windows.items():
        for start, events in counts.items():
            minutes[f"{event_type}/{''.join(filter(str.isdigit, start[:16]))}"] += events
    return {**truth, "lines": truth["accepted"], "rows": truth["accepted"], "minutes": dict(minutes)}


def difference(key: str, expected: object, got: object) -> str:
    """Return the first way in which a figure is not what it is to be."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for part in sorted({*expected, *got}):
            if expected.get(part) != got.get(part):
                return f"{key}: {part}: {difference('', expected.get(part), got.get(part))}"
    return f"{f'{key}: ' if key else ''}expected {expected}, got {got}"


def _profile(options: argparse.Namespace, results: Mapping[int, Mapping[str, Result]]) -> str:
    """Profile Sluice on the smallest of the histories, and return the block for the page."""
    number = min(options.events)
    cpu = results[number]["sluice"].median.cpu
    source = history_of(options.data, number, options.shuffled)
    out = options.data / "run-profile"
    shutil.rmtree(out, ignore_errors=True)
    os.chdir(ROOT)
    profile = steps.profile(
        BENCH_PYTHON.with_name("py-spy"),
        sluice.command(sys.executable, source, out),
        number,
        cpu,
        options.data,
    )
    shutil.rmtree(out, ignore_errors=True)
    return replay_page.profile(profile)


if __name__ == "__main__":
    sys.exit(main())
