"""Real servers for live tests: on free loopback ports, ended exactly, and gone after a while in any case."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import Request, urlopen

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from sluice.runtime.prism import prism

TOOLS = Path(__file__).parents[2] / ".tools" / "bin"

KAFKA_JARS = TOOLS.parent / "kafka"

LIFETIME = 1800
"""Seconds until a server ends by itself, should the tests that started it be killed."""

START_TIMEOUT = 120

_GUARD = "import subprocess, sys; subprocess.run(sys.argv[2:], timeout=float(sys.argv[1]), check=False)"


class ServerError(Exception):
    """A server did not start."""


_POSTGRES = "/usr/lib/postgresql/*/bin"
"""Where Debian keeps PostgreSQL's programs: not on PATH."""


def find_tool(name: str) -> str | None:
    """Path of an installed tool: from `.tools/bin`, beside this interpreter, from PATH, or PostgreSQL's own."""
    places = [str(TOOLS), str(Path(sys.executable).parent), os.environ["PATH"]]
    return shutil.which(name, path=os.pathsep.join([*places, *sorted(glob(_POSTGRES), reverse=True)]))


def require(name: str) -> str:
    """Return the path of a tool; without it skip the test with the reason, or fail it in CI."""
    path = find_tool(name)
    if path is None:
        reason = f"{name} is not installed; `scripts/tools` installs it into .tools/bin"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def require_tool(path: str) -> Path:
    """Return a program of a tool that has a folder of its own in `.tools`; without it do as `require` does."""
    found = TOOLS.parent / path
    return found if found.exists() else Path(require(path))


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def prism_options() -> Iterator[list[str]]:
    """Run Prism; yield the options with which a pipeline runs on it, in threads of this process."""
    with prism(PipelineOptions([f"--prism_location={require('prism')}"])) as running:
        yield ["--runner=PrismRunner", f"--job_endpoint={running.endpoint}"]


@contextmanager
def serving(command: Sequence[str], port: int) -> Iterator[int]:
    """Run a server that listens on a loopback port; end it and whatever it started when the block ends.

    Yields the id of its process group.
    """
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
            yield process.pid
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


