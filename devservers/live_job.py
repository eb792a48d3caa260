"""A streaming job as a user runs it: the `sluice` command on a topic, and what is in its logs and its warehouse."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.request import urlopen

import duckdb

from devservers import waiting
from devservers.errors import ConditionTimeout
from devservers.ports import free_port
from devservers.sluice_process import SLUICE, SluiceProcess
from devservers.topic import Topic

TABLES = {"order": "order_events", "inventory": "inventory_events", "user_activity": "user_activity_events"}
"""Event type -> its table."""

STORED_SECONDS = 150.0
"""Within which everything that was published must be stored."""

_LOOK_SECONDS = 0.2
_OUTPUT_CHARACTERS = 3000


class Warehouse(Protocol):
    """A warehouse that a job loads, and how to query it without the product."""

    @property
    def url(self) -> str:
        """Its URL, as a job has it."""
        ...

    @property
    def query(self) -> Callable[[str], list[tuple[Any, ...]]]:
        """SQL -> rows."""
        ...


class EmbeddedWarehouse:
    """The embedded warehouse in `file`."""

    def __init__(self, file: Path) -> None:
        """Nothing has to be there yet."""
        self.url = f"duckdb:///{file}"
        self._file = file

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with duckdb.connect(str(self._file), read_only=True) as connection:
            return connection.sql(sql).fetchall()


class LiveJob:
    """The job `backend_events` on one topic; everything that it writes lies in `folder`."""

    def __init__(
        self, folder: Path, scratch: Path, topic: Topic, process: type[SluiceProcess] = SluiceProcess
    ) -> None:
        """Make a job that loads the embedded warehouse.

        Args:
            folder: where everything is written that lasts.
            scratch: a short path for temporary files of runs.
            topic: what is read.
            process: how runs are started.

        """
        self.process = process
        self.folder = folder
        self.scratch = scratch
        self.topic = topic
        self.files = folder / "files"
        self.dead_letters = folder / "dead"
        self.warehouse: Warehouse = EmbeddedWarehouse(folder / "w.duckdb")
        self.metrics_port = free_port()
        self._runs: list[SluiceProcess] = []

    def start(self, *flags: str) -> SluiceProcess:
        """Start `sluice run` on this machine, with metrics."""
        return self.submit("--metrics-port", str(self.metrics_port), *flags)

    def submit(self, *flags: str) -> SluiceProcess:
        """Start `sluice run` on the runner of the flags, which may show metrics of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            SLUICE, "run", "jobs/backend_events.yaml", f"--source={self.topic.source}",
            "--files", str(self.files), "--dead-letters", str(self.dead_letters),
            "--warehouse", self.warehouse.url, "--windows.flush", "2s",
            "--report", str(self.report_path), *flags,
        ]  # fmt: skip
        environment = {**os.environ, **self.topic.environment, "TMPDIR": str(self.scratch)}
        run = self.process(command, environment, self.folder / f"run{len(self._runs) + 1}.log")
        self._runs.append(run)
        return run

    def kill(self) -> None:
        """End all runs that have not ended."""
        for run in self._runs:
            if run.process.poll() is None:
                run.kill("launcher")
                run.process.wait()

    @property
    def report_path(self) -> Path:
        """Where the last run that drained left its report."""
        return self.folder / "report.json"

    def drain(self, run: SluiceProcess) -> dict[str, Any]:
        """Drain a run with SIGTERM, and return its report, which must reconcile."""
        os.kill(run.process.pid, signal.SIGTERM)
        code = run.finish()
        assert code == 0, run.output()
        report: dict[str, Any] = json.loads(self.report_path.read_bytes())
        assert report["reconciled"], report
        return report

    def lines(self) -> Counter[bytes]:
        """Return how often each line is in the event log."""
        return Counter(_lines(self.files))

    def payloads(self) -> Counter[bytes]:
        """Return how often each record is in the log of dead letters."""
        return Counter(json.loads(line)["payload"].encode() for line in _lines(self.dead_letters))

    def stored(self) -> int:
        """Return how many events and dead letters are in the logs."""
        return sum(1 for root in (self.files, self.dead_letters) for _ in _lines(root))

    def read(self) -> int:
        """Return how many records the current run has read, as its metrics say; 0 while it does not serve them."""
        return int(self.metric("read_total"))

    def metric(self, name: str) -> float:
        """Return a metric of the current run; 0 while it does not serve them, or has none of that name."""
        _, text = answer(self.metrics_port, "/metrics")
        figure = re.search(rf"^sluice_{name} (\S+)$", text, re.MULTILINE)
        return float(figure[1]) if figure is not None else 0.0

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Query the warehouse."""
        return self.warehouse.query(query)


def answer(port: int, path: str) -> tuple[int, str]:
    """Return status and text that a run serves at its metrics port; status 0 while it does not listen."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as served:
            return served.status, served.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def _lines(root: Path) -> Iterable[bytes]:
    for path in sorted(root.rglob("*.json")):
        if path.name != "_log.json" and not path.name.startswith("."):
            yield from path.read_bytes().splitlines()


def wait_until(
    condition: Callable[[], bool], run: SluiceProcess | None = None, seconds: float = STORED_SECONDS
) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: it does not hold within so many seconds, or the run that must bring it about has ended.

    """

    def holds() -> bool:
        if condition():
            return True
        assert run is None or run.process.poll() is None, run.output()[-_OUTPUT_CHARACTERS:]
        return False

    try:
        waiting.wait_until(holds, "what the job is to bring about", seconds, _LOOK_SECONDS)
    except ConditionTimeout as error:
        output = run.output()[-_OUTPUT_CHARACTERS:] if run is not None else ""
        message = f"{error}\n{output}"
        raise AssertionError(message) from error
