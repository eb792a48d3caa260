"""The real `sluice` command, in processes of its own, and what it left: event log, dead letters, tables, processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from devservers.live_job import TABLES
from devservers.sluice_command import Finished, ForkedSluiceProcess, sluice
from devservers.sluice_process import SLUICE, SluiceProcess

JOB = "jobs/backend_events.yaml"
_STORED = re.compile(
    r"(?:(order|inventory|user_activity)/)?(\d{4})/(\d\d)/(\d\d)/(\d\d)/(\d\d)/"
    r"(order|inventory|user_activity|dead_letter)_(\d{12})(\d{4,})\.json"
)


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

    def start(self, source: object, *flags: str) -> SluiceProcess:
        self.folder.mkdir(parents=True, exist_ok=True)
        return ForkedSluiceProcess(
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

    def log(self, dead_letters: bool = False) -> dict[str, bytes]:
        """Return path -> content of every segment; there must be no other visible file but `_log.json`.

        Those of the manifest are left out: each run adds one.
        """
        root = self.dead_letters if dead_letters else self.files
        contents = {}
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            name = str(path.relative_to(root))
            if path.name == "_log.json" or path.name.startswith(".") or name.startswith("_sources/"):
                continue
            match = _STORED.fullmatch(name)
            assert match, name
            folder, *time, stem, digits, _ = match.groups()
            assert (digits, stem) == ("".join(time), folder or "dead_letter"), name
            contents[name] = path.read_bytes()
        return contents

    def events(self) -> dict[str, Counter[bytes]]:
        """Return `type/YYYY/MM/DD/HH/MM` -> how often each line is stored there."""
        events: dict[str, Counter[bytes]] = {}
        for name, data in self.log().items():
            events.setdefault(name.rpartition("/")[0], Counter()).update(lines_of(data))
        return events

    def stored_dead_letters(self) -> list[dict[str, Any]]:
        return [json.loads(line) for data in self.log(dead_letters=True).values() for line in lines_of(data)]

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
        dead_letters = Counter(dead_letter["letter_id"] for dead_letter in self.stored_dead_letters())
        tables = self.tables("_ingested_at", "_segment_id")
        tables["dead_letters"] = self.sql(
            "select letter_id, count(*) from dead_letters group by 1 order by 1"
        )
        return self.events(), dead_letters, tables

    def segments_stored(self) -> int:
        return sum(1 for _ in self.files.rglob("*0001.json"))

    def segments_loaded(self) -> int:
        return sum(1 for _ in self.warehouse.with_suffix("").glob("_segments/*/*.parquet")) - 1

    def dead_letter_segments_stored(self) -> int:
        return sum(1 for _ in self.dead_letters.rglob("*0001.json"))

    def spilled(self) -> int:
        """Return the bytes that running runs have decoded and spilled."""
        return sum(_size(folder / "spill") for folder in self.scratch.iterdir())


def _size(folder: Path) -> int:
    """Return the bytes of the files of a folder, which may be removed in the meantime, or never have been there."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):  # a temporary file has no folder in it
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