@contextmanager
def bigquery(folder: Path) -> Iterator[dict[str, str]]:
    """Run the BigQuery emulator with its data in `folder`; yield the environment that leads clients to it.

    It knows the project `emulator`. DuckDB, its engine, looks for extensions in the home of its user only.
    """
    python = require_tool("bigquery/bin/python")
    subprocess.run([str(python), "-c", _LINK_EXTENSIONS, str(folder)], check=True)
    port, appends = free_port(), free_port()
    command = ["env", f"HOME={folder}", str(python), "-c", _ATOMIC, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--grpc-port", str(appends), "--project", "emulator"]
    with serving([*command, "--data-dir", str(folder / "data"), "serve"], port):
        yield {
            "BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{port}",
            "BIGQUERY_STORAGE_EMULATOR_HOST": f"127.0.0.1:{appends}",
        }


_LINK_EXTENSIONS = """
import duckdb, pathlib, sys, sysconfig
(platform,) = duckdb.sql("PRAGMA platform").fetchone()
place = pathlib.Path(sys.argv[1], ".duckdb", "extensions", f"v{duckdb.__version__}", platform)
place.mkdir(parents=True, exist_ok=True)
for each in pathlib.Path(sysconfig.get_path("purelib")).glob("duckdb_extension_*/extensions/*/*.duckdb_extension"):
    (place / each.name).symlink_to(each)
"""


_ATOMIC = """
import functools, threading
from local_bigquery import cli
from local_bigquery.catalog import datasets, tables
from local_bigquery.jobs import runner
lock = threading.RLock()
def alone(function):
    @functools.wraps(function)
    def locked(*arguments, **named):
        with lock:
            return function(*arguments, **named)
    return locked
for module, names in ((runner, ["submit"]), (tables, ["create", "get"]), (datasets, ["create", "get"])):
    for name in names:
        setattr(module, name, alone(getattr(module, name)))
cli.main()
"""
"""The emulator looks for a job, table or dataset and then makes one; BigQuery does both at once, and so does this."""


@contextmanager
def snowflake() -> Iterator[dict[str, str]]:
    """Run the Snowflake emulator; yield the settings of a URL that lead clients to it."""
    port = free_port()
    python = require_tool("snowflake/bin/python")
    with serving([str(python), "-c", _SNOWFLAKE, str(port)], port):
        yield {"host": "127.0.0.1", "port": str(port), "protocol": "http"}


_SNOWFLAKE = """
import sys
import duckdb, fakesnow.server, uvicorn
from fakesnow import info_schema, transforms
from fakesnow.cursor import FakeSnowflakeCursor
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

server = sys.modules["fakesnow.server"]

def answered(content, _plain=server.JSONResponse, **named):
    # What the connector expects since its version 5.
    data = content.get("data")
    if isinstance(data, dict) and "token" in data:
        data |= {"sessionId": 1, "masterToken": "m", "validityInSeconds": 3600, "masterValidityInSeconds": 14400}
    if isinstance(data, dict) and "stageInfo" in data:
        data["stageInfo"] |= {"region": "none", "isClientSideEncrypted": False}
        data |= {"encryptionMaterial": [], "overwrite": True}
    return _plain(content, **named)

def executed(cursor, *arguments, _execute=FakeSnowflakeCursor.execute, **named):
    # Two writers of one row are an error of DuckDB's where Snowflake lets the second wait.
    try:
        return _execute(cursor, *arguments, **named)
    except (duckdb.ConstraintException, duckdb.TransactionException) as error:
        number, state = (100072, "22000") if "NOT NULL" in str(error) else (625, "57014")
        raise ProgrammingError(msg=str(error), errno=number, sqlstate=state) from error

def parsed(expression, _parsed=transforms.try_parse_json):
    # DuckDB's json() rounds numbers of more than 17 digits.
    if isinstance(expression, exp.ParseJSON):
        return exp.Cast(this=expression.this, to=exp.DataType.build("JSON"))
    return _parsed(expression)

def commented(catalog, schema, table, comment, _sql=info_schema.insert_table_comment_sql):
    # It does not quote the comment of a table.
    return _sql(catalog, schema, table, comment and comment.replace("'", "''"))

server.JSONResponse = answered
FakeSnowflakeCursor.execute = executed
transforms.try_parse_json = parsed
info_schema.insert_table_comment_sql = commented
uvicorn.run(server.app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""
"""The emulator, mended where it is not as Snowflake is, or as the connector expects it."""


@dataclass
class Postgres:
    """A PostgreSQL server: `restart` ends it as a crash would and starts it again on the same port."""

    folder: Path
    port: int
    user: str = "sluice"
    password: str = "s'3 cr\\et%41"  # what has to be quoted somewhere, so that every quoting is tested
    _running: ExitStack = field(default_factory=ExitStack, repr=False)

    def start(self) -> None:
        """Start it, and wait until it takes connections: it listens before it has recovered."""
        command = [
            *_unprivileged(),
            require("postgres"),
            "-D",
            str(self.folder / "data"),
            "-p",
            str(self.port),
        ]
        self._running.enter_context(
            serving([*command, "-h", "127.0.0.1", "-k", "", "-c", "max_connections=50"], self.port)
        )

        ready = [require("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(START_TIMEOUT * 20):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            time.sleep(0.05)
        message = f"postgres: did not take connections within {START_TIMEOUT} s"
        raise ServerError(message)

    def stop(self) -> None:
        """End all its processes at once, without a checkpoint, and wait until they are gone."""
        command = [*_unprivileged(), require("pg_ctl"), "-D", str(self.folder / "data"), "-m", "immediate"]
        subprocess.run([*command, "-s", "-w", "stop"], check=True, cwd=self.folder)
        self._running.close()

    def restart(self) -> None:
        """Kill it and start it again: it then recovers from its log what was committed."""
        self.stop()
        self.start()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run PostgreSQL with an empty database `postgres`; as nobody if this process is root."""
    with TemporaryDirectory(prefix="postgres") as name:
        server = Postgres(Path(name), free_port())
        _make_cluster(server)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _make_cluster(server: Postgres) -> None:
    folder = server.folder
    password = folder / "password"
    password.write_text(f"{server.password}\n")
    data = folder / "data"
    data.mkdir()
    if os.getuid() == 0:
        folder.chmod(0o711)
        shutil.chown(data, "nobody")
        shutil.chown(password, "nobody")
    command = [*_unprivileged(), require("initdb"), "-D", str(data), "-U", server.user, "-A", "scram-sha-256"]
    subprocess.run(
        [*command, "--pwfile", str(password), "-E", "UTF8", "--locale=C", "--no-sync"],
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )


def _unprivileged() -> list[str]:
    """Return what to put before a command so that it does not run as root: PostgreSQL refuses to."""
    if os.getuid() != 0:
        return []
    return [require("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def _request(request: Request) -> None:
    with urlopen(request, timeout=30) as response:
        response.read()


class Kafka:
    """A real broker of one node, at `bootstrap`; it can be killed and started again over the same data.

    At `secure` it asks for TLS and for the user `reader` with the password `hush`; `certificate` is its own.
    """

    def __init__(self, folder: Path) -> None:
        """Keep data and settings in `folder`."""
        port, secure, controller = _lasting_port(), _lasting_port(), _lasting_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self.secure = f"127.0.0.1:{secure}"
        self.certificate = folder / "certificate.pem"
        self._port = port
        self._settings = folder / "server.properties"
        self._running = ExitStack()
        offered = f"PLAINTEXT://{self.bootstrap},SASL_SSL://{self.secure}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{offered},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": offered,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": (
                'org.apache.kafka.common.security.plain.PlainLoginModule required user_reader="hush";'
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": _certify(self.certificate),
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
        command = [*_java(384), "kafka.Kafka", str(self._settings)]
        self._group = self._running.enter_context(serving(command, self._port))
        self._wait_until_answering()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._running.close()

    def freeze(self) -> None:
        """Stop it with SIGSTOP: connections stay, nothing answers."""
        os.killpg(self._group, signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        os.killpg(self._group, signal.SIGCONT)

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


def _certify(certificate: Path) -> Path:
    """Make a certificate for 127.0.0.1 that is its own authority; return a file that holds its key, too."""
    both = certificate.with_name("key_and_certificate.pem")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=127.0.0.1",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(both), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=START_TIMEOUT)
    both.write_bytes(both.read_bytes() + certificate.read_bytes())
    return both


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
    require("openssl")
    if not any(KAFKA_JARS.glob("kafka-clients-*.jar")):
        require("kafka")
    broker = Kafka(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@dataclass
class PubSub:
    """Google's Pub/Sub emulator at `host`. It keeps everything in memory: a kill loses topics and subscriptions."""

    command: Sequence[str]
    port: int
    _group: int = 0
    _running: ExitStack = field(default_factory=ExitStack)

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads clients to it."""
        return {"PUBSUB_EMULATOR_HOST": self.host}

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._group = self._running.enter_context(serving(self.command, self.port))

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._running.close()

    def freeze(self) -> None:
        """Stop it with SIGSTOP: connections stay, nothing answers."""
        os.killpg(self._group, signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        os.killpg(self._group, signal.SIGCONT)

    def make(self, name: str, **settings: object) -> PubSubTopic:
        """Make a topic and a subscription with `settings`, both named `name`."""
        topic = PubSubTopic(self, name)
        with self._client("Publisher") as publisher, self._client("Subscriber") as subscriber:
            publisher.create_topic(name=topic.path)
            request = {"name": topic.subscription, "topic": topic.path, **settings}
            subscriber.create_subscription(request=request)
        return topic

    def _client(self, kind: str) -> Any:
        import grpc
        from google import pubsub_v1

        client = getattr(pubsub_v1, f"{kind}Client")
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(self.host, unlimited)
        return client(transport=client.get_transport_class("grpc")(channel=channel))


@dataclass(frozen=True)
class PubSubTopic:
    """A topic with a subscription of the same name."""

    server: PubSub
    name: str

    @property
    def path(self) -> str:
        """Full name of the topic."""
        return f"projects/sluice/topics/{self.name}"

    @property
    def subscription(self) -> str:
        """Full name of the subscription."""
        return f"projects/sluice/subscriptions/{self.name}"

    @property
    def source(self) -> str:
        """URL of the subscription, as a job's source."""
        return f"pubsub://{self.subscription}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads clients to its server."""
        return self.server.environment

    def publish(self, records: Iterable[bytes], ordering_key: str = "", **attributes: str) -> list[str]:
        """Send records, wait until all have arrived, and return their ids."""
        messages = [
            {"data": record, "ordering_key": ordering_key, "attributes": attributes} for record in records
        ]
        ids: list[str] = []
        with self.server._client("Publisher") as publisher:
            for start in range(0, len(messages), 1000):
                part = messages[start : start + 1000]
                ids += publisher.publish(topic=self.path, messages=part).message_ids
        return ids

    def unacknowledged(self) -> int:
        """Return how many messages the subscription would deliver now."""
        return len(self.pull())

    def pull(self) -> list[tuple[str, bytes]]:
        """Return id and bytes of what the subscription would deliver now, and give it back."""
        from google.pubsub_v1 import PullRequest

        with self.server._client("Subscriber") as subscriber:
            found: dict[str, tuple[str, bytes]] = {}
            request = PullRequest(subscription=self.subscription, max_messages=1000, return_immediately=True)
            while received := subscriber.transport.pull(request).received_messages:
                found |= {each.ack_id: (each.message.message_id, each.message.data) for each in received}
            if found:
                subscriber.modify_ack_deadline(
                    subscription=self.subscription, ack_ids=list(found), ack_deadline_seconds=0
                )
        return list(found.values())


@contextmanager
def pubsub() -> Iterator[PubSub]:
    """Run the Pub/Sub emulator; without it or Java skip the test, or fail it in CI."""
    root = Path(require("gcloud")).resolve().parents[1]
    jars = sorted((root / "platform" / "pubsub-emulator" / "lib").glob("cloud-pubsub-emulator-*.jar"))
    if not jars:
        require("pubsub-emulator")
    port = _lasting_port()
    server = PubSub(
        [require("java"), "-Xmx512m", "-jar", str(jars[-1]), "--host=127.0.0.1", f"--port={port}"], port
    )
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def mongodb(folder: Path) -> Iterator[str]:
    """Run a server that speaks MongoDB's wire protocol on data in `folder`; yield its URL without a database."""
    port = free_port()
    command = [str(require_tool("mongodb/bin/secantusd-py")), "--port", str(port), "--log-level", "ERROR"]
    with serving([*command, "--storage-path", str(folder)], port):
        yield f"mongodb://127.0.0.1:{port}"
