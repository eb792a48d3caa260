"""Google Cloud Pub/Sub: Google's own emulator, and topics on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devservers.errors import MissingTool
from devservers.ports import restart_port
from devservers.process import JAVA, ServerProcess
from devservers.tools import require_program


class PubSubEmulator:
    """An emulator at `host`. It keeps everything in memory: a kill loses topics and subscriptions."""

    def __init__(self) -> None:
        """Take a port."""
        port = restart_port()
        self.host = f"127.0.0.1:{port}"
        require_program("java")
        java = [*JAVA, "-Xmx512m", "-jar", str(_require_jar())]
        self._process = ServerProcess([*java, "--host=127.0.0.1", f"--port={port}"], port)

    @property
    def environment(self) -> dict[str, str]:
        """What leads clients to it."""
        return {"PUBSUB_EMULATOR_HOST": self.host}

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process.start()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._process.kill()

    def freeze(self) -> None:
        """Stop it with SIGSTOP: connections stay open, nothing answers."""
        self._process.freeze()

    def thaw(self) -> None:
        """Let it continue after `freeze`."""
        self._process.thaw()

    def create(self, name: str, **settings: object) -> PubSubTopic:
        """Create a topic and a subscription with `settings`, both named `name`."""
        topic = PubSubTopic(self, name)
        with self.client("Publisher") as publisher, self.client("Subscriber") as subscriber:
            publisher.create_topic(name=topic.path)
            request = {"name": topic.subscription, "topic": topic.path, **settings}
            subscriber.create_subscription(request=request)
        return topic

    def client(self, kind: str) -> Any:
        """Return a low-level client: `kind` is Publisher or Subscriber."""
        import grpc
        from google import pubsub_v1

        client = getattr(pubsub_v1, f"{kind}Client")
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(self.host, unlimited)
        return client(transport=client.get_transport_class("grpc")(channel=channel))


@dataclass(frozen=True)
class PubSubTopic:
    """A topic with a subscription of the same name."""

    server: PubSubEmulator
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
        with self.server.client("Publisher") as publisher:
            for start in range(0, len(messages), 1000):
                request = messages[start : start + 1000]
                ids += publisher.publish(topic=self.path, messages=request).message_ids
        return ids

    def unacknowledged(self) -> int:
        """Return how many messages the subscription would deliver now."""
        return len(self.pull())

    def pull(self) -> list[tuple[str, bytes]]:
        """Return id and data of the messages that the subscription would deliver now, and release them."""
        from google.pubsub_v1 import PullRequest

        with self.server.client("Subscriber") as subscriber:
            messages: dict[str, tuple[str, bytes]] = {}
            request = PullRequest(subscription=self.subscription, max_messages=1000, return_immediately=True)
            while received := subscriber.transport.pull(request).received_messages:
                for item in received:
                    messages[item.ack_id] = (item.message.message_id, item.message.data)
            if messages:
                subscriber.modify_ack_deadline(
                    subscription=self.subscription, ack_ids=list(messages), ack_deadline_seconds=0
                )
        return list(messages.values())


def _require_jar() -> Path:
    """Return the emulator's jar; gcloud's own wrapper would leave its process behind."""
    root = Path(require_program("gcloud")).resolve().parents[1]
    jars = sorted((root / "platform" / "pubsub-emulator" / "lib").glob("cloud-pubsub-emulator-*.jar"))
    if not jars:
        message = "the Pub/Sub emulator is not installed; it is the component pubsub-emulator of the Google Cloud CLI"
        raise MissingTool(message)
    return jars[-1]


def is_installed() -> bool:
    """Return whether `start` finds the emulator and Java."""
    try:
        require_program("java")
        _require_jar()
    except MissingTool:
        return False
    return True


@contextmanager
def start() -> Iterator[PubSubEmulator]:
    """Run the emulator until the block ends."""
    server = PubSubEmulator()
    server.start()
    try:
        yield server
    finally:
        server.kill()
