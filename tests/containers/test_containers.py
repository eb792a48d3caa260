"""`scripts/containers` and `scripts/image`: images are built, compose.yaml runs twice, a Dataflow job is launched."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devservers import prism
from devservers.errors import MissingTool
from devservers.ports import free_port
from devservers.tools import ROOT

PASSWORD = "p4 $s'%41-never-in-argv"
CONTEXT = (
    "pipeline",
    "schemas",
    "jobs",
    "monitors",
    "dbt",
    "orchestration",
    "examples",
    "deploy",
    "tools",
    "scripts",
)
STEPS = ("ingest", "dbt", "metrics")
RECONCILED = "reconciled: read = accepted + duplicates + rejected, accepted = loaded + load_rejected"
ROWS = {"users": 70, "documents": 136, "events": 3302}


class Stack:
    """A checkout with a `.env` of its own, and the services that run from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = f"sluice{free_port()}"
        for name in CONTEXT:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.iterdir():
            if path.is_file() and path.name != ".env":
                shutil.copy2(path, folder)
        (ROOT / ".tools").mkdir(exist_ok=True)
        (folder / ".tools").symlink_to(ROOT / ".tools")
        quoted = PASSWORD.replace("'", "\\'")
        (folder / ".env").write_text(f"POSTGRES_PASSWORD='{quoted}'\nPOSTGRES_PORT={free_port()}\n")

    def script(self, *arguments: str, code: int = 0) -> str:
        """Run scripts/containers; return its output."""
        done = subprocess.run(
            [str(self.folder / "scripts/containers"), *arguments],
            env={**os.environ, "COMPOSE_PROJECT_NAME": self.project},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return service -> what the engine knows of its container."""
        label = f"label=com.docker.compose.project={self.project}"
        names = self.script("engine", "ps", "--all", "--quiet", "--filter", label).split()
        known = json.loads(self.script("engine", "inspect", *names))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in known}

    def psql(self, query: str) -> str:
        """Return the answer of the database."""
        name = self.containers()["postgres"]["Id"]
        command = [
            "psql",
            "--username=sluice",
            "--dbname=docs",
            "--tuples-only",
            "--no-align",
            "--command",
            query,
        ]
        return self.script("engine", "exec", name, *command).strip()

    def files(self) -> dict[str, bytes]:
        """Return the exported tables."""
        return {path.name: path.read_bytes() for path in (self.folder / "out/containers").glob("*.csv")}

    def report(self) -> dict[str, Any]:
        """Return the report of the last run."""
        figures: dict[str, Any] = json.loads((self.folder / "out/containers/report.json").read_text())
        return figures

    def versions(self) -> str:
        """Return which transaction wrote each row of the tables."""
        tables = ("users", "documents", "events", "sessions")
        rows = " union all ".join(f"select '{name}', ctid::text, xmin::text from {name}" for name in tables)
        return self.psql(f"select * from ({rows}) as rows order by 1, 2")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("checkout"))
    require_engine(stack)
    try:
        stack.script()
        yield stack
    finally:
        stack.script("compose", "down", "--volumes")


def require_engine(stack: Stack) -> None:
    """Skip where containers do not run.

    Raises:
        MissingTool: neither Docker nor podman is installed, or the base images are not there.

    """
    lacking = "containers cannot run here: `scripts/tools containers` installs podman, as root on Debian 12"
    try:
        stack.script("engine", "info")
        stack.script("compose", "version")
    except AssertionError:
        raise MissingTool(lacking) from None


@pytest.mark.long
@pytest.mark.timeout(1800)
class TestContainers:
    def test_second_run_changes_nothing(self, stack: Stack, tmp_path: Path) -> None:
        assert {name: stack.psql(f"select count(*) from {name}") for name in ROWS} == {
            name: str(rows) for name, rows in ROWS.items()
        }
        ledger = {"read": 3398, "accepted": 3302, "repeated": 56, "rejected": 40, "new_events": 3302}
        assert {name: stack.report()[name] for name in ledger} == ledger
        files, versions = stack.files(), stack.versions()
        assert len(files) == 9
        compare_with_the_script(files, tmp_path)

        stack.script()
        assert stack.report()["new_events"] == 0
        assert stack.files() == files
        assert stack.versions() == versions

    def test_processes_do_not_run_as_root(self, stack: Stack) -> None:
        containers = stack.containers()
        assert containers.keys() == {"postgres", "out", *STEPS}
        for service in STEPS:
            image = json.loads(stack.script("engine", "image", "inspect", containers[service]["Image"]))
            assert image[0]["Config"]["User"] == "10001"
            assert containers[service]["Config"]["User"] in ("", "10001")
        status = stack.script("engine", "exec", containers["postgres"]["Id"], "cat", "/proc/1/status")
        (uids,) = (line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
        assert "0" not in uids
        owners = {path.stat().st_uid for path in (stack.folder / "out/containers").iterdir()}
        assert owners == {10001}

    def test_password_is_in_no_image_and_on_no_command_line(self, stack: Stack) -> None:
        for service, container in stack.containers().items():
            commands = [container["Path"], container["Args"], container["Config"]["Cmd"]]
            assert PASSWORD not in json.dumps([*commands, container["Config"].get("Entrypoint")]), service
            image = stack.script("engine", "image", "inspect", container["Image"])
            assert PASSWORD not in image.encode().decode("unicode_escape"), service
            history = stack.script("engine", "history", "--no-trunc", container["Image"])
            assert PASSWORD not in history, service
            assert PASSWORD not in stack.script("engine", "logs", container["Id"]), service

    def test_health_check_tells_whether_the_database_answers(self, stack: Stack) -> None:
        container = stack.containers()["postgres"]
        check = container["Config"]["Healthcheck"]["Test"][1]
        assert stack.script("engine", "exec", container["Id"], "sh", "-c", check) == ""
        stack.script(
            "engine", "exec", "--env=POSTGRES_USER=", container["Id"], "sh", "-c", "pg_isready -p 1", code=2
        )


def compare_with_the_script(files: dict[str, bytes], folder: Path) -> None:
    """The figures are those of scripts/collaboration; in SQLite, averages differ in their last digits."""
    command = [sys.executable, str(ROOT / "examples/collaboration/pipeline.py")]
    command += [f"--source={ROOT}/examples/collaboration/events", f"--warehouse=sqlite:///{folder}/w.db"]
    command += [f"--out={folder}/out"]
    subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, timeout=300
    )
    assert {path.name for path in (folder / "out").glob("*.csv")} == files.keys()
    for name, content in files.items():
        expected = cells((folder / "out" / name).read_bytes())
        pairs = zip(cells(content), expected, strict=True)
        assert [(name, cell, other) for cell, other in pairs if not is_equal(cell, other)] == []


def cells(content: bytes) -> list[str]:
    """Return the cells of a CSV file, row after row; each row begins with a line end."""
    return [cell for row in csv.reader(content.decode().splitlines()) for cell in ("\n", *row)]


def is_equal(cell: str, other: str) -> bool:
    if cell == other:
        return True
    numbers = re.compile(r"\d+\.\d+ \d+\.\d+").fullmatch(f"{cell} {other}")
    return numbers is not None and math.isclose(float(cell), float(other), rel_tol=1e-12)


LAUNCHER = "/opt/google/dataflow/python_template_launcher"
LOCKED = re.compile(r"^([a-z0-9-]+)(?:\[.*\])?==(\S+)", re.MULTILINE)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_image_of_dataflow_launches_a_job_and_does_its_work(stack: Stack, tmp_path: Path) -> None:
    """Beam's boot program works in one container, and the launcher of the template in another, with Prism between."""
    done = subprocess.run(
        [str(stack.folder / "scripts/image")],
        env={**os.environ, "VERSION": stack.project},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert RECONCILED in done.stdout
    bill = json.loads((stack.folder / f"out/sluice-{stack.project}.cdx.json").read_text())
    installed = {(each["name"].lower().replace("_", "-"), each["version"]) for each in bill["components"]}
    locked = set(LOCKED.findall((ROOT / "requirements-runtime.lock").read_text("utf-8")))
    assert {("apache-beam", "2.77.0"), ("msgspec", dict(locked)["msgspec"])} <= installed
    assert not {name for name, _ in installed} & {"pytest", "mypy", "ruff", "moto"}

    image = f"sluice:{stack.project}"
    mounts = ["--network=host", f"--volume={tmp_path}:/data", f"--volume={ROOT}/examples:/examples:ro"]
    worker = stack.script("engine", "run", "--detach", *mounts, image, "--worker_pool").strip()
    try:
        with prism.start() as server:
            said = stack.script(
                *("engine", "run", "--rm", *mounts, f"--entrypoint={LAUNCHER}", image),
                *("--source=/examples/backend_events/history/*", "--files=/data/output", "--route_by="),
                *("--dead_letters=/data/dead_letters", "--warehouse=duckdb:////data/warehouse.duckdb"),
                *(
                    "--runner=PortableRunner",
                    f"--job_endpoint={server.endpoint}",
                    "--temp_location=/data/temp",
                ),
                *("--environment_type=EXTERNAL", "--environment_config=localhost:50000"),
            )
    finally:
        stack.script("engine", "rm", "--force", worker)
        stack.script("engine", "rmi", "--force", image)
    assert RECONCILED in said
    stored = [path for path in tmp_path.glob("output/*/**/*.json") if not path.name.startswith("_")]
    assert sum(path.read_bytes().count(b"\n") for path in stored) == 3950
