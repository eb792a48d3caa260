"""Apache Flink as a user has it: JobManager, TaskManagers, Beam's job server, and a pool of Python workers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from devservers.ports import free_port
from devservers.process import JAVA, LIFETIME, PROGRAMS, ServerProcess, serving
from devservers.tools import require_path, require_program
from devservers.waiting import wait_until

PARALLELISM = 2

_JOB_SECONDS = 180.0
"""Until a submitted job runs: the job server takes a while to translate it and to send its own jar."""

_LOOK_SECONDS = 0.2

_OPEN_PACKAGES = (
    "java.base/java.lang", "java.base/java.lang.invoke", "java.base/java.lang.reflect", "java.base/java.net",
    "java.base/java.io", "java.base/java.nio", "java.base/java.text", "java.base/java.time",
    "java.base/java.util", "java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks", "java.base/sun.net.util", "java.base/sun.nio.ch",
)  # fmt: skip
"""What Flink's own scripts open to it on Java 17."""

_LOG4J = """
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = file
appender.file.name = file
appender.file.type = File
appender.file.fileName = ${sys:log.file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c - %m%n
"""

_JAVA_LOGGING = """
handlers = java.util.logging.FileHandler
java.util.logging.FileHandler.pattern = {folder}/logs/jobserver.log
java.util.logging.FileHandler.formatter = java.util.logging.SimpleFormatter
"""

_SETTINGS = {
    "jobmanager.rpc.address": "127.0.0.1",
    "rest.address": "127.0.0.1",
    "rest.bind-address": "127.0.0.1",
    "taskmanager.host": "127.0.0.1",
    "taskmanager.numberOfTaskSlots": PARALLELISM,
    "taskmanager.cpu.cores": PARALLELISM,
    # All of them: Flink's scripts work out what is missing, and they are not used here.
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.heap.size": "384m",
    "taskmanager.memory.task.off-heap.size": "0m",
    "taskmanager.memory.managed.size": "64m",
    "taskmanager.memory.network.min": "128m",
    "taskmanager.memory.network.max": "128m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
    # Both TaskManagers have work, whichever is killed.
    "cluster.evenly-spread-out-slots": "true",
    # The loss of one that was killed is noticed after seconds rather than a minute.
    "heartbeat.interval": 1000,
    "heartbeat.timeout": 10000,
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 20,
    "restart-strategy.fixed-delay.delay": "1 s",
}


