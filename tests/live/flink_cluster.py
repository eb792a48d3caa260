"""A Flink cluster as a user has one: a JobManager, TaskManagers, Beam's job server, and a pool of Python workers."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.live.servers import START_TIMEOUT, ServerError, free_port, require, require_tool, serving

_OPEN = (
    "java.base/java.lang", "java.base/java.lang.invoke", "java.base/java.lang.reflect", "java.base/java.net",
    "java.base/java.io", "java.base/java.nio", "java.base/java.text", "java.base/java.time",
    "java.base/java.util", "java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks", "java.base/sun.net.util", "java.base/sun.nio.ch",
)  # fmt: skip
"""What Flink's own scripts open to it on Java 17."""

_LOGGING = """
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = file
appender.file.name = file
appender.file.type = File
appender.file.fileName = ${sys:log.file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c - %m%n
"""

_JOB_SERVER_LOGGING = """
handlers = java.util.logging.FileHandler
java.util.logging.FileHandler.pattern = {folder}/logs/jobserver.log
java.util.logging.FileHandler.formatter = java.util.logging.SimpleFormatter
"""

_JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Start soon, on few cores."""

_POOL = """
import sys
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker import worker_pool_main
class Pool(worker_pool_main.BeamFnExternalWorkerPoolServicer):
    def StopWorker(self, request, context):
        return beam_fn_api_pb2.StopWorkerResponse()
