"""Real servers for live tests: on free loopback ports, ended exactly, and gone after a while in any case."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

TOOLS = Path(__file__).parents[2] / ".tools" / "bin"

KAFKA_JARS = TOOLS.parent / "kafka"

LIFETIME = 900
"""Seconds until a server ends by itself, should the tests that started it be killed."""

START_TIMEOUT = 60

_GUARD = "import subprocess, sys; subprocess.run(sys.argv[2:], timeout=float(sys.argv[1]), check=False)"


class ServerError(Exception):
    """A server did not start."""


def find_tool(name: str) -> str | None:
    """Path of an installed tool: from `.tools/bin`, beside this interpreter, or from PATH."""
    return shutil.which(
        name, path=os.pathsep.join([str(TOOLS), str(Path(sys.executable).parent), os.environ["PATH"]])
    )


def require(name: str) -> str:
    """Return the path of a tool; without it skip the test with the reason, or fail it in CI."""
    path = find_tool(name)
    if path is None:
        reason = f"{name} is not installed; `scripts/tools` installs it into .tools/bin"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def serving(command: Sequence[str], port: int) -> Iterator[None]:
    """Run a server that listens on a loopback port; end it and whatever it started when the block ends."""
    guarded = [sys.executable, "-c", _GUARD, str(LIFETIME), *command]
    with subprocess.Popen(
        guarded,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_until_listening(process, port, command[0])
            yield
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it ended by itself


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, name: str) -> None:
    for _ in range(START_TIMEOUT * 10):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            pass
        try:
            code = process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        message = f"{name}: ended with code {code} before it listened"
        raise ServerError(message)
    message = f"{name}: did not listen within {START_TIMEOUT} s"
    raise ServerError(message)


@contextmanager
def gcs(bucket: str) -> Iterator[dict[str, str]]:
    """Run the GCS emulator with one empty bucket; yield the environment that leads clients to it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        find_tool("fake-gcs-server") or "fake-gcs-server",
        "-scheme=http",
        "-host=127.0.0.1",
        f"-port={port}",
    ]
    command += [
        "-backend=memory",
        f"-external-url={url}",
        f"-public-host=127.0.0.1:{port}",
        "-log-level=error",
    ]
    with serving(command, port):
        body = f'{{"name": "{bucket}"}}'.encode()
        _request(Request(f"{url}/storage/v1/b?project=emulator", body, {"Content-Type": "application/json"}))
        yield {"STORAGE_EMULATOR_HOST": url}


@contextmanager
def s3(bucket: str) -> Iterator[dict[str, str]]:
    """Run the S3 emulator with one empty bucket; yield the environment that leads clients to it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serving([find_tool("moto_server") or "moto_server", "-H", "127.0.0.1", "-p", str(port)], port):
        _request(Request(f"{url}/{bucket}", method="PUT"))
        yield {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


def _request(request: Request) -> None:
    with urlopen(request, timeout=30) as response:
        response.read()


class Kafka:
    """A real broker of one node, at `bootstrap`; it can be killed and started again over the same data."""

    def __init__(self, folder: Path) -> None:
        """Keep data and settings in `folder`."""
        port, controller = _lasting_port(), _lasting_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self._port = port
        self._settings = folder / "server.properties"
        self._running = ExitStack()
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": folder / "data",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "log.retention.ms": -1,
            "message.max.bytes": 20_000_000,
            # So that a broker that was killed is taken back after 6 s rather than 16.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 500,
            # So that tests see segments deleted, and compacted, within seconds.
            "log.retention.check.interval.ms": 500,
            "log.segment.delete.delay.ms": 0,
        }
        self._settings.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        tool = ["kafka.tools.StorageTool", "format", "-t", "c2x1aWNlLXRlc3RzLTAwMQ", "-c", self._settings]
        subprocess.run([*_java(256), *map(str, tool)], check=True, capture_output=True, timeout=START_TIMEOUT)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._running.enter_context(serving([*_java(384), "kafka.Kafka", str(self._settings)], self._port))
        self._wait_until_answering()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._running.close()

    def _wait_until_answering(self) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for _ in range(START_TIMEOUT):
            try:
                if client.list_topics(timeout=1).brokers:
                    return
            except KafkaException:
                pass  # it listens, but does not know itself yet
        message = f"kafka: did not answer within {START_TIMEOUT} s"
        raise ServerError(message)


def _lasting_port() -> int:
    """Return a free loopback port that stays free while its server is away.

    It is below those that kernels take for outgoing connections: a client that tries to reach its server again and
    again would take it some day, and be connected with itself.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    message = "expected a free port from 20000 to 32000, got none"
    raise ServerError(message)


def _java(megabytes: int) -> list[str]:
    return ["java", f"-Xmx{megabytes}m", "-cp", f"{KAFKA_JARS}/*"]


@contextmanager
def kafka(folder: Path) -> Iterator[Kafka]:
    """Run a Kafka broker whose data lie in `folder`; without its jars or Java skip the test, or fail it in CI."""
    require("java")
    if not any(KAFKA_JARS.glob("kafka-clients-*.jar")):
        require("kafka")
    broker = Kafka(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()
