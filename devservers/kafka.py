"""Apache Kafka: a real broker of one node, and topics on it."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tenacity
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]  # not in its stubs
from sluice.config.urls import Url
from sluice.tooling.publishers import KafkaPublisher

from devservers.errors import MissingTool
from devservers.ports import restart_port
from devservers.process import JAVA, LIFETIME, START_TIMEOUT, ServerProcess
from devservers.tools import TOOLS, require_path, require_program
from devservers.waiting import wait_until

USER, PASSWORD = "reader", "hush"
"""Of the secure listener."""

_JARS = TOOLS / "kafka"
_CLUSTER_ID = "c2x1aWNlLXRlc3RzLTAwMQ"
_ANSWER_SECONDS = 30.0
_SETTLED_SECONDS = 60.0
"""Within which a broker that has just started, or does not know a group yet, must answer."""

_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.sasl_ssl.plain.sasl.jaas.config": (
        f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    ),
    "ssl.keystore.type": "PEM",
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.num.partitions": 1,
    "transaction.state.log.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    "log.retention.ms": -1,
    "message.max.bytes": 20_000_000,
    # A broker that was killed is accepted again after 6 s rather than 16.
    "broker.session.timeout.ms": 2000,
    "broker.heartbeat.interval.ms": 500,
    # Segments are deleted and compacted within seconds.
    "log.retention.check.interval.ms": 500,
    "log.segment.delete.delay.ms": 0,
}


def is_installed() -> bool:
    """Return whether `start` finds the broker's jars and Java."""
    try:
        _require()
    except MissingTool:
        return False
    return True


class KafkaBroker:
    """A broker at `bootstrap`; it can be killed and started again with the same data.

    At `secure` it asks for TLS and for `USER` with `PASSWORD`; `certificate` is self-signed.
    """

    def __init__(self, folder: Path, lifetime: float) -> None:
        """Keep data and settings in `folder`."""
        port, secure, controller = restart_port(), restart_port(), restart_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self.secure = f"127.0.0.1:{secure}"
        self.certificate = folder / "certificate.pem"
        self._file = folder / "server.properties"
        listeners = f"PLAINTEXT://{self.bootstrap},SASL_SSL://{self.secure}"
        settings = _SETTINGS | {
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": listeners,
            "ssl.keystore.location": _make_certificate(self.certificate),
            "log.dirs": folder / "data",
        }
        self._file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self._process = ServerProcess([*_java(384), "kafka.Kafka", str(self._file)], port, lifetime)

    def format(self) -> None:
        """Create the folder of its data."""
        command = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(self._file)]
        subprocess.run([*_java(256), *command], check=True, capture_output=True, timeout=START_TIMEOUT)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process.start()
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

        def answers() -> bool:
            with suppress(KafkaException):  # it listens, but does not know itself yet
                return bool(client.list_topics(timeout=1).brokers)
            return False

        wait_until(answers, "kafka answers")

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._process.kill()

    def freeze(self) -> None:
        """Stop it with SIGSTOP: connections stay open, nothing answers."""
        self._process.freeze()

    def thaw(self) -> None:
        """Let it continue after `freeze`."""
        self._process.thaw()


class KafkaTopic:
    """A new topic, and the group with which a job reads it."""

    environment: Mapping[str, str] = {}

    def __init__(self, broker: KafkaBroker, partitions: int = 2, **settings: Any) -> None:
        """Create it; `settings` are those of the topic."""
        self.broker = broker
        self.name = f"events-{uuid.uuid4().hex[:8]}"
        self.group = f"sluice-{self.name}"
        self._partitions = partitions
        self._publisher = KafkaPublisher(Url(self.url))
        admin = self._admin()
        new = NewTopic(self.name, partitions, 1, config={"max.message.bytes": "20000000", **settings})
        admin.create_topics([new])[self.name].result(_ANSWER_SECONDS)

    @property
    def url(self) -> str:
        """Where to publish."""
        return f"kafka://{self.broker.bootstrap}/{self.name}"

    @property
    def source(self) -> str:
        """What a job reads."""
        return f"{self.url}?group={self.group}"

    def publish(self, records: Iterable[bytes]) -> None:
        """Send records, and wait until all have arrived."""
        for record in records:
            self._publisher.publish(record)
        self._publisher.flush()

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(KafkaException),
        stop=tenacity.stop_after_delay(_SETTLED_SECONDS),
        wait=tenacity.wait_fixed(0.2),
        reraise=True,
    )
    def unacknowledged(self) -> int:
        """Return how many records follow the group's committed offsets."""
        admin = self._admin()
        partitions = [TopicPartition(self.name, number) for number in range(self._partitions)]
        latest = {partition: OffsetSpec.latest() for partition in partitions}  # type: ignore[no-untyped-call]  # as above
        ends = admin.list_offsets(latest)
        request = [ConsumerGroupTopicPartitions(self.group, partitions)]
        groups = admin.list_consumer_group_offsets(request)
        committed = groups[self.group].result(_ANSWER_SECONDS).topic_partitions
        return sum(
            ends[TopicPartition(self.name, partition.partition)].result(_ANSWER_SECONDS).offset
            - max(partition.offset, 0)
            for partition in committed
        )

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})


def _make_certificate(certificate: Path) -> Path:
    """Make a self-signed certificate for 127.0.0.1; return a file that holds key and certificate."""
    both = certificate.with_name("key_and_certificate.pem")
    command = [
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(both), "-out", str(certificate)),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=START_TIMEOUT)
    both.write_bytes(both.read_bytes() + certificate.read_bytes())
    return both


def _java(megabytes: int) -> list[str]:
    return [*JAVA, f"-Xmx{megabytes}m", "-cp", f"{_JARS}/*"]


def _require() -> None:
    for program in ("java", "openssl"):
        require_program(program)
    require_path("kafka")


@contextmanager
def start(folder: Path, lifetime: float = LIFETIME) -> Iterator[KafkaBroker]:
    """Run a broker whose data lie in `folder`, at most `lifetime` seconds."""
    _require()
    broker = KafkaBroker(folder, lifetime)
    broker.format()
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()