worker_pool_main.BeamFnExternalWorkerPoolServicer = Pool
worker_pool_main.main(sys.argv[1:])
"""
"""A pool for several TaskManagers. They count their workers alike, so Beam's own would end the worker of another one;
a worker ends by itself when its TaskManager lets go of it."""

PARALLELISM = 2

_JOB_SECONDS = 180
"""Until a job that was submitted runs: the job server takes a while to translate it and to send its own jar."""


class FlinkCluster:
    """A cluster whose TaskManagers can be killed and started; each has two slots, so one alone can run a job."""

    def __init__(self, folder: Path) -> None:
        """Keep settings, checkpoints and logs in `folder`."""
        self.folder = folder
        self._rest, self._job_service, self._workers = free_port(), free_port(), free_port()
        self._running = ExitStack()
        self._task_managers: list[ExitStack] = []
        self._started = 0
        settings = {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": free_port(),
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": self._rest,
            "taskmanager.host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": PARALLELISM,
            "taskmanager.cpu.cores": PARALLELISM,
            # All of them: Flink's scripts work the rest out, and they are not used here.
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
            # So that both TaskManagers have work, whichever is killed.
            "cluster.evenly-spread-out-slots": "true",
            # So that a killed one is missed after seconds rather than a minute.
            "heartbeat.interval": 1000,
            "heartbeat.timeout": 10000,
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 20,
            "restart-strategy.fixed-delay.delay": "1 s",
            "state.checkpoints.dir": f"file://{folder}/checkpoints",
            "state.savepoints.dir": f"file://{folder}/savepoints",
            "io.tmp.dirs": folder / "tmp",
        }
        for name in ("tmp", "artifacts", "logs"):
            (folder / name).mkdir()
        (folder / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
        (folder / "log4j.properties").write_text(_LOGGING)
        (folder / "logging.properties").write_text(_JOB_SERVER_LOGGING.format(folder=folder))

    def start(self) -> None:
        """Start everything, with two TaskManagers."""
        main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
        self._running.enter_context(serving(self._flink("jobmanager", 384, main), self._rest))
        for _ in range(2):
            self.start_task_manager()
        jar = require_tool("flink-job-server/target/job-server.jar")
        job_server = [
            *(*_JAVA, "-Xmx384m", f"-Djava.util.logging.config.file={self.folder}/logging.properties"),
            *("-jar", str(jar), f"--flink-master=http://127.0.0.1:{self._rest}"),
            *("--job-host=127.0.0.1", f"--job-port={self._job_service}", "--artifact-port=0"),
            *("--expansion-port=0", f"--artifacts-dir={self.folder}/artifacts"),
        ]
        self._running.enter_context(serving(job_server, self._job_service))
        # The pool starts its workers as `python`, whichever is first on PATH.
        path = f"PATH={Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        pool = ["env", path, sys.executable, "-c", _POOL]
        self._running.enter_context(serving([*pool, f"--service_port={self._workers}"], self._workers))

    def stop(self) -> None:
        """End everything at once."""
        while self._task_managers:
            self.kill_task_manager()
        self._running.close()

    def start_task_manager(self) -> None:
        """Start one more, and wait until the JobManager knows it."""
        self._started += 1
        port = free_port()
        main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        command = self._flink(f"taskmanager{self._started}", 640, main, "-D", f"taskmanager.rpc.port={port}")
        running = ExitStack()
        running.enter_context(serving(command, port))
        self._task_managers.append(running)
        for _ in range(START_TIMEOUT * 5):
            if any(each["path"].find(f":{port}/") > 0 for each in self.ask("taskmanagers")["taskmanagers"]):
                return
            time.sleep(0.2)
        message = f"flink: TaskManager {self._started} did not register within {START_TIMEOUT} s"
        raise ServerError(message)

    def kill_task_manager(self) -> None:
        """Kill the oldest one with SIGKILL."""
        self._task_managers.pop(0).close()

    def options(self) -> list[str]:
        """Return what sends a job here."""
        return [
            "--runner=PortableRunner", f"--job_endpoint=127.0.0.1:{self._job_service}",
            "--environment_type=EXTERNAL", f"--environment_config=127.0.0.1:{self._workers}",
            f"--parallelism={PARALLELISM}", f"--temp_location={self.folder}/temp",
        ]  # fmt: skip

    def ask(self, path: str, method: str = "GET", body: object = None) -> Any:
        """Return the answer of the JobManager's REST API."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{self._rest}/{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def job(self) -> str:
        """Return the id of the one job that runs; the job server takes a while to hand over what it was given."""
        for _ in range(_JOB_SECONDS * 5):
            found = [each["id"] for each in self.ask("jobs")["jobs"] if each["status"] == "RUNNING"]
            if found:
                (job,) = found
                return str(job)
            time.sleep(0.2)
        message = f"flink: no job ran within {_JOB_SECONDS} s"
        raise ServerError(message)

    def cancel(self, job: str) -> None:
        """End a job at once, and wait until it has."""
        self.ask(f"jobs/{job}", "PATCH")
        for _ in range(START_TIMEOUT * 5):
            if self.ask(f"jobs/{job}")["state"] == "CANCELED":
                return
            time.sleep(0.2)
        message = f"flink: {job} was not cancelled within {START_TIMEOUT} s"
        raise ServerError(message)

    def checkpoints(self, job: str) -> dict[str, int]:
        """Return how many checkpoints a job has completed, and how often it was `restored` from one."""
        counts: dict[str, int] = self.ask(f"jobs/{job}/checkpoints")["counts"]
        return counts

    def received(self, job: str, step: str) -> int:
        """Return how many elements have come to the steps of a job whose names hold `step`."""
        vertices = self.ask(f"jobs/{job}")["vertices"]
        return sum(each["metrics"]["read-records"] for each in vertices if step in each["name"])

    def _flink(self, name: str, megabytes: int, main: str, *arguments: str) -> list[str]:
        jars = next((require_tool("flink") / "lib").glob("python*/site-packages/pyflink/lib"))
        opened = [f"--add-opens={each}=ALL-UNNAMED" for each in _OPEN]
        logging = [
            f"-Dlog.file={self.folder}/logs/{name}.log",
            f"-Dlog4j.configurationFile=file:{self.folder}/log4j.properties",
        ]
        java = [*_JAVA, f"-Xmx{megabytes}m", *opened, *logging, "-cp", f"{jars}/*", main]
        return [*java, "--configDir", str(self.folder), *arguments]


@contextmanager
def flink(folder: Path) -> Iterator[FlinkCluster]:
    """Run a cluster that keeps its files in `folder`; without its jars or Java skip the test, or fail it in CI."""
    require("java")
    require_tool("flink")
    require_tool("flink-job-server/target/job-server.jar")
    cluster = FlinkCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
