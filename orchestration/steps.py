"""The steps of the use cases as commands, which Airflow and Prefect start one after the other.

Each is the script of the use case with `--only`, so a scheduler does what the script does. Only the standard library is
imported here: schedulers have environments of their own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv/bin/python"

COLLABORATION = ("ingest", "build", "check", "export")
"""Steps of scripts/collaboration, in their order."""

AUDIT = ("ingest", "dbt", "spark", "compare")
"""Steps of scripts/audit, in their order; `dbt` and `spark` do not need each other."""

MONITORS = ("collaboration", "audit")
"""Monitors of these use cases, each a schedule of its own: files in monitors/."""

_FOUND = 1
"""Exit code of `sluice monitor` when it found something. Its channels tell that: the step has done its work."""

SECONDS_TO_END = 30
"""How long a step may take to end after SIGTERM, before it is killed."""

_SCHEDULERS = ("AIRFLOW_", "PREFECT_")
"""How the variables of schedulers begin: their keys and connections are no business of a step."""


class StepError(Exception):
    """A step failed; the text says which, and its exit code. What went wrong is in what the step printed."""


@dataclass
class Step:
    """One step of a use case: a process that ends with a code of `done`, and that can be run again."""

    name: str
    command: Sequence[str]
    done: Collection[int] = (0,)
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    def run(self, credentials: Mapping[str, str] | None = None) -> None:
        """Run the step to its end, and print what it prints, for the scheduler's log.

        Credentials are variables of its environment: unlike its arguments, other users cannot see these.

        Raises:
            StepError: it ended with another exit code than those of `done`.

        """
        own = {name: value for name, value in os.environ.items() if not name.startswith(_SCHEDULERS)}
        print(f"step {self.name} begins", flush=True)
        self._process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env={**own, **(credentials or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # so that signals reach the processes that the step has started
        )
        with self._process as process:
            try:
                for line in process.stdout or ():
                    print(line, end="", flush=True)
                code = process.wait()
            except BaseException:  # the scheduler interrupts it, or its time is over
                self._end()
                raise
        if code not in self.done:
            message = f"step {self.name} ended with exit code {code}; its output says why"
            raise StepError(message)

    def terminate(self) -> None:
        """Ask the step and the processes that it has started to end; safe in a signal handler."""
        if self._process is not None:
            self._signal(signal.SIGTERM)

    def _end(self) -> None:
        """End the step and the processes that it has started, and wait until they have ended."""
        self.terminate()
        deadline = time.monotonic() + SECONDS_TO_END
        while self._signal(0) and time.monotonic() < deadline:
            time.sleep(0.05)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> bool:
        """Send a signal to the processes of the step; tell whether there are any."""
        assert self._process is not None
        self._process.poll()
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True


def collaboration(step: str, source: str, warehouse: str, out: str) -> Step:
    """Return a step of scripts/collaboration.

    Raises:
        ValueError: the address of the warehouse holds a password. Schedulers show and store it.

    """
    _check_warehouse(warehouse)
    command = [str(PYTHON), "-m", "examples.collaboration.pipeline", f"--only={step}"]
    return Step(step, [*command, f"--source={source}", f"--warehouse={warehouse}", f"--out={out}"])


def monitor(step: str, warehouse: str, out: str) -> Step:
    """Return the step that judges all days until yesterday by the monitor of a use case, `step`.

    Today is not over: its figures would be low.

    Raises:
        ValueError: the address of the warehouse holds a password, as of `collaboration`.

    """
    _check_warehouse(warehouse)
    command = [str(PYTHON), "-m", "sluice", "monitor", f"monitors/{step}.yaml", "--as-of=yesterday"]
    files = [f"--out={out}", f"--html={out}/monitor.html", f"--state={out}/state"]
    return Step(step, [*command, f"--warehouse={warehouse}", *files], done=(0, _FOUND))


def _check_warehouse(warehouse: str) -> None:
    address = urlsplit(warehouse)
    if address.password is not None or "password" in parse_qs(address.query, keep_blank_values=True):
        message = "warehouse: expected an address without password, got one with it; "
        message += "give it as PGPASSWORD, or in a connection of the scheduler"
        raise ValueError(message)


def audit(step: str, data: str, out: str) -> Step:
    """Return a step of scripts/audit."""
    command = [str(PYTHON), "-m", "orchestration.audit.run", f"--only={step}"]
    return Step(step, [*command, f"--data={data}", f"--out={out}"])


def setting(name: str, default: str) -> str:
    """Return what the environment of the scheduler says about a parameter, such as SLUICE_COLLABORATION_SOURCE."""
    return os.environ.get(f"SLUICE_{name}", default)


def collaboration_settings() -> dict[str, str]:
    """Return the parameters of `collaboration`; by default, the sample and the embedded warehouse."""
    return {
        "source": setting("COLLABORATION_SOURCE", "examples/collaboration/events"),
        "warehouse": setting("COLLABORATION_WAREHOUSE", "duckdb:///out/collaboration/warehouse.duckdb"),
        "out": setting("COLLABORATION_OUT", "out/collaboration/metrics"),
    }


def audit_settings() -> dict[str, str]:
    """Return the parameters of `audit`; by default, the sample."""
    return {"data": setting("AUDIT_DATA", "examples/audit/data"), "out": setting("AUDIT_OUT", "out/audit")}


def monitor_settings(name: str) -> dict[str, str]:
    """Return the parameters of `monitor`: by default, the warehouse of the use case."""
    warehouses = {
        "collaboration": collaboration_settings()["warehouse"],
        "audit": f"duckdb:///{audit_settings()['out']}/warehouse.duckdb",
    }
    return {
        "warehouse": setting(f"MONITOR_{name.upper()}_WAREHOUSE", warehouses[name]),
        "out": setting(f"MONITOR_{name.upper()}_OUT", f"out/monitors/{name}"),
    }