class FlinkCluster:
    """A cluster whose TaskManagers can be killed and started; each has two slots, so one alone can run a job."""

    def __init__(self, folder: Path, lifetime: float) -> None:
        """Keep settings, checkpoints and logs in `folder`."""
        self.folder = folder
        self._lifetime = lifetime
        self._rest, self._job_service, self._workers = free_port(), free_port(), free_port()
        self._running = ExitStack()
        self._task_managers: list[ServerProcess] = []
        self._started = 0
        settings = _SETTINGS | {
            "jobmanager.rpc.port": free_port(),
            "rest.port": self._rest,
            "state.checkpoints.dir": f"file://{folder}/checkpoints",
            "state.savepoints.dir": f"file://{folder}/savepoints",
            "io.tmp.dirs": folder / "tmp",
        }
        for name in ("tmp", "artifacts", "logs"):
            (folder / name).mkdir()
        (folder / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
        (folder / "log4j.properties").write_text(_LOG4J)
        (folder / "logging.properties").write_text(_JAVA_LOGGING.format(folder=folder))

    def start(self) -> None:
        """Start everything, with two TaskManagers."""
        main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
        self._serve(self._flink("jobmanager", 384, main), self._rest)
        for _ in range(2):
            self.start_task_manager()
        jar = require_path("flink-job-server/target/job-server.jar")
        job_server = [
            *(*JAVA, "-Xmx384m", f"-Djava.util.logging.config.file={self.folder}/logging.properties"),
            *("-jar", str(jar), f"--flink-master=http://127.0.0.1:{self._rest}"),
            *("--job-host=127.0.0.1", f"--job-port={self._job_service}", "--artifact-port=0"),
            *("--expansion-port=0", f"--artifacts-dir={self.folder}/artifacts"),
        ]
        self._serve(job_server, self._job_service)
        # The pool starts its workers as `python`, the first on PATH.
        path = f"PATH={Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        pool = ["env", path, sys.executable, str(PROGRAMS / "beam_worker_pool.py")]
        self._serve([*pool, f"--service_port={self._workers}"], self._workers)

    def _serve(self, command: list[str], port: int) -> None:
        self._running.enter_context(serving(command, port, self._lifetime))

    def stop(self) -> None:
        """End everything at once."""
        while self._task_managers:
            self.kill_task_manager()
        self._running.close()

    def start_task_manager(self) -> None:
        """Start one more, and wait until it has registered with the JobManager."""
        self._started += 1
        port = free_port()
        main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        command = self._flink(f"taskmanager{self._started}", 640, main, "-D", f"taskmanager.rpc.port={port}")
        process = ServerProcess(command, port, self._lifetime)
        process.start()
        self._task_managers.append(process)

        def is_registered() -> bool:
            managers = self.request("taskmanagers")["taskmanagers"]
            return any(f":{port}/" in manager["path"] for manager in managers)

        wait_until(is_registered, f"flink registers TaskManager {self._started}", interval=_LOOK_SECONDS)

    def kill_task_manager(self) -> None:
        """Kill the oldest one with SIGKILL."""
        self._task_managers.pop(0).kill()

    def options(self) -> list[str]:
        """Return Beam's options that send a job here."""
        return [
            "--runner=PortableRunner", f"--job_endpoint=127.0.0.1:{self._job_service}",
            "--environment_type=EXTERNAL", f"--environment_config=127.0.0.1:{self._workers}",
            f"--parallelism={PARALLELISM}", f"--temp_location={self.folder}/temp",
        ]  # fmt: skip

    def request(self, path: str, method: str = "GET", body: object = None) -> Any:
        """Return the answer of the JobManager's REST API."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{self._rest}/{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def job(self) -> str:
        """Return the id of the one job that runs, once the job server has submitted it."""
        wait_until(lambda: bool(self._running_jobs()), "flink runs a job", _JOB_SECONDS, _LOOK_SECONDS)
        (job,) = self._running_jobs()
        return job

    def _running_jobs(self) -> list[str]:
        return [job["id"] for job in self.request("jobs")["jobs"] if job["status"] == "RUNNING"]

    def cancel(self, job: str) -> None:
        """End a job at once, and wait until it has ended."""
        self.request(f"jobs/{job}", "PATCH")
        wait_until(
            lambda: bool(self.request(f"jobs/{job}")["state"] == "CANCELED"),
            f"flink cancels {job}",
            interval=_LOOK_SECONDS,
        )

    def checkpoints(self, job: str) -> dict[str, int]:
        """Return how many checkpoints a job has completed, and how often it was `restored` from one."""
        counts: dict[str, int] = self.request(f"jobs/{job}/checkpoints")["counts"]
        return counts

    def received(self, job: str, step: str) -> int:
        """Return how many elements have come to the steps of a job whose names contain `step`."""
        vertices = self.request(f"jobs/{job}")["vertices"]
        return sum(vertex["metrics"]["read-records"] for vertex in vertices if step in vertex["name"])

    def _flink(self, name: str, megabytes: int, main: str, *arguments: str) -> list[str]:
        jars = next((require_path("flink") / "lib").glob("python*/site-packages/pyflink/lib"))
        opens = [f"--add-opens={package}=ALL-UNNAMED" for package in _OPEN_PACKAGES]
        logging = [
            f"-Dlog.file={self.folder}/logs/{name}.log",
            f"-Dlog4j.configurationFile=file:{self.folder}/log4j.properties",
        ]
        java = [*JAVA, f"-Xmx{megabytes}m", *opens, *logging, "-cp", f"{jars}/*", main]
        return [*java, "--configDir", str(self.folder), *arguments]


@contextmanager
def start(folder: Path, lifetime: float = LIFETIME) -> Iterator[FlinkCluster]:
    """Run a cluster that keeps its files in `folder`, at most `lifetime` seconds."""
    require_program("java")
    require_path("flink")
    require_path("flink-job-server/target/job-server.jar")
    cluster = FlinkCluster(folder, lifetime)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
