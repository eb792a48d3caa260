"""Logs of a collaboration platform into PostgreSQL: `scripts/collaboration` beside two scripts with the same duties.

`.venv/bin/python -m benchmarks.collaboration` takes a million records; `--records 50000 --no-docs` is a quick look.
Each contestant is a whole process from start to exit, on the same files. It fills an empty database of a server that is
started for it with default settings. Its CPU time is that of its processes and the server's. Then users, documents,
events and four metrics are compared, row by row, with those of the others, and the number of events with the generated
one. The result is written into the collaboration block of docs/performance.md. Exit code 1: something differs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from adbc_driver_postgresql import dbapi

from benchmarks.measurement.measure import Measured
from benchmarks.measurement.processes import ResourceSampler, children
from benchmarks.replay import make_environment
from benchmarks.report import page
from devservers import postgres

ROOT = Path(__file__).resolve().parent.parent
PEER_PYTHON = ROOT / ".tools/bench-collaboration-venv/bin/python"
REQUIREMENTS = ROOT / "benchmarks/requirements-collaboration.txt"
START = datetime(2025, 1, 6, tzinfo=UTC)
DAYS = 90
FILE_RECORDS = 50_000

STEPS = ("ingest", "build", "export")
"""The steps of `scripts/collaboration`, which are measured one after the other."""

PEERS = {"pandas script": "collaboration_pandas", "DuckDB script": "collaboration_duckdb"}
"""What a competitor is -> its module."""

INSTANT, SECONDS = "round(extract(epoch from {}) * 1000)", "round({}::numeric, 3)"
COMPARED = {
    "users": ("user_id", "email", "name", INSTANT.format("first_seen_at"), INSTANT.format("last_active_at")),
    "documents": (
        *("document_id", "title", "owner_id", INSTANT.format("created_at"), INSTANT.format("first_seen_at")),
        *(INSTANT.format("last_edited_at"), "word_count", "edit_count", "comment_count"),
    ),
    "events": (
        *("event_id", "event_type", INSTANT.format("occurred_at"), "user_id", "document_id", "session_id"),
        *("event_date", "day_of_week", "login_method", "permission", "comment_id", "words_added"),
        *("words_removed", "shared_with_count", "document_word_count", "session_key"),
        *(INSTANT.format("session_started_at"), SECONDS.format("session_duration")),
    ),
    "daily_active_users": ("activity_date", "active_users"),
    "average_session_duration": ("user_id", "sessions", SECONDS.format("average_seconds")),
    "most_edited_documents": ("position", "document_id", "edit_count"),
    "shared_documents": ("user_id", "shared_documents"),
}
"""Table or view -> what is compared of each row; the first one is its key."""


class Platform:
    """Makes records: a session after the other, of users and documents of which some are much busier than others."""

    def __init__(self, records: int) -> None:
        """Start; the same number gives the same records."""
        self.events = 0
        self._chance = random.Random(records)
        self._users, self._documents = max(records // 50, 10), max(records // 20, 10)
        self._seconds = DAYS * 86_400

    def records(self, number: int) -> Iterator[str]:
        """Yield records in no order of time: 1 % are broken, 2 % repeat an earlier one with another spacing."""
        chance, recent = self._chance, deque[str](maxlen=1000)
        session: list[tuple[datetime, str, str]] = []
        for _ in range(number):
            kind = chance.random()
            if kind < 0.02 and recent:  # noqa: PLR2004  a share
                yield json.dumps(json.loads(chance.choice(recent)))
                continue
            if not session:
                session = list(self._session())[::-1]
            at, event_type, data = session.pop()
            record = self._record(at, event_type, data)
            if kind < 0.03:  # noqa: PLR2004  a share
                yield chance.choice(
                    (record[:-20], record.replace('"data":{', '"data":[{'), record.replace(self.user, ""))
                )
                continue
            self.events += 1
            recent.append(record)
            yield record

    def _session(self) -> Iterator[tuple[datetime, str, str]]:
        chance = self._chance
        self.user = f"user-{int(self._users * chance.random() ** 2):06}"
        self.session = f"s-{chance.getrandbits(40):010x}"
        at = START + timedelta(seconds=chance.randrange(self._seconds))
        yield at, "user_login", f'"method":"{chance.choice(("password", "sso", "google"))}"'
        for _ in range(chance.randrange(2, 16)):
            at += timedelta(milliseconds=chance.randrange(1_000, 1_200_000))
            yield at, *self._work(f'"document_id":"doc-{int(self._documents * chance.random() ** 2):06}"')
        yield at + timedelta(seconds=5), "user_logout", '"reason":"manual"'

    def _work(self, document: str) -> tuple[str, str]:
        chance = self._chance
        kind, words = chance.random(), chance.randrange(5_000)
        if kind < 0.08:  # noqa: PLR2004  a share
            return "document_created", f'{document},"title":"Plan {words}","word_count":{words}'
        if kind < 0.6:  # noqa: PLR2004  a share
            changes = f'"changes":{{"words_added":{words % 80},"words_removed":{words % 20}}}'
            return "document_edit", f'{document},"word_count":{words},{changes}'
        other = f"user-{chance.randrange(self._users):06}"
        if kind < 0.9:  # noqa: PLR2004  a share
            comment = f'"comment_id":"c{chance.getrandbits(32)}","body":"What about {words}?"'
            return "comment_added", f'{document},{comment},"mentions":["{other}"]'
        people = f'[{{"user_id":"{other}","email":"{other.title()}@Example.com"}}]'
        return "document_shared", f'{document},"permission":"edit","shared_with":{people}'

    def _record(self, at: datetime, event_type: str, data: str) -> str:
        number = f"{self._chance.getrandbits(128):032x}"
        identity = "-".join((number[:8], number[8:12], number[12:16], number[16:20], number[20:]))
        user = f'{{"user_id":"{self.user}","email":"{self.user}@example.com","name":"Name of {self.user}"}}'
        time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = f'{{"event_id":"{identity}","event_type":"{event_type}","timestamp":"{time}","user":{user}'
        return f'{head},"session_id":"{self.session}","data":{{{data}}}}}'


@dataclass(frozen=True)
class Result:
    """What one process took, and what the server took for it."""

    title: str
    run: Measured
    server_cpu: float

    @property
    def cpu(self) -> float:
        """CPU seconds of both."""
        return self.run.cpu + self.server_cpu


def write(folder: Path, records: int) -> int:
    """Write the files; return how many events they have."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    platform = Platform(records)
    lines = platform.records(records)
    for number in range(0, records, FILE_RECORDS):
        with (folder / f"part-{number // FILE_RECORDS:04}.json").open("w") as out:
            for line in itertools.islice(lines, FILE_RECORDS):
                out.write(f"{line}\n")
    return platform.events


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Return the answer of a database."""
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def content(url: str) -> Mapping[str, tuple[int, str]]:
    """Return the number of rows of each table and metric, and a hash of all their compared values."""
    hashes = {}
    for name, columns in COMPARED.items():
        row = f"md5(row({', '.join(columns)})::text)"
        ((number, digest),) = query(
            url, f"select count(*), coalesce(md5(string_agg({row}, '' order by {row})), '') from {name}"
        )
        hashes[name] = number, digest
    return hashes


def timed(title: str, command: list[str], log: Path, environment: Mapping[str, str]) -> Result:
    """Run a command to its end, and measure it and the server, the only process of this one that is there already."""
    os.sync()
    server = ResourceSampler(children(os.getpid()))
    before, started = _cpu_of_ended_processes(), time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}
        )
        sampler = ResourceSampler([process.pid])
        exit_code = process.wait()
    seconds, cpu = time.perf_counter() - started, _cpu_of_ended_processes() - before
    sampler.stop()
    server.stop()
    if exit_code:
        sys.exit(log.read_text())
    result = Result(title, Measured(seconds, cpu, sampler.peak, exit_code), server.samples[-1].cpu)
    print(
        f"{title}: {seconds:.1f} s, CPU {cpu:.1f} s and {result.server_cpu:.1f} s",
        file=sys.stderr,
        flush=True,
    )
    return result


def _cpu_of_ended_processes() -> float:
    """Return the CPU seconds of what this process started and of what that started, as far as it has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def contest(title: str, source: Path, out: Path) -> tuple[list[Result], Mapping[str, Any]]:
    """Run one contestant with a server of its own; return its results, and the content of its database."""
    out.mkdir(parents=True)
    if title == "Sluice":
        command = [
            sys.executable,
            "-m",
            "examples.collaboration.pipeline",
            f"--source={source}",
            f"--out={out}",
        ]
        command += ["--warehouse=${DATABASE_URL}"]
        steps = [(f"Sluice: {step}", [*command, f"--only={step}"]) for step in STEPS]
    else:
        steps = [(title, [str(PEER_PYTHON), "-m", f"benchmarks.peers.{PEERS[title]}", str(source), str(out)])]
    with postgres.start() as server:
        results = [timed(name, line, out / "log", {"DATABASE_URL": server.url}) for name, line in steps]
        return results, content(server.url)


