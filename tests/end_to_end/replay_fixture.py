"""The real `sluice` command, in processes of its own, and what it left: log, letters, tables, processes."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

ROOT = Path(__file__).parents[2]
SLUICE = str(Path(sys.executable).with_name("sluice"))
JOB = "jobs/backend_events.yaml"
TABLES = {"order": "order_events", "inventory": "inventory_events", "user_activity": "user_activity_events"}
AS_A_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else list[str]()
"""Has root, too, read and write only what a file's mode allows."""
SECONDS = 280
"""Longer than any command takes; pytest gives up after 300."""
ORPHAN_SECONDS = 20
"""What a killed command started must have ended within this time."""

_STORED = re.compile(
    r"(?:(order|inventory|user_activity)/)?(\d{4})/(\d\d)/(\d\d)/(\d\d)/(\d\d)/"
    r"(order|inventory|user_activity|dead_letter)_(\d{12})(\d{4,})\.json"
)


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Process(NamedTuple):
    """One process of a run; `role` is launcher, worker, messenger or runner (Prism)."""

    pid: int
    role: str


class Running:
    """A `sluice` command that runs, in a session of its own, so that everything it starts can be found."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], errors: Path) -> None:
        self._errors = errors
        with errors.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True
            )

    def processes(self) -> list[Process]:
        """Return the living processes of the session."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (words := _stat(entry)) and words[3] == str(self.process.pid):
                pid = int(entry.name)
                role = "worker" if words[1] == str(self.process.pid) else "messenger"
                command = _read(entry / "cmdline").split("\0")
                role = "messenger" if any(word in ("-c", "-S") for word in command) else role
                role = "runner" if command[0].endswith("prism") else role
                found.append(Process(pid, "launcher" if pid == self.process.pid else role))
        return found

    def until(self, reached: Callable[[], bool]) -> bool:
        """Wait until something is `reached`; False if the command ended before."""
        for _ in range(SECONDS * 200):
            if reached():
                return self.process.poll() is None
            try:
                self.process.wait(0.005)
            except subprocess.TimeoutExpired:
                continue
            return False
        raise AssertionError(self.output())

    def kill(self, *roles: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to the processes of these roles; without roles to the whole group, as a terminal does."""
        with suppress(ProcessLookupError):  # it may have ended by itself, just now
            if not roles:
                os.killpg(self.process.pid, number)
            for each in [each for each in self.processes() if each.role in roles]:
                os.kill(each.pid, number)

    def finish(self) -> int:
        """Wait for the end of the command and of all that it started; return the exit code."""
        code = self.process.wait(SECONDS)
        for each in self.processes():
            with suppress(ProcessLookupError):
                ended = os.pidfd_open(each.pid)
                select.select([ended], [], [], ORPHAN_SECONDS)
                os.close(ended)
        left = self.processes()
        if left:
            os.killpg(self.process.pid, signal.SIGKILL)
        assert not left, self.output()
        return code

    def output(self) -> str:
        """Return what was printed so far, both streams."""
        return _read(self._errors)


def _stat(process: Path) -> list[str] | None:
    """Return state, parent, group, session and so on of a living process."""
    words = _read(process / "stat").rpartition(")")[2].split()
    return words if words and words[0] not in "ZX" else None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:  # the process has ended
        return ""


def sluice(*arguments: str, environment: dict[str, str] | None = None) -> Finished:
    """Run one command to its end."""
    done = subprocess.run(
        [*AS_A_USER, SLUICE, *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


class Replay:
    """A folder to replay histories into; `scratch` is where runs keep what they need while they last."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.scratch = scratch
        self.files, self.dead_letters = folder / "files", folder / "dead_letters"
        self.warehouse, self.report_file = folder / "w.duckdb", folder / "report.json"

    def arguments(self, source: object, *flags: str, command: str = "run") -> list[str]:
        given = {
            "source": source,
            "files": self.files,
            "warehouse": f"duckdb:///{self.warehouse}",
            "dead-letters": self.dead_letters,
            "report": self.report_file,
        }
        return [command, JOB, *(f"--{name}={value}" for name, value in given.items()), *flags]

    def run(self, source: object, *flags: str, command: str = "run", code: int = 0) -> Finished:
        """Run to the end; there must be no word on standard error but the one line of a failure."""
        self.folder.mkdir(parents=True, exist_ok=True)
        done = sluice(
            *self.arguments(source, *flags, command=command), environment={"TMPDIR": str(self.scratch)}
        )
        assert (done.code, done.err.count("\n")) == (code, 1 if code else 0), done.err[-3000:]
        return done

    def start(self, source: object, *flags: str) -> Running:
        self.folder.mkdir(parents=True, exist_ok=True)
        return Running(
            [SLUICE, *self.arguments(source, *flags)],
            {**os.environ, "TMPDIR": str(self.scratch)},
            self.folder / "printed.txt",
        )

    def report(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(self.report_file.read_bytes())
        return made

    def figures(self) -> tuple[int, ...]:
        """Return read, accepted, repeated, rejected, loaded, refused of the last report, which must balance."""
        made = self.report()
        assert made["reconciled"], made
        names = ("read", "accepted", "duplicates", "rejected", "loaded", "load_rejected")
        return tuple(made[name] for name in names)

    def log(self, letters: bool = False) -> dict[str, bytes]:
        """Return path -> content of every segment; there must be no other visible file but `_log.json`."""
        root = self.dead_letters if letters else self.files
        found = {}
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            name = str(path.relative_to(root))
            if path.name == "_log.json" or path.name.startswith("."):
                continue
            match = _STORED.fullmatch(name)
            assert match, name
            folder, *time, stem, digits, _ = match.groups()
            assert (digits, stem) == ("".join(time), folder or "dead_letter"), name
            found[name] = path.read_bytes()
        return found

    def events(self) -> dict[str, Counter[bytes]]:
        """Return `type/YYYY/MM/DD/HH/MM` -> how often each line is stored there."""
        found: dict[str, Counter[bytes]] = {}
        for name, data in self.log().items():
            found.setdefault(name.rpartition("/")[0], Counter()).update(lines_of(data))
        return found

    def letters(self) -> list[dict[str, Any]]:
        return [json.loads(line) for data in self.log(letters=True).values() for line in lines_of(data)]

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(query).fetchall()

    def tables(self, *without: str) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of all tables, in an order of their own, without the columns `without`."""
        exclude = f"exclude ({', '.join(without)})" if without else ""
        events = {
            name: self.sql(f"select * {exclude} from {name} order by all")
            for name in (*TABLES.values(), "dead_letters")
        }
        counts = self.sql("from event_counts order by all")
        return events | {"event_counts": counts}

    def state(self) -> tuple[object, ...]:
        """Return what two runs of one history must agree on, whatever happened to them."""
        letters = Counter(letter["letter_id"] for letter in self.letters())
        tables = self.tables("_ingested_at", "_segment_id")
        tables["dead_letters"] = self.sql(
            "select letter_id, count(*) from dead_letters group by 1 order by 1"
        )
        return self.events(), letters, tables

    def segments_stored(self) -> int:
        return sum(1 for _ in self.files.rglob("*0001.json"))

    def segments_loaded(self) -> int:
        return sum(1 for _ in self.warehouse.with_suffix("").glob("_segments/*/*.parquet")) - 1

    def letters_stored(self) -> int:
        return sum(1 for _ in self.dead_letters.rglob("*0001.json"))

    def spilled(self) -> int:
        """Return the bytes that running runs have decoded and spilled."""
        return sum(_size(path) for path in self.scratch.glob("sluice-run-*/spill/*"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def lines_of(data: bytes) -> list[bytes]:
    assert data.endswith(b"\n")
    return data[:-1].split(b"\n")


def one_line(done: Finished, code: int = 1) -> str:
    """Return the one line that a failed command printed on standard error."""
    assert done.code == code, done
    assert done.err.count("\n") == 1, done.err
    assert done.err.endswith("\n"), done.err
    return done.err[:-1]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of `size`; RuntimeError if this process may not."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        raise RuntimeError(mounted.stderr.decode())
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