def table(results: list[list[Result]], records: int) -> list[list[str]]:
    """Return the rows of the table: each step, and the sum of the steps that the competitors do, too."""
    rows = [
        ["", "seconds", "records/s", "CPU s", "of it PostgreSQL", "peak MB", "CPU of Sluice is"],
        ["---"] + ["---:"] * 6,
    ]
    ours = sum(result.cpu for result in results[0][:2])
    for steps in results:
        rows += [_row(result.title, [result], records, None) for result in steps if len(steps) > 1]
        title = "Sluice: ingest and build" if len(steps) > 1 else steps[0].title
        rows.append(_row(title, steps[:2], records, None if len(steps) > 1 else ours))
    return rows


def _row(title: str, results: list[Result], records: int, ours: float | None) -> list[str]:
    seconds, cpu = sum(result.run.seconds for result in results), sum(result.cpu for result in results)
    server, peak = sum(result.server_cpu for result in results), max(result.run.peak for result in results)
    ratio = "" if ours is None else f"{ours / cpu:.2f}×"
    return [
        title,
        f"{seconds:.1f}",
        f"{records / seconds:,.0f}",
        f"{cpu:.1f}",
        f"{server:.1f}",
        f"{peak / 1e6:,.0f}",
        ratio,
    ]


def main() -> int:
    """Generate, measure, compare and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000, help="records of the logs")
    parser.add_argument("--data", type=Path, default=ROOT / "out/bench/collaboration", help="where files lie")
    parser.add_argument(
        "--docs", type=Path, default=ROOT / "docs/performance.md", help="the page to write to"
    )
    parser.add_argument("--no-docs", dest="docs", action="store_const", const=None, help="print only")
    options = parser.parse_args()
    make_environment(PEER_PYTHON, REQUIREMENTS)
    os.chdir(ROOT)
    data: Path = options.data.absolute()
    events = write(data / "events", options.records)
    shutil.rmtree(data / "out", ignore_errors=True)
    load = os.getloadavg()[0]
    contests = [contest(title, data / "events", data / "out" / title) for title in ("Sluice", *PEERS)]
    results, contents = [found[0] for found in contests], [found[1] for found in contests]
    wrong = [
        f"{name}: {[found[name] for found in contents]}"
        for name in COMPARED
        if len({found[name] for found in contents}) > 1
    ]
    if contents[0]["events"][0] != events:
        wrong.append(f"events: expected {events}, got {contents[0]['events'][0]}")
    machine = page.environment("apache-beam", "msgspec", "pyarrow", "duckdb", "adbc-driver-postgresql")
    rows = page.markdown(table(results, options.records))
    size = f"{options.records:,} records, {events:,} events"
    block = f"{machine}; one run, at a load of {load:.0f} by other work; {size}.\n\n{rows}"
    print(block, *wrong, sep="\n")
    if options.docs is not None and not wrong:
        page.write(options.docs, {"collaboration": block})
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
